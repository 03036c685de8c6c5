# SPDX-License-Identifier: GPL-2.0-or-later
"""The header of a journal file, which shows whether the file is whole: sd-journal skips the rest in silence.

The format is that of systemd's JOURNAL_FILE_FORMAT.md: all integers are little-endian.
"""

import os
from pathlib import Path
from struct import Struct
from typing import BinaryIO, NamedTuple

_SIGNATURE = b"LPKSHHRH"
# the signature, flags, state, the ids of file, machine and boot, the id of the sequence numbers, the sizes of
# header and arena, hash tables, the last object, counts, the last and first sequence number, the entry array
_HEADER = Struct("<8x16x48x16sQQ32xQ16xQQQ")
_OBJECT = Struct("<B7xQ")  # type and size
_ENTRY_ARRAY = 6
_ARRAYS = 64  # each is larger than the one before, so that no file has more


class Header(NamedTuple):
    """Sizes and offsets in bytes. `sequence` and the numbers are those of its entries' cursors."""

    sequence: bytes
    header_size: int
    arena_size: int
    last_object: int
    last_number: int
    first_number: int
    entry_array: int

    @property
    def size(self) -> int:
        """How long the file says that it is."""
        return self.header_size + self.arena_size


def read(path: Path) -> Header | None:
    """The header, or None where it is no journal file's. Raises OSError."""
    with path.open("rb") as file:
        return _header(file)


def damage(path: Path) -> str:
    """What is wrong with the file, as far as that shows without reading all of it; empty if nothing is."""
    try:
        with path.open("rb") as file:
            return _damage(file)
    except FileNotFoundError:
        return ""  # journald has deleted it meanwhile
    except OSError as error:
        return error.strerror or "unreadable"


def _header(file: BinaryIO) -> Header | None:
    raw = file.read(_HEADER.size)
    return Header(*_HEADER.unpack(raw)) if len(raw) == _HEADER.size and raw.startswith(_SIGNATURE) else None


def _damage(file: BinaryIO) -> str:
    header = _header(file)
    if header is None:
        return "not a journal file"
    length = os.fstat(file.fileno()).st_size
    if length < header.size:
        return f"{header.size - length} of its {header.size} bytes are missing"
    if not _is_written(file, header):
        return "a part of it was not written"
    return ""


def _is_written(file: BinaryIO, header: Header) -> bool:
    """Whether there is an object where the header says so, and where each entry array says so."""
    if header.last_object and _type(file, header.last_object) is None:
        return False
    offset = header.entry_array
    for _ in range(_ARRAYS):
        if not offset:
            return True
        if _type(file, offset) != _ENTRY_ARRAY:
            return False
        offset = int.from_bytes(os.pread(file.fileno(), 8, offset + _OBJECT.size), "little")
    return False


def _type(file: BinaryIO, offset: int) -> int | None:
    """The type of the object there; None if there is none."""
    if offset >= 1 << 63:
        return None
    raw = os.pread(file.fileno(), _OBJECT.size, offset)
    kind, size = _OBJECT.unpack(raw) if len(raw) == _OBJECT.size else (0, 0)
    return kind if kind and size >= _OBJECT.size else None

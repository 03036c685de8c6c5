# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads journald's native protocol as journald does: https://systemd.io/JOURNAL_NATIVE_PROTOCOL/"""

import re
import struct

_NAME = re.compile(rb"[A-Z][A-Z0-9_]{0,63}").fullmatch


def fields(datagram: bytes) -> dict[str, bytes]:
    """The fields of one entry. Raises ValueError for what journald would refuse, or a field given twice."""
    found: dict[str, bytes] = {}
    while datagram:
        line, newline, rest = datagram.partition(b"\n")
        if not newline:
            raise ValueError(f"no newline after {line[:80]!r}")
        name, equals, value = line.partition(b"=")
        if not equals:
            (size,) = struct.unpack_from("<Q", rest)
            value, end, rest = rest[8 : 8 + size], rest[8 + size : 9 + size], rest[9 + size :]
            if len(value) != size or end != b"\n":
                raise ValueError(f"{name!r} is not of {size} bytes and a newline")
        if not _NAME(name) or name.decode() in found:
            raise ValueError(f"the field {name!r}")
        found[name.decode()] = value
        datagram = rest
    return found

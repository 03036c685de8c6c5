# SPDX-License-Identifier: GPL-2.0-or-later
"""What a journal file's header shows; tests/system/test_damaged_journals.py has files of journald's own."""

from pathlib import Path
from struct import pack

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from execwatchd.ctl.journal import file_header
from execwatchd.ctl.journal.damaged_files import DamagedFiles
from execwatchd.ctl.ports import Source

SEQUENCE = bytes(range(16))
SIZE = 400
ARRAY, LAST = 280, 352


def journal(
    size: int = SIZE, last: int = LAST, array: int = ARRAY, next_array: int = 0, kind: int = 6
) -> bytes:
    """A file with a header, an entry array and a last object, for the entries 5 to 9."""
    head = b"LPKSHHRH" + bytes(64) + SEQUENCE + pack("<QQ32xQ16xQQQ", 272, size - 272, last, 9, 5, array)
    raw = bytearray(head.ljust(SIZE, b"\0"))
    raw[ARRAY : ARRAY + 24] = pack("<B7xQQ", kind, 24, next_array)
    raw[LAST : LAST + 16] = pack("<B7xQ", 3, 48)
    return bytes(raw)


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (journal(), ""),
        (journal(last=0, array=0), ""),
        (b"", "not a journal file"),
        (b"LPKSHHRX" + journal()[8:], "not a journal file"),
        (journal(size=SIZE + 1), "1 of its 401 bytes are missing"),
        (journal()[:300], "100 of its 400 bytes are missing"),
        (journal(last=LAST + 8), "a part of it was not written"),
        (journal(last=2**64 - 1), "a part of it was not written"),
        (journal(array=LAST), "a part of it was not written"),
        (journal(kind=0), "a part of it was not written"),
        (journal(next_array=ARRAY), "a part of it was not written"),  # a circle
        (journal(next_array=8), "a part of it was not written"),
    ],
)
def test_damage(raw: bytes, what: str, tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    path.write_bytes(raw)
    assert file_header.damage(path) == what


def test_a_file_that_was_deleted_is_not_damaged(tmp_path: Path) -> None:
    assert file_header.damage(tmp_path / "deleted.journal") == ""


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(max_size=600), header=st.booleans())
def test_any_bytes_are_a_journal_or_damaged(raw: bytes, header: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    path.write_bytes(b"LPKSHHRH" + raw if header else raw)
    assert isinstance(file_header.damage(path), str)


def test_the_file_of_a_damaged_entry_is_named_once(tmp_path: Path) -> None:
    for name, raw in (("a", b"x"), ("b", journal())):
        (tmp_path / f"{name}.journal").write_bytes(raw)
    damaged = DamagedFiles(Source(str(tmp_path)))
    first, second = damaged.files
    assert damaged.lines() == [f"{first} was not read whole: not a journal file"]
    for cursor in (
        "s=00;i=5",  # no cursor
        f"s={SEQUENCE.hex()};i=4;b=0",  # of another file
        f"s={SEQUENCE.hex()};i=9;b=0",
        f"s={SEQUENCE.hex()};i=5;b=0",
    ):
        damaged.note(cursor)
    assert damaged.lines() == [f"{second} was not read whole: fields of its entries are unreadable"]
    assert damaged.lines() == []
    assert damaged.among([first, second]) == [first]  # the other is read as it is

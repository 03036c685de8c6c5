# SPDX-License-Identifier: GPL-2.0-or-later
"""The short way of an ordinary exec and the long way of any give the same datagram."""

import errno
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execwatchd.kernel import layout
from execwatchd.kernel.layout import ANCESTOR, EXEC_ID, Flag
from execwatchd.redaction.redactor import Redactor
from execwatchd.stream import end_entry, exec_entry
from execwatchd.stream.decode import Decoder, MalformedError, Record
from execwatchd.stream.encoder import Encoder, redacted
from tests.fakes.native import fields
from tests.fakes.records import Value, pack, values

HAS = int(Flag.HAS_COMM | Flag.HAS_CGROUP)
RIGHT_TO_LEFT = st.just("אבג".encode())
WORD = st.one_of(st.binary(max_size=12).map(lambda raw: raw.replace(b"\0", b"")), RIGHT_TO_LEFT)
WORDS = st.lists(WORD, max_size=4).map(lambda words: b"".join(word + b"\0" for word in words))
U32 = st.integers(0, 2**32 - 1)
CHANGED = st.fixed_dictionaries(
    {},
    optional={
        "flags": st.integers(0, sum(Flag)),
        "result": st.sampled_from([0, 0, -errno.ENOENT]),
        **dict.fromkeys(("pid", "ppid", "uid", "euid", "loginuid", "session", "argc", "argv_total"), U32),
        **dict.fromkeys(("pidns", "nspid"), st.one_of(st.just(0), U32)),
        **dict.fromkeys(("comm", "new_comm", "parent_comm", "tty", "message"), WORD),
        **dict.fromkeys(("argv", "cgroup", "cwd"), WORDS),
        **dict.fromkeys(("filename", "interp"), st.one_of(st.just(b""), WORD.map(lambda word: word + b"\0"))),
        "ancestors": st.lists(st.builds(ANCESTOR.pack, U32, WORD), max_size=3).map(b"".join),
        "exec_id": st.builds(EXEC_ID.pack, st.integers(1, 2**64 - 1), U32),
        "parent_pid": st.one_of(st.just(0), U32),
        "parent_id": st.builds(EXEC_ID.pack, U32, U32),
        **dict.fromkeys(("exe", "parent_exe"), WORDS),
        **dict.fromkeys(("exe_mode", "exe_uid", "exe_inode", "caps"), U32),
    },
)


def by_parts(data: bytes, redact: Redactor | None = None) -> bytes:
    record = Decoder()(data)
    record = redacted(record, redact) if redact else record
    return end_entry.encode(record) if record.end else exec_entry.encode(record)


@pytest.fixture
def long_ways(monkeypatch: pytest.MonkeyPatch) -> list[Record]:
    """The records that went the long way."""
    gone: list[Record] = []

    def written(record: Record, command: bytes, **known: Any) -> bytes:
        gone.append(record)
        return write_it(record, command, **known)

    write_it = exec_entry.written
    monkeypatch.setattr(exec_entry, "written", written)
    return gone


REDACTORS = [None, Redactor(["default"]), Redactor(["[a-f]"])]


@given(st.lists(CHANGED, min_size=1, max_size=4), st.binary(max_size=9), st.sampled_from(REDACTORS))
def test_both_ways_give_the_same(
    records: list[dict[str, Value]], behind: bytes, redact: Redactor | None
) -> None:
    encode = Encoder()
    encode.redact_with(redact)
    for changed in [*records, *records]:  # put together, and remembered
        data = pack(values(**changed)) + behind
        assert encode(data) == by_parts(data, redact)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"nspid": 7},
        {"flags": HAS | Flag.BY_KERNEL},
        {"exec_id": EXEC_ID.pack(8, 9)},
        {"ancestors": ANCESTOR.pack(3, b"sh")},
        {"flags": HAS | Flag.HAS_CWD},
        {"flags": HAS | Flag.HAS_CWD | Flag.CWD_UNREACHABLE, "cwd": b"b\0a\0"},
        {
            "nspid": 7,
            "exec_id": EXEC_ID.pack(8, 9),
            "ancestors": ANCESTOR.pack(3, b"sh"),
            "flags": HAS | Flag.HAS_CWD,
            "cwd": b"b\0a\0",
        },
        {"result": -errno.ENOENT},
        {"argv": b"sh\0-c\0echo 'a b'\0"},
        {"argv": b"sh\0-c\0a\nb\0"},
        {"argv": b"\xff\n\0"},
        {"pidns": 4026532289, "mntns": 4026532300},
        {"comm": b"a\nb", "filename": b"/a\nb\0"},
    ],
)
def test_the_short_way(changed: dict[str, Value], long_ways: list[Record]) -> None:
    encode = Encoder()
    data = pack(values(**changed))
    assert encode(data) == encode(data) == by_parts(data)
    assert len(long_ways) == 1  # by_parts itself


@pytest.mark.parametrize(
    "changed",
    [
        {"argv": b"", "argc": 0},
        {"argv": b"a" * 1100 + b"\0"},
        {"argv": b"\x01" * 300 + b"\0"},
        {"argv": "אבג\0".encode()},
        {"filename": b"/" + b"x" * 1000 + b"\0"},
        {"flags": HAS | Flag.TRUNCATED_CGROUP},
        {"flags": HAS | Flag.TRUNCATED_ARGV},
        {"flags": HAS | Flag.TRUNCATED_ARGV, "result": -errno.EFAULT},
    ],
)
def test_the_long_way(changed: dict[str, Value], long_ways: list[Record]) -> None:
    Encoder()(pack(values(**changed)))
    assert len(long_ways) == 1


def test_parts_are_not_mistaken_for_others() -> None:
    """The same bytes as filename, interpreter and cgroup, or divided otherwise among them."""
    encode = Encoder()
    found = [
        fields(encode(pack(values(filename=filename, interp=interp, cgroup=cgroup))))
        for filename, interp, cgroup in (
            (b"/a\0", b"/b\0", b"c\0"),
            (b"/a\0", b"", b"/b\0c\0"),
            (b"", b"/a\0", b"/b\0c\0"),
            (b"", b"", b"/a\0/b\0c\0"),
        )
    ]
    assert [one.get("EXECWATCH_FILENAME") for one in found] == [b"/a", b"/a", None, None]
    assert [one.get("EXECWATCH_INTERP") for one in found] == [b"/b", None, b"/a", None]
    assert [one["EXECWATCH_CGROUP"] for one in found] == [b"/c", b"/c//b", b"/c//b", b"/c//b//a"]


@given(CHANGED)
def test_a_truncated_record_is_malformed(changed: dict[str, Value]) -> None:
    data = pack(values(**changed))
    encode = Encoder()
    for _ in range(2):
        with pytest.raises(MalformedError):
            encode(data[:-1])
        assert encode(data) == by_parts(data)


@given(
    CHANGED, st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4), st.integers(0, 500)
)
def test_damaged_records(changed: dict[str, Value], damage: list[tuple[int, int]], size: int) -> None:
    """Whatever they are to the one, they are to the other."""
    damaged = bytearray(pack(values(**changed)))
    for at, byte in damage:
        damaged[at % len(damaged)] = byte
    data = bytes(damaged[:size] if size < 400 else damaged)
    try:
        expected: bytes | None = by_parts(data)
    except MalformedError:
        expected = None
    try:
        found: bytes | None = Encoder()(data)
    except MalformedError:
        found = None
    assert found == expected


def test_secrets_go_on_both_ways() -> None:
    encode = Encoder()
    data = pack(values(argv=b"x\0--token=hunter2\0"))
    assert b"hunter2" in encode(data)
    for wanted in (["default"], ["hunter.", "never"], ["never", "default"]):
        encode.redact_with(Redactor(wanted))
        assert b"hunter2" not in encode(data)
        assert fields(encode(data))["EXECWATCH_REDACTED"] == b"1"
        assert encode.record(data).flags != Decoder()(data).flags
    encode.redact_with(Redactor(["never"]))
    assert encode(data) == by_parts(data)
    encode.redact_with(None)
    assert encode(data) == by_parts(data)


def test_no_secret_is_remembered() -> None:
    encode = Encoder()
    encode.redact_with(Redactor(["default"]))
    for argv in (b"x\0--token=hunter2\0", b"\x01" * 300 + b"\0"):
        encode(pack(values(argv=argv)))
    assert encode._cached_arguments.cache_info().currsize == 0
    encode(pack(values()))
    assert encode._cached_arguments.cache_info().currsize == 1


def test_a_record_of_another_layout() -> None:
    schema = " ".join(reversed(layout.SCHEMA.split()))
    ordinary = values()
    assert Encoder(schema)(pack(ordinary, schema)) == by_parts(pack(ordinary))

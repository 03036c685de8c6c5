# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever an argv is made of: its JSON gives it back or its bytes do, and no form of it grows."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execwatchd.ctl.journal.events import Event
from execwatchd.shared.quoting import utf8
from execwatchd.shared.visible import is_visible
from execwatchd.stream.arguments import LINE_SIZE, argv_field, command_line
from tests.fakes.native import fields

ARGUMENT = st.one_of(
    st.binary(max_size=40).map(lambda raw: raw.replace(b"\0", b"")),
    st.text(max_size=20).map(lambda text: text.replace("\0", "").encode(errors="replace")),
    st.sampled_from(
        [b"", b"\x7f", b"\xc2\x85", "\ufdd0 \U0001ffff".encode(), b'"\\', b"\n", b"\xed\xa0\x80"]
    ),
)
ARGV = st.lists(ARGUMENT, max_size=12)
MANY = st.tuples(ARGV, st.integers(1, 200)).map(lambda both: both[0] * both[1])

LONG = st.lists(
    st.builds(bytes.__mul__, st.sampled_from([b"\x01", b"'", b"\xff", b"a "]), st.integers(200, 400))
)


def joined(argv: list[bytes]) -> bytes:
    return b"".join(argument + b"\0" for argument in argv)


def form(argv: bytes) -> tuple[str, bytes]:
    """The name and value of the only field."""
    ((name, value),) = fields(argv_field(argv)).items()
    return name, value


def read_back(argv: bytes) -> tuple[bytes, ...]:
    name, value = form(argv)
    return Event("exec", 0, "", b"", {name.removeprefix("EXECWATCH_"): value}).argv


@given(st.one_of(ARGV, MANY))
def test_it_is_given_back(argv: list[bytes]) -> None:
    assert read_back(joined(argv)) == tuple(argv)


@given(st.one_of(ARGV, MANY))
def test_json_is_one_line_that_shows(argv: list[bytes]) -> None:
    name, value = form(joined(argv))
    assert len(value) <= 2 * len(joined(argv)) + 64
    if name == "EXECWATCH_ARGV":
        assert is_visible(value.decode())
    else:
        assert value == joined(argv)


@pytest.mark.parametrize(
    ("argv", "value"),
    [
        ([b"ls", b"-la"], b'["ls","-la"]'),
        ([b""], b'[""]'),
        ([b"", b""], b'["",""]'),
        ([], b"[]"),
        ([b'a "b"', b"c\\d"], rb'["a \"b\"","c\\d"]'),
        ([b"a\nb\t"], rb'["a\nb\t"]'),
        ([b"\x1b[31m\x7f"], rb'["\u001b[31m\u007f"]'),
        (["Grüße, 世界".encode()], '["Grüße, 世界"]'.encode()),
        (["é\u200b".encode()], rb'["\u00e9\u200b"]'),
        (["\x85".encode()], rb'["\u0085"]'),
        (["\U000e0001".encode()], rb'["\udb40\udc01"]'),
    ],
)
def test_json(argv: list[bytes], value: bytes) -> None:
    assert form(joined(argv)) == ("EXECWATCH_ARGV", value)
    assert [text.encode() for text in json.loads(value)] == argv


@pytest.mark.parametrize(
    "argv", [[b"\xff"], [b"a", b"\xc3"], [b"\x01" * 4000], [b""] * 100, ["\u00ad".encode() * 100]]
)
def test_the_bytes(argv: list[bytes]) -> None:
    """Where they are no text, or JSON would be more than twice as long."""
    assert form(joined(argv)) == ("EXECWATCH_ARGV_RAW", joined(argv))


def test_an_argument_that_is_cut() -> None:
    assert form(b"ls\0-l") == ("EXECWATCH_ARGV", b'["ls","-l"]')
    assert form("ls\0-é".encode()[:-1]) == ("EXECWATCH_ARGV_RAW", b"ls\0-\xc3")


@given(st.one_of(ARGV, MANY, LONG))
def test_a_command_line_is_bounded(argv: list[bytes]) -> None:
    line, is_cut = command_line(joined(argv))
    assert len(line) <= LINE_SIZE
    assert is_cut == (len(utf8(joined(argv))) > LINE_SIZE)
    assert is_visible(line.decode())
    if not is_cut:
        assert line == utf8(joined(argv))


@pytest.mark.parametrize(
    ("argv", "size"),
    [
        (b"x" * 4095 + b"\0", 1020),
        (b"x" * 1024, 1024),
        (b"'" + b"x" * 1018 + b"\0", 1023),
        ("é".encode() * 2000 + b"\0", 1022),
        ("世".encode() * 1300 + b"\0", 1022),
        (b"\x01" * 4095 + b"\0", 1023),
        (b"a b\0" * 1000, 383),
        (b"\xff\0" * 2000, 1015),
    ],
)
def test_how_much_of_a_long_one_is_shown(argv: bytes, size: int) -> None:
    assert len(command_line(argv)[0]) == size

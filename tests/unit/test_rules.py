# SPDX-License-Identifier: GPL-2.0-or-later
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execwatchd.shared.errors import TableFull
from execwatchd.shared.quoting import quoted
from execwatchd.shared.rules import (
    BUILT_IN,
    MAX_MESSAGE_LENGTH,
    MAX_UID,
    MEMBERS,
    Action,
    Rule,
    check_action,
    check_limit,
    check_message,
    check_uid,
    check_uid_key,
    limit_of,
    per_second,
)

ANYTHING = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.lists(st.text())
)


@pytest.mark.parametrize("value", [0, 1, 501, MAX_UID])
def test_uid(value: int) -> None:
    assert check_uid(value) == value
    assert check_uid_key(str(value)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (-1, "UID -1 is out of range: it must be from 0 to 4294967294"),
        (2**32 - 1, "UID 4294967295 is out of range: it must be from 0 to 4294967294"),
        (True, "a boolean is not a UID: it must be a number from 0 to 4294967294"),
        ("7", "'7' is not a UID: it must be a number from 0 to 4294967294"),
        (1 << 9999, "UID a number of 10000 bits is out of range: it must be from 0 to 4294967294"),
    ],
)
def test_bad_uid(value: object, text: str) -> None:
    with pytest.raises(ValueError, match=r"must be|fit|has a") as error:
        check_uid(value)
    assert str(error.value) == text


@pytest.mark.parametrize(
    "key", ["", "00", "0501", "+1", "-1", " 1", "1 ", "1_0", "1.0", "٣", "4294967295", "9" * 99]
)
def test_bad_uid_key(key: str) -> None:
    with pytest.raises(ValueError, match="UID"):
        check_uid_key(key)


@pytest.mark.parametrize(
    "value", ["", " ", "Hello World", "x" * 63, "ü" * 31 + "x", "😀" * 15, "\u00a0\u200b"]
)
def test_message(value: str) -> None:
    assert check_message(value) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("x" * 64, f"the message '{'x' * 64}' has 64 bytes of UTF-8: at most 63 fit"),
        ("ü" * 32, f"the message '{'ü' * 32}' has 64 bytes of UTF-8: at most 63 fit"),
        ("x" * 5000, f"the message '{'x' * 80}'… has 5000 bytes of UTF-8: at most 63 fit"),
        ("a\0b", "the message 'a\\x00b' has a control character (U+0000) at position 1"),
        ("a\nb", "the message 'a\\nb' has a control character (U+000A) at position 1"),
        ("\x7f", "the message '\\x7f' has a control character (U+007F) at position 0"),
        ("\x85", "the message '\\x85' has a control character (U+0085) at position 0"),
        ("\u2028", "the message '\\u2028' has a line separator (U+2028) at position 0"),
        ("\u2029", "the message '\\u2029' has a paragraph separator (U+2029) at position 0"),
        ("\ud800", "the message '\\ud800' has a surrogate (U+D800) at position 0"),
        (5, '5 is not a message: write "5"'),
        (10**70, f"1{'0' * 70} is not a message: it must be a string"),
        (1.5, "a float is not a message: it must be a string"),
        (True, "a boolean is not a message: it must be a string"),
    ],
)
def test_bad_message(value: object, text: str) -> None:
    with pytest.raises(ValueError, match=r"must be|fit|has a|write") as error:
        check_message(value)
    assert str(error.value) == text


@given(ANYTHING)
def test_a_message_is_one_line_of_63_bytes_or_refused(value: object) -> None:
    try:
        message = check_message(value)
    except ValueError:
        return
    assert len(message.encode()) <= MAX_MESSAGE_LENGTH
    assert not {unicodedata.category(c) for c in message} & {"Cc", "Cs", "Zl", "Zp"}
    assert len(message.splitlines()) <= 1


def test_action() -> None:
    assert [check_action("record"), check_action("ignore")] == [Action.RECORD, Action.IGNORE]


@pytest.mark.parametrize("value", ["", "default", "Record", "record ", 1, None])
def test_bad_action(value: object) -> None:
    with pytest.raises(ValueError, match=r"does not exist: it must be 'record' or 'ignore'$"):
        check_action(value)


@pytest.mark.parametrize(("value", "rate"), [("off", 0), ("1/s", 1), ("200/s", 200), ("100000/s", 100_000)])
def test_limit(value: str, rate: int) -> None:
    assert check_limit(value) == value
    assert per_second(value) == rate


@pytest.mark.parametrize(
    "value",
    [*("", "default", "Off", "0/s", "-1/s", "01/s", "1.5/s", "0", "200000", "200/m", "200 /s", "200/s\n"),
     *("100001/s", "9" * 99 + "/s", "\u0663/s", "\u0663", 0, -1, 100_001, 2.5, True, None, ["off"])],
)  # fmt: skip
def test_bad_limit(value: object) -> None:
    with pytest.raises(
        ValueError, match=r"^the limit .* does not exist: it must be 'off' or execs a second from '1/s' to"
    ):
        check_limit(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("200", "the limit '200' is not a rate: write 200/s"),
        ("100000", "the limit '100000' is not a rate: write 100000/s"),
        (200, 'the limit 200 is not a rate: write "200/s"'),
    ],
)
def test_a_limit_without_its_unit(value: object, text: str) -> None:
    with pytest.raises(ValueError, match=r"write") as error:
        check_limit(value)
    assert str(error.value) == text


@given(ANYTHING)
def test_what_is_quoted_is_short_and_printable(value: object) -> None:
    text = quoted(value)
    assert text.isprintable()
    assert len(text) <= 12 * 80  # at worst each character becomes \U0001f600


@pytest.mark.parametrize("limit", ["off", "1/s", "200/s", "100000/s"])
def test_a_limit_and_its_number(limit: str) -> None:
    assert limit_of(per_second(limit)) == limit


def test_what_the_caller_accepts_too_is_in_the_texts() -> None:
    with pytest.raises(ValueError, match=r" it must be 'record', 'ignore' or 'default'$"):
        check_action("drop", "default")
    with pytest.raises(ValueError, match=r" from '1/s' to '100000/s', or 'default'$"):
        check_limit("drop", "default")


def test_every_member_of_a_rule_is_declared_in_its_order() -> None:
    assert [member.name for member in MEMBERS] == list(Rule._fields)
    keys = [key for member in MEMBERS for key in (member.table, member.default_key)]
    assert len(set(keys)) == len(keys)


def test_what_is_built_in_sets_every_member_to_a_value_that_may_be() -> None:
    for member in MEMBERS:
        assert member.check(member.of(BUILT_IN)) == member.of(BUILT_IN)


def test_a_rule_over_another() -> None:
    assert Rule(limit="1/s").over(Rule("low", Action.IGNORE, "2/s")) == Rule("low", Action.IGNORE, "1/s")
    assert Rule("").over(BUILT_IN) == Rule("", Action.RECORD, "off")
    assert BUILT_IN.over(Rule("low", Action.IGNORE, "2/s")) == BUILT_IN
    assert Rule().over(Rule()) == Rule()


def test_the_error_of_a_full_table_names_the_members() -> None:
    assert (
        str(TableFull(64)) == "the table is full: it holds 64 UIDs that have a message, an action or a limit"
    )

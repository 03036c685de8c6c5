# SPDX-License-Identifier: GPL-2.0-or-later
import pytest
from hypothesis import given
from hypothesis import strategies as st

from execwatchd.kernel.rules_map import pack, unpack
from execwatchd.shared.rules import MAX_LIMIT, Action, Rule, limit_of
from tests.fakes.rules import rule

MESSAGES = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=15)
LIMITS = st.integers(0, MAX_LIMIT).map(limit_of)


def test_the_bytes_that_the_program_reads() -> None:
    assert pack(rule("ü", Action.IGNORE, 200)) == b"\xc3\xbc".ljust(64, b"\0") + b"\1\0\0\0\xc8\0\0\0"
    assert pack(rule("")) == bytes(72)


@given(MESSAGES, st.sampled_from(Action), LIMITS)
def test_what_is_packed_is_read_back(message: str, action: Action, limit: str) -> None:
    whole = Rule(message, action, limit)
    assert unpack(pack(whole)) == whole


def test_a_message_that_is_not_utf_8_is_read_as_another() -> None:
    """No table wrote it, so that it differs from each that one wants is what replaces it."""
    assert unpack(b"\xff" + bytes(71)) == rule("\ufffd")


@pytest.mark.parametrize(
    "part", [Rule(None, Action.RECORD, "off"), Rule("", None, "off"), Rule("", Action.RECORD)]
)
def test_a_rule_that_leaves_something_open_is_no_rule_for_the_kernel(part: Rule) -> None:
    with pytest.raises(ValueError, match="not every member is set"):
        pack(part)

# SPDX-License-Identifier: GPL-2.0-or-later
"""What a terminal draws as nothing, or as a pile, is escaped wherever text of others is shown."""

import sys
from unicodedata import category

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execwatchd.shared.quoting import escape, escape_invisible, shell
from execwatchd.shared.visible import MAX_MARKS, has_right_to_left, invisible, is_visible

# Unicode 16, DerivedCoreProperties.txt, Default_Ignorable_Code_Point
RANGES = """
00AD 034F 061C 115F-1160 17B4-17B5 180B-180D 180E 180F 200B-200F 202A-202E 2060-2064 2065 2066-206F 3164
FE00-FE0F FEFF FFA0 FFF0-FFF8 1BCA0-1BCA3 1D173-1D17A E0000-E0FFF
"""
IGNORABLE = {
    chr(code)
    for first, _, last in (word.partition("-") for word in RANGES.split())
    for code in range(int(first, 16), int(last or first, 16) + 1)
}
BLANK = set("\u2800\U00013441\U00013442\U00016fe4\U0001d159")
ALL = [chr(code) for code in range(sys.maxunicode + 1)]


def test_no_ignorable_or_blank_character_shows_and_every_other_printable_one_does() -> None:
    assert {c for c in ALL if not is_visible(c)} == IGNORABLE | BLANK | {
        c for c in ALL if not c.isprintable()
    }
    assert len(IGNORABLE) == 4174


def test_what_does_not_show_is_escaped_in_every_form() -> None:
    for c in sorted(IGNORABLE | BLANK):
        octal = "".join(f"\\{byte:03o}" for byte in c.encode())
        assert escape(f"a{c}b".encode()) == f"a{octal}b"
        assert escape_invisible(f"a {c}b") == f"a {octal}b"
        assert shell(f"a{c}b\0".encode()) == f"$'a{octal}b'"


@pytest.mark.parametrize("mark", ["\u0301", "\u20dd", "\u0903"], ids=["Mn", "Me", "Mc"])
def test_some_marks_are_a_language_and_more_are_a_pile(mark: str) -> None:
    assert category(mark)[0] == "M"
    few, many = "a" + mark * MAX_MARKS, "a" + mark * (MAX_MARKS + 1)
    assert shell(f"{few}\0".encode()) == f"'{few}'"
    assert escape(few.encode()) == few
    octal = "".join(f"\\{byte:03o}" for byte in mark.encode())
    assert escape(many.encode()) == "a" + octal * (MAX_MARKS + 1)
    assert shell(f"{many}\0".encode()) == f"$'a{octal * (MAX_MARKS + 1)}'"


def test_marks_that_other_characters_part_are_not_counted_together() -> None:
    assert is_visible("a\u0301" * 1000)


@pytest.mark.parametrize("text", ["שלום", "مرحبا", "a\u05d0b", "\ufb2a", "\U0001e900"])
def test_right_to_left(text: str) -> None:
    assert has_right_to_left(text)
    assert is_visible(text)


@pytest.mark.parametrize("text", ["", "ls", "日本", "café", "Ωμέγα", "Привет"])
def test_left_to_right(text: str) -> None:
    assert not has_right_to_left(text)


@given(st.text())
def test_escaping_what_is_invisible_leaves_what_is_visible(text: str) -> None:
    assert is_visible("".join(c for c in text if c not in invisible(text)))
    assert (invisible(text) == set()) == is_visible(text)

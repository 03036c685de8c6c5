# SPDX-License-Identifier: GPL-2.0-or-later
import io
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execwatchd.ctl.view.terminal import (
    ASCII,
    UNICODE,
    Console,
    Glyphs,
    console,
    cut,
    pad,
    printable,
    width,
    word,
)

ROOT = Path(__file__).resolve().parents[2]

BYTES = st.binary(max_size=60) | st.text(max_size=30).map(lambda text: text.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"ls -la", "ls -la"),
        (b"\x1b[31mred\x1b[0m", "\\033[31mred\\033[0m"),
        (b"a\nb\rc\td\x7f", "a\\012b\\015c\\011d\\177"),
        (b"\xff\xc3(", "\\377\\303("),
        ("Grüße 日本".encode(), "Grüße 日本"),
        ("x\u202etxt.exe".encode(), "x\\342\\200\\256txt.exe"),  # right-to-left override
        ("a\u200bb\u2028c".encode(), "a\\342\\200\\213b\\342\\200\\250c"),
        (b"\xc2\x9b31m", "\\302\\23331m"),  # CSI as one character
        ("a\u3164b".encode(), "a\\343\\205\\244b"),  # drawn as nothing
    ],
)
def test_what_a_terminal_would_obey_is_escaped(raw: bytes, shown: str) -> None:
    assert printable(raw) == shown
    assert printable(raw.decode("utf-8", "surrogateescape")) == shown


def test_a_word_has_no_white_space_and_its_backslashes_are_unambiguous() -> None:
    assert word(b"tmux: server") == "tmux:\\040server"
    assert word("a\u00a0\\b") == "a\\302\\240\\134b"


@given(BYTES)
def test_nothing_printed_controls_the_terminal(raw: bytes) -> None:
    for shown in (printable(raw), word(raw)):
        assert not {unicodedata.category(char) for char in shown} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert len(word(raw).split()) == (1 if raw else 0)


@given(BYTES)
def test_escaping_twice_changes_nothing(raw: bytes) -> None:
    assert printable(printable(raw)) == printable(raw)


@pytest.mark.parametrize(
    ("text", "cells"),
    [("abc", 3), ("日本", 4), ("e\u0301", 1), ("\uff46", 2), ("각", 2), ("\u1112\u1161\u11ab", 2)],
)
def test_widths_are_those_of_a_terminal(text: str, cells: int) -> None:
    assert width(text) == cells


@given(BYTES.map(printable), st.integers(0, 40))
def test_a_cut_text_fits(text: str, cells: int) -> None:
    short = cut(text, cells)
    assert width(short) <= cells
    assert short == text or (text.startswith(short[:-1]) and (short.endswith("…") or not cells))


def test_a_wide_character_is_not_cut_in_half() -> None:
    assert [cut("日本語", cells) for cells in range(7)] == ["", "…", "…", "日…", "日…", "日本…", "日本語"]


def test_padding_counts_cells() -> None:
    assert (pad("日本", 6), pad("7", 3, right=True), pad("longer", 3)) == ("日本  ", "  7", "longer")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colours_and_columns_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert (console(Terminal()).width, console(Terminal()).colour) == (40, True)
    assert (console(io.StringIO()).width, console(io.StringIO()).colour) == (None, False)


@pytest.mark.parametrize(
    ("locale", "drawn"),
    [
        ({"LC_ALL": "C"}, ASCII),
        ({"LC_ALL": "POSIX", "LANG": "C.UTF-8"}, ASCII),
        ({"LC_ALL": "C.UTF-8"}, UNICODE),
        ({}, UNICODE),
    ],
)
def test_what_lines_are_drawn_with_is_the_locales(locale: dict[str, str], drawn: Glyphs) -> None:
    """In a process of its own: the interpreter takes the locale when it starts."""
    script = "import sys; from execwatchd.ctl.view.terminal import console; print(console(sys.stdout).glyphs)"
    command = [sys.executable, "-sPc", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {script}"]
    env = {"PYTHONIOENCODING": "utf-8", **locale}
    done = subprocess.run(command, env=env, capture_output=True, encoding="utf-8", check=True)
    assert done.stdout == f"{drawn}\n"


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colours_can_be_unwanted(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv(name, value)
    assert not console(Terminal()).colour


def test_paint_leaves_nothing_open() -> None:
    assert Console(io.StringIO(), colour=True).paint("x", "red", "bold") == "\033[31;1mx\033[0m"
    assert Console(io.StringIO()).paint("x", "red") == "x"

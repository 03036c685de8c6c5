# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes text from any user safe for a terminal, and aligns it in columns.

Command names, arguments and messages come from whoever ran the program. A character that could move the
cursor, change colours or reorder the line is printed as octal escapes of its UTF-8 bytes. MESSAGE= of the
daemon has the same form.
"""

import locale
import os
import shutil
from dataclasses import dataclass, replace
from typing import NamedTuple, TextIO

from wcwidth import wcwidth

from execwatchd.shared.quoting import escape, escape_invisible

_COLOURS = {"red": "31", "green": "32", "yellow": "33", "cyan": "36", "bold": "1", "dim": "2"}


class Glyphs(NamedTuple):
    """What lines are drawn with; `levels`: the bars of a chart, the lowest first. An ellipsis is a cell."""

    branch: str
    last_branch: str
    trunk: str
    same: str
    ellipsis: str
    levels: str
    sorted: str


UNICODE = Glyphs("├─", "└─", "│ ", "»", "…", "▁▂▃▄▅▆▇█", "↓")
ASCII = Glyphs("|-", "`-", "| ", ">", "~", ".,:;+=*#", "v")


def printable(value: bytes | str) -> str:
    r"""The text on one line, with control, format and undecodable characters as \ooo."""
    raw = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    text = raw.decode("utf-8", "surrogateescape")
    return escape_invisible(text)


def word(value: bytes | str) -> str:
    """As `printable`, with white space and backslashes escaped too, for a column that is not the last."""
    return escape(value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value)


def _cells(char: str) -> int:
    return max(0, wcwidth(char))


def width(text: str) -> int:
    """How many cells of a terminal's line this printable text takes."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def cut(text: str, cells: int, ellipsis: str = UNICODE.ellipsis) -> str:
    """The text, or as much of it as fits into `cells` with an ellipsis at the end."""
    if width(text) <= cells:
        return text
    if cells <= 0:
        return ""
    kept, room = [], cells - 1
    for char in text:
        room -= _cells(char)
        if room < 0:
            break
        kept.append(char)
    return "".join(kept) + ellipsis


def pad(text: str, cells: int, *, right: bool = False) -> str:
    """The text, filled up to `cells` with spaces; a longer text stays as it is."""
    space = " " * (cells - width(text))
    return space + text if right else text + space


@dataclass(frozen=True)
class Console:
    """Where a command prints: a stream, its width in cells, whether in colours, and what it draws with.

    Without `cuts`, as where a pager scrolls, columns are chosen by the width, but nothing is cut to it.
    """

    out: TextIO
    width: int | None = None
    colour: bool = False
    cuts: bool = True
    glyphs: Glyphs = UNICODE

    @property
    def can_erase(self) -> bool:
        """Whether it is a terminal that can go back in a line."""
        return self.out.isatty() and os.environ.get("TERM", "dumb") != "dumb"

    def paint(self, text: str, *styles: str) -> str:
        """The text in these styles, or as it is if the console has no colours."""
        codes = ";".join(_COLOURS[style] for style in styles)
        return f"\033[{codes}m{text}\033[0m" if self.colour and codes and text else text

    def cut(self, text: str, cells: int | None) -> str:
        """The text, cut to so many cells; None is no limit."""
        return text if cells is None else cut(text, cells, self.glyphs.ellipsis)

    def fit(self, text: str, used: int = 0) -> str:
        """The text, cut to what is left of a line of which so many cells are used."""
        return self.cut(text, max(0, self.width - used)) if self.cuts and self.width is not None else text

    def line(self, text: str = "") -> None:
        """Print one line."""
        self.out.write(text + "\n")


def console(out: TextIO) -> Console:
    """The console of this stream: only a terminal has a width, and colours unless NO_COLOR is set."""
    # The interpreter writes UTF-8 in the locale C too, whose terminals may not have it.
    glyphs = UNICODE if locale.getencoding().lower().replace("-", "") == "utf8" else ASCII
    if not out.isatty():
        return Console(out, glyphs=glyphs)
    terminal = Console(out, shutil.get_terminal_size().columns, glyphs=glyphs)
    return replace(terminal, colour=terminal.can_erase and not os.environ.get("NO_COLOR"))

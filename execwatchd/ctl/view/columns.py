# SPDX-License-Identifier: GPL-2.0-or-later
"""An event as a line of aligned columns."""

from dataclasses import dataclass
from functools import lru_cache

from execwatchd.ctl.journal.events import Event
from execwatchd.ctl.users import name_of
from execwatchd.ctl.view.terminal import Console, cut, pad, printable, width, word
from execwatchd.shared.durations import duration
from execwatchd.shared.quoting import shell

_name_of = lru_cache(1024)(name_of)


@dataclass(frozen=True)
class Layout:
    """The cells of each column; a column of none isn't shown."""

    time: str
    pid: int
    user: int
    comm: int
    message: int


_HOST = 12
_WIDE = Layout("%b %d %H:%M:%S", 7, 10, 15, 20)
_MIDDLE = Layout("%H:%M:%S", 7, 8, 10, 14)
_NARROW = Layout("%H:%M:%S", 7, 0, 8, 0)


def layout(cells: int | None) -> Layout:
    """The columns that leave room for a command on a line of so many cells; None is any number."""
    if cells is None or cells >= 100:
        return _WIDE
    return _MIDDLE if cells >= 60 else _NARROW


def user(uid: int | None) -> str:
    """The user's name, else the number, else a dash."""
    return "-" if uid is None else word(_name_of(uid)) or str(uid)


def command(one: Event) -> str:
    """The command line as the daemon quoted it for a shell, or the file's name where there was none."""
    text = printable(one.raw("CMDLINE")) or shell(one.raw("FILENAME"))
    return f"{text} # cut" if b"argv" in one.raw("TRUNCATED").split() else text


def outcome(one: Event) -> str:
    """In brackets, why the exec failed, or how the process ended; empty for an exec that did not fail."""
    if one.kind == "ended":
        return f"[{_ending(one)}]"
    if one.kind != "failed":
        return ""
    return f"[{word(one.raw('ERRNO')) or one.number('RESULT')}]"


def style(one: Event) -> str:
    """What fails is red, and what merely ends isn't loud."""
    if one.kind == "ended":
        return "dim" if one.raw("EXIT_RESULT") == b"success" else "red"
    return "red" if one.kind == "failed" else "bold"


def _ending(one: Event) -> str:
    code, ran, peak = (one.number(name) for name in ("EXIT_CODE", "RUN_TIME_USEC", "PEAK_RSS_KB"))
    how = word(one.raw("EXIT_SIGNAL_NAME")) if code is None else f"exit {code}"
    core = "core dumped" if one.raw("EXIT_RESULT") == b"core-dump" else ""
    time = "" if ran is None else duration(ran)
    return ", ".join(filter(None, (how, core, time, "" if peak is None else f"{peak / 1024:.1f} MiB")))


def clip(text: str, room: int | None) -> str:
    """The text as far as a console with so much room shows it; None is any amount."""
    return text if room is None else cut(text, room)


class Short:
    """Prints events in the columns that fit the console: time, pid, user, comm, message, command.

    With `hosts` each line has the host's name too.
    """

    def __init__(self, console: Console, *, hosts: bool = False) -> None:
        self._console = console
        self._layout = layout(console.width)
        self._hosts = hosts and self._layout.user > 0

    def __call__(self, one: Event) -> str:
        """One line, cut to the console's width where it has one."""
        if one.is_missing:
            host = f"{word(one.host)} " if self._hosts else ""
            text = f"{one.time:{self._layout.time}} {host}-- {printable(one.text)}"
            return self._console.paint(clip(text, self._console.width), "yellow", "bold")
        cells = self._cells(one)
        used = sum(width(cell) + 1 for cell, _ in cells)
        room = None if self._console.width is None else max(0, self._console.width - used)
        cells.append((clip(f"{outcome(one)} {command(one)}".lstrip(), room), style(one)))
        return " ".join(self._console.paint(*cell) if cell[1] else cell[0] for cell in cells).rstrip()

    def _cells(self, one: Event) -> list[tuple[str, str]]:
        columns = self._layout
        pid = one.number("PID")
        number = pad("-" if pid is None else str(pid), columns.pid, right=True)
        cells = [(f"{one.time:{columns.time}}", "dim")]
        if self._hosts:
            cells.append((self._column(word(one.host), _HOST), ""))
        cells.append((number, ""))
        for text, cells_wide, style in (
            (user(one.number("UID")), columns.user, "cyan"),
            (word(one.fields.get("COMM", b"?")), columns.comm, ""),
            (printable(one.raw("MESSAGE")), columns.message, ""),
        ):
            if cells_wide:
                cells.append((self._column(text, cells_wide), style))
        return cells

    def _column(self, text: str, cells: int) -> str:
        return pad(text if self._console.width is None else cut(text, cells), cells)

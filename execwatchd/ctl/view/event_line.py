# SPDX-License-Identifier: GPL-2.0-or-later
"""An event as a line of aligned columns."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache

from execwatchd.ctl.journal.events import Event
from execwatchd.ctl.users import name_of
from execwatchd.ctl.view.moments import moment
from execwatchd.ctl.view.terminal import Console, pad, printable, width, word
from execwatchd.shared.durations import duration
from execwatchd.shared.quoting import shell
from execwatchd.shared.visible import has_right_to_left

_name_of = lru_cache(1024)(name_of)


@dataclass(frozen=True)
class Layout:
    """The width of each column in cells; one of 0 cells isn't shown."""

    dated: bool  # the time has its date, although it is of today
    pid: int
    user: int
    comm: int
    message: int


_HOST = 12
_WIDE = Layout(True, 7, 10, 15, 20)
_MIDDLE = Layout(False, 7, 8, 10, 14)
_NARROW = Layout(False, 7, 0, 8, 0)


def layout(cells: int | None) -> Layout:
    """The columns that leave room for the command on a line of so many cells; None is no limit."""
    if cells is None or cells >= 100:
        return _WIDE
    return _MIDDLE if cells >= 60 else _NARROW


def user(uid: int | None) -> str:
    """The user's name, or the UID if it has none, or a dash without a UID."""
    return "-" if uid is None else word(_name_of(uid)) or str(uid)


def command(event: Event) -> str:
    """The command line, quoted for a shell, or the file's name if there are no arguments. An entry that isn't
    the daemon's may have no more than the line.
    """
    words = event.argv
    text = (
        shell(b"\0".join((*words, b"")))
        if words
        else shell(event.filename) or printable(event.raw("CMDLINE"))
    )
    return f"{text} # cut" if b"argv" in event.raw("TRUNCATED").split() else text


def shell_line(event: Event) -> str:
    """The command line, with a comment that a terminal may show it in another order."""
    line = command(event)
    return f"{line} # right-to-left" if has_right_to_left(line) else line


def notes(event: Event) -> str:
    """In brackets what a reader must know of the line: how it came out, and that its order may be another."""
    shown = (event.raw("COMM"), event.raw("MESSAGE"), event.filename, *event.argv)
    is_reordered = has_right_to_left(b"\0".join(shown).decode(errors="replace"))
    return " ".join(filter(None, (outcome(event), "[right-to-left]" if is_reordered else "")))


def outcome(event: Event) -> str:
    """In brackets why the exec failed or how the process ended; empty for an exec that did not fail."""
    if event.kind == "ended":
        return f"[{_ending(event)}]"
    if event.kind != "failed":
        return ""
    return f"[{word(event.raw('ERRNO')) or event.number('RESULT')}]"


def style(event: Event) -> str:
    """Failures are red; ends that are no failure are dim."""
    if event.kind == "ended":
        return "dim" if event.raw("EXIT_RESULT") == b"success" else "red"
    return "red" if event.kind == "failed" else "bold"


def _ending(event: Event) -> str:
    code, ran, peak = (event.number(name) for name in ("EXIT_CODE", "RUN_TIME_USEC", "PEAK_RSS_KB"))
    how = word(event.raw("EXIT_SIGNAL_NAME")) if code is None else f"exit {code}"
    core = "core dumped" if event.raw("EXIT_RESULT") == b"core-dump" else ""
    time = "" if ran is None else duration(ran)
    return ", ".join(filter(None, (how, core, time, "" if peak is None else f"{peak / 1024:.1f} MiB")))


class EventLine:
    """Formats events in the columns that fit the console: time, pid, user, comm, message, command.

    With `hosts` there is a column with the host's name too. There is none for the message as long as all
    events have the same: `messages` are those of the journal.
    """

    def __init__(self, console: Console, *, hosts: bool = False, messages: Collection[bytes] = ()) -> None:
        self._console = console
        self._layout = layout(console.width)
        self._hosts = hosts and self._layout.user > 0
        self._messages = set(messages)

    def __call__(self, event: Event) -> str:
        """The event's line, cut to the console's width if it has one."""
        time = moment(event.time, dated=self._layout.dated)
        if event.is_missing:
            host = f"{word(event.host)} " if self._hosts else ""
            line = self._console.fit(f"{time} {host}-- {printable(event.text)}")
            return self._console.paint(line, "yellow", "bold")
        cells = [(time, "dim"), *self._cells(event)]
        used = sum(width(cell) + 1 for cell, _ in cells)
        cells.append((self._console.fit(f"{notes(event)} {command(event)}".lstrip(), used), style(event)))
        return " ".join(self._console.paint(*cell) if cell[1] else cell[0] for cell in cells).rstrip()

    def _cells(self, event: Event) -> Iterator[tuple[str, str]]:
        columns, message = self._layout, event.raw("MESSAGE")
        if message and len(self._messages) < 2:  # more make no difference
            self._messages.add(message)
        if self._hosts:
            yield self._column(word(event.host), _HOST), ""
        pid = event.number("PID")
        yield pad("-" if pid is None else str(pid), columns.pid, right=True), ""
        for text, wide, style in (
            (user(event.number("UID")), columns.user, "cyan"),
            (word(event.fields.get("COMM", b"?")), columns.comm, ""),
            (printable(message), columns.message if len(self._messages) > 1 else 0, ""),
        ):
            if wide:
                yield self._column(text, wide), style

    def _column(self, text: str, cells: int) -> str:
        return pad(text if self._console.width is None else self._console.cut(text, cells), cells)

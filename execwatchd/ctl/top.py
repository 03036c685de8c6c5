# SPDX-License-Identifier: GPL-2.0-or-later
"""`execwatchctl top`: who runs what how often, live or once."""

import os
import sys
import time
from argparse import Namespace
from typing import TYPE_CHECKING, Protocol

from execwatchd.ctl import topview, when
from execwatchd.ctl.events import dump
from execwatchd.ctl.log import require_readable
from execwatchd.ctl.ports import Entry, Journal, Query, Tools
from execwatchd.ctl.query import everything, source
from execwatchd.ctl.screen import Screen
from execwatchd.ctl.tally import WINDOW, Tally
from execwatchd.ctl.terminal import Console
from execwatchd.ctl.topview import View
from execwatchd.errors import EXIT_USAGE, Failure

if TYPE_CHECKING:
    from collections.abc import Iterator

_BINS = 20  # of a snapshot's trend
_SINCE = 60_000_000  # µs that a snapshot goes back unless it is told
_PER_SECOND = 2000  # entries read of a live journal: a twentieth of a processor
_LATE = 0.1  # s after its end in which an interval's last entries arrive


def run(options: Namespace, tools: Tools) -> int:
    """Show it until told to end, or once where there is no terminal to show it on."""
    once = options.once or options.json or not _is_live()
    with tools.journal(source(options)) as journal:
        if once:
            return _once(options, journal, tools.console)
        require_readable(journal)
        with Screen(sys.stdin.fileno(), tools.console.out) as screen:
            Live(options, journal, tools.console, screen).run()
    return 0


def _is_live() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def _once(options: Namespace, journal: Journal, console: Console) -> int:
    until = time.time_ns() // 1000
    since = when.parse(options.since) if options.since else until - _SINCE
    if since > until:
        raise Failure(f"--since {options.since} is yet to come", code=EXIT_USAGE)
    tally = Tally(max(1, -(-(until + 1 - since) // _BINS)), since)
    for entry in journal.entries(Query(everything(options), since, until), lambda: None):
        tally.add(entry)
    if not tally.total.execs:
        require_readable(journal)
    view = View(tally, options.by, _BINS - 1, seconds=(until - since) / 1e6)
    if options.json:
        console.line(dump(topview.as_json(view, since, until)))
    else:
        for line in topview.snapshot(view, console):
            console.line(line)
    return 0


class Display(Protocol):
    """A screen with keys, as screen.Screen is one."""

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows now."""

    def draw(self, lines: list[str]) -> None:
        """These, as many as there are rows."""

    def wait(self, seconds: float) -> str | None:
        """What was typed within this time; None: no one is there."""


class Live:
    """Reads what is new once an interval, and at most so much of it that a storm costs no more."""

    def __init__(self, options: Namespace, journal: Journal, console: Console, screen: Display) -> None:
        self._journal = journal
        self._console = console
        self._screen = screen
        self._by: str = options.by
        self._interval: float = options.interval
        self._most = max(500, int(_PER_SECOND * options.interval))
        width = int(options.interval * 1_000_000)
        self._tally = Tally(width)
        self._now = time.time_ns() // 1000
        self._catching_up = bool(options.since)
        self._paused = False
        self._skipped = False
        since = when.parse(options.since) if options.since else self._now - WINDOW * width
        lines = None if options.since else self._most
        query = Query(everything(options), since, lines=lines, follow=True)
        self._entries: Iterator[Entry | None] = journal.polled(query)

    def run(self) -> None:
        """Until `q`, or until nobody is there."""
        begins = True
        while True:
            if not self._paused:
                self._read(begins=begins)
                begins = False
            due = time.monotonic() + self._until_the_next()
            while True:
                self._draw()
                typed = self._screen.wait(0.0 if self._catching_up else due - time.monotonic())
                if typed is None or not all(map(self._obey, typed)):
                    return
                if self._catching_up or time.monotonic() >= due:
                    break

    def _until_the_next(self) -> float:
        """Seconds until the current interval is over and its entries are there."""
        return self._interval - (time.time() - _LATE) % self._interval

    def _read(self, *, begins: bool) -> None:
        self._now = time.time_ns() // 1000
        last = 0
        for count in range(self._most):
            entry = next(self._entries)
            if entry is None:
                self._catching_up = False
                break
            if begins and count == 0:
                first = entry.realtime
            self._tally.add(entry)
            last = entry.realtime
        else:
            if begins and not self._catching_up:
                self._tally.skip(0, first)  # the last so many: what was before is not known
            elif not self._catching_up:
                self._journal.skip(self._now)
                self._tally.skip(last, self._now)
                self._skipped = True
        self._tally.forget(self._tally.number(self._now) - WINDOW)

    def _draw(self) -> None:
        notes = {"paused": self._paused, "reading": self._catching_up, "sampled": self._skipped}
        note = ", ".join(name for name, holds in notes.items() if holds)
        view = View(self._tally, self._by, self._tally.number(self._now) - 1, note)
        self._screen.draw(topview.screen(view, self._console, *self._screen.size))

    def _obey(self, key: str) -> bool:
        """False: the end."""
        groupings = {"u": "user", "n": "unit", "c": "command"}
        self._by = groupings.get(key, self._by)
        if key in "p ":
            self._paused = not self._paused
        return key not in "qQ"

# SPDX-License-Identifier: GPL-2.0-or-later
"""`execwatchctl top`: who runs what how often, live or once."""

import os
import sys
import time
from argparse import Namespace
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from execwatchd.ctl.commands.log import name_damaged_files, require_readable
from execwatchd.ctl.journal import times
from execwatchd.ctl.journal.events import dump
from execwatchd.ctl.journal.exec_counts import WINDOW, ExecCounts
from execwatchd.ctl.journal.query import everything, source
from execwatchd.ctl.ports import Entry, Journal, Query, Tools
from execwatchd.ctl.view import top_screen
from execwatchd.ctl.view.output import Output
from execwatchd.ctl.view.screen import Screen
from execwatchd.ctl.view.terminal import Console
from execwatchd.ctl.view.top_screen import SORTS, View
from execwatchd.shared.errors import EXIT_USAGE, Failure

if TYPE_CHECKING:
    from collections.abc import Iterator

_BINS = 20  # of a snapshot's trend
_SINCE = 60_000_000  # µs that a snapshot goes back without --since
_PER_SECOND = 2000  # entries read a second of a live journal, which takes a twentieth of a processor
_LONGEST = 2.0  # s between two reads, however long the interval is, so that each is short
_LATE = 0.1  # s that the last entries of an interval may take to arrive


def run(options: Namespace, tools: Tools) -> int:
    """Show the counts until `q` or a signal; only once where there is no terminal."""
    once = options.once or options.json or not _is_live()
    with tools.journal(source(options)) as journal:
        if once:
            return _once(options, journal, tools.console)
        require_readable(journal)
        name_damaged_files(journal)
        with Screen(sys.stdin.fileno(), tools.console.out) as screen:
            Live(options, journal, tools.console, screen).run()
    return 0


def _is_live() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def _once(options: Namespace, journal: Journal, console: Console) -> int:
    until = time.time_ns() // 1000
    since = _since(options, until)
    if since is None:
        since = until - _SINCE
    counts = ExecCounts(max(1, -(-(until + 1 - since) // _BINS)), since)
    output = Output(console)
    for entry in journal.entries(Query(everything(options), since, until, on_read=output.read), lambda: None):
        counts.add(entry)
    if not counts.total.execs:
        require_readable(journal)
    name_damaged_files(journal)
    seconds = (until - since) / 1e6
    view = View(counts, options.by, _BINS - 1, seconds=seconds, sort=options.sort, limit=options.lines)
    if options.json:
        output.print([dump(top_screen.as_json(view, since, until))])
    else:
        output.print(top_screen.snapshot(view, console))
    return 0


def _since(options: Namespace, now: int) -> int | None:
    since = times.parse(options.since) if options.since else None
    if since is not None and since > now:
        raise Failure(f"--since {options.since} is yet to come", code=EXIT_USAGE)
    return since


class Display(Protocol):
    """A screen with keys: screen.Screen, or a stand-in of the tests."""

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows now."""

    def draw(self, lines: list[str]) -> None:
        """Show these lines, one for each row."""

    def wait(self, seconds: float) -> str | None:
        """What was typed within this time; None: end."""


class Live:
    """Reads the new entries once an interval. What it reads is limited, so that a storm costs no more."""

    def __init__(self, options: Namespace, journal: Journal, console: Console, screen: Display) -> None:
        self._journal = journal
        self._console = console
        self._screen = screen
        self._by: str = options.by
        self._sort: str = options.sort
        self._lines: int | None = options.lines
        self._interval: float = options.interval
        self._limit = max(500, int(_PER_SECOND * min(options.interval, _LONGEST)))
        width = int(options.interval * 1_000_000)
        self._counts = ExecCounts(width)
        self._now = time.time_ns() // 1000
        since = _since(options, self._now)
        self._catching_up = since is not None
        self._is_first_read = True
        self._paused = False
        self._is_sampled = False
        start = self._now - WINDOW * width if since is None else since
        lines = self._limit if since is None else None
        query = Query(everything(options), start, lines=lines, follow=True)
        self._entries: Iterator[Entry | None] = journal.polled(query)

    def run(self) -> None:
        """Until `q` is typed or the screen ends."""
        while True:
            if not self._paused:
                self._read()
            due = time.monotonic() + self._until_the_next()
            while True:
                self._draw()
                typed = self._screen.wait(due - time.monotonic())
                if typed is None or not all(map(self._obey, typed)):
                    return
                if time.monotonic() >= due:
                    break

    def _until_the_next(self) -> float:
        """Seconds until the next read: when the current interval is over and its entries have arrived."""
        if self._catching_up and not self._paused:
            return 0.0
        return min(_LONGEST, self._interval - (time.time() - _LATE) % self._interval)

    def _read(self) -> None:
        self._now = time.time_ns() // 1000
        first = last = 0
        for entry in islice(self._entries, self._limit):
            if entry is None:
                self._catching_up = False
                break
            self._counts.add(entry)
            first, last = first or entry.realtime, entry.realtime
        else:
            if not self._catching_up:
                self._skip(first, last)
        self._is_first_read = False
        self._counts.forget(self._counts.number(self._now) - WINDOW)

    def _skip(self, first: int, last: int) -> None:
        """Too many to read: the first read leaves out those before `first`, others those after `last`."""
        if self._is_first_read:
            self._counts.skip(0, first)
        elif last < self._now:  # else it would read entries twice
            self._journal.skip(self._now)
            self._counts.skip(last, self._now)
            self._is_sampled = True

    def _draw(self) -> None:
        notes = {"paused": self._paused, "reading": self._catching_up, "sampled": self._is_sampled}
        note = ", ".join(name for name, holds in notes.items() if holds)
        last = self._counts.number(self._now) - 1
        view = View(self._counts, self._by, last, note, sort=self._sort, limit=self._lines)
        self._screen.draw(top_screen.screen(view, self._console, *self._screen.size))

    def _obey(self, key: str) -> bool:
        """Act on a key. Returns False to end."""
        groupings = {"u": "user", "n": "unit", "c": "command"}
        self._by = groupings.get(key, self._by)
        if key == "s":
            self._sort = SORTS[(SORTS.index(self._sort) + 1) % len(SORTS)]
        if key in "p ":
            self._paused = not self._paused
        return key not in "qQ"

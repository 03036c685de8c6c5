# SPDX-License-Identifier: GPL-2.0-or-later
"""A journal of a million entries: each filter streams, so that the first line is at once there."""

import io
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice

import pytest

from execwatchd.ctl.__main__ import main
from execwatchd.ctl.journal.walk import Walk
from execwatchd.ctl.ports import Entry, Query, Source, Tools
from execwatchd.ctl.view.terminal import Console
from tests.fakes.ctl import EPOCH, FakeJournal, FakeManager, exec_entry

ENTRIES = 1_000_000
SHOWN = 200  # of them are looked at here; the rest would take a minute
BOUND = 2 << 20  # bytes


class LargeJournal(FakeJournal):
    """Makes its entries when they are asked for, and counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.made = 0

    def entries(self, query: Query, _before_wait: Callable[[], object]) -> Iterator[Entry]:
        for number in range(ENTRIES):
            self.made += 1
            entry = exec_entry(number, b"ls", b"-la", b"x" * 1000, at=number, CONTAINER=b"c%d" % number)
            query.on_read(entry.realtime)
            if query.accepts(entry):
                yield entry


class Enough(io.StringIO):
    """Notes how many entries were made before each line, and ends the reading like a pipe's other end."""

    def __init__(self, journal: LargeJournal, lines: int) -> None:
        super().__init__()
        self._journal = journal
        self._left = lines
        self.first = 0

    def write(self, text: str) -> int:
        self.first = self.first or self._journal.made
        self._left -= 1
        if not self._left:
            raise EnoughError
        return len(text)


class EnoughError(Exception):
    """Nobody reads any more."""


FILTERS = [
    (),
    ("-g", "LS|ls -la"),
    ("--exe", "ls"),
    ("--exe", "/bin/*"),
    ("--container", "c"),
    ("-p", "info"),
    ("-r",),
    ("--since", "2023-01-01"),
    *(("-o", form) for form in ("json", "json-pretty", "verbose", "cat", "argv", "ecs", "otel")),
]


@pytest.mark.parametrize("arguments", FILTERS, ids=" ".join)
def test_the_first_line_is_there_at_once_and_memory_is_bounded(arguments: tuple[str, ...]) -> None:
    journal = LargeJournal()
    out = Enough(journal, SHOWN)

    @contextmanager
    def opened(_source: Source) -> Iterator[LargeJournal]:
        yield journal

    tools = Tools(Console(out), FakeManager, opened)  # type: ignore[arg-type]
    tracemalloc.start()
    with pytest.raises(EnoughError):
        main(["log", *arguments], tools)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert out.first == 1
    assert journal.made == SHOWN  # what is printed is all that was read
    assert peak < BOUND


class Positions:
    """A reader of a million entries, a second apart, of which each tenth is wanted."""

    def __init__(self) -> None:
        self.at = 0
        self.moves = 0
        self.sought = False

    def seek_head(self) -> None:
        self.at = -1

    def seek_tail(self) -> None:
        self.at = ENTRIES

    def seek_realtime(self, micros: int) -> None:
        self.at = -(-(micros - EPOCH) // 1_000_000) - 1  # before the first of that time
        self.sought = True

    def next(self) -> int | None:
        return self._moved(1)

    def previous(self, count: int = 1) -> int | None:
        return self._moved(1 - count if self.sought else -count)

    def _moved(self, by: int) -> int | None:
        self.moves, self.sought = self.moves + 1, False
        self.at = min(ENTRIES, max(-1, self.at + by))
        return EPOCH + self.at * 1_000_000 if 0 <= self.at < ENTRIES else None

    def entry(self) -> Entry:
        return exec_entry(self.at, b"ls")


def is_tenth(entry: Entry) -> bool:
    return entry.fields["EXECWATCH_PID"].endswith(b"0")


@pytest.mark.parametrize("until", [None, EPOCH + 500_000 * 1_000_000])
def test_the_last_that_match_are_sought_from_the_end(until: int | None) -> None:
    end = ENTRIES if until is None else 500_001
    tenths = [number for number in range(end - 40, end) if number % 10 == 0]
    for reverse in (False, True):
        reader = Positions()
        query = Query(lines=3, accept=is_tenth, until=until, reverse=reverse)
        walk = Walk(reader, query, in_order=True)  # type: ignore[arg-type]
        times = walk.newest_first() if reverse else walk.oldest_first()
        wanted = (reader.at for _ in times if is_tenth(reader.entry()))
        assert list(islice(wanted, 3)) == (tenths[:-4:-1] if reverse else tenths[-3:])
        assert reader.moves < 100


def test_from_a_point_in_time_nothing_before_it_is_read() -> None:
    reader, since = Positions(), EPOCH + 700_000 * 1_000_000
    walk = Walk(reader, Query(since=since, accept=is_tenth), in_order=True)  # type: ignore[arg-type]
    assert next(walk.oldest_first()) == since
    assert reader.moves == 1

# SPDX-License-Identifier: GPL-2.0-or-later
"""The journal as the commands read it.

A host's own journal is in the order of time, so bisection finds a point in time. A directory may be a
collector's: there all hosts share files, in the order of arrival. After an outage a host's old entries come
behind the new ones of others, and behind its own where a request was repeated. Only reading all of it finds
a point in time there.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from execwatchd.ctl.journal.duplicates import Duplicates
from execwatchd.ctl.journal.journal_files import received_since
from execwatchd.ctl.journal.reader import Reader
from execwatchd.ctl.ports import Clause, Entry, Query, Source

_PLACES = Path("/var/log/journal"), Path("/run/log/journal")


class SystemdJournal:
    """`ports.Journal` on sd-journal. A following reader ends when the descriptor `hangup` is hung up."""

    def __init__(self, source: Source, hangup: int | None = None) -> None:
        self._source = source
        self._in_order = source.directory is None
        self._reader = Reader(source)
        self._finder: Reader | None = None
        self._hangup = hangup
        self._duplicates = Duplicates(self._search)

    def close(self) -> None:
        """Close the files."""
        if self._finder is not None:
            self._finder.close()
        self._reader.close()

    def entries(self, query: Query, before_wait: Callable[[], object]) -> Iterator[Entry]:
        """The entries in their order. A following reader calls `before_wait` whenever it has read all."""
        for entry in self.polled(query):
            if entry is not None:
                yield entry
                continue
            before_wait()
            if not self._reader.wait(self._hangup):
                return
        before_wait()

    def polled(self, query: Query) -> Iterator[Entry | None]:
        """The same without waiting: a following reader gives None whenever it has read all."""
        self._leave_out_old_files(query)
        self._reader.match(query.clauses)
        self._reader.watch()
        realtime = self._first(query)
        while True:
            while realtime is not None:
                if self._in_order and query.until is not None and realtime > query.until:
                    return
                if query.covers(realtime):
                    entry = self._reader.entry()
                    if query.accepts(entry) and not self._duplicates.is_copy(entry, self._reader.cursor):
                        yield entry
                realtime = self._reader.next()
            if not query.follow:
                return
            yield None
            self._reader.process()
            realtime = self._reader.next()

    def skip(self, until: int) -> None:
        """Have `polled` go on with entries of this point in time (µs since the epoch) or later."""
        if self._in_order:
            self._reader.seek_realtime(until)
        else:  # with entries that have yet to arrive
            self._reader.seek_tail()
            self._reader.previous()

    def find(self, clauses: Sequence[Clause]) -> Entry | None:
        """The first entry that satisfies the clauses. The reading of `entries` isn't disturbed."""
        return next((entry for entry, _ in self._search(clauses)), None)

    def boots(self) -> Sequence[str]:
        """The boot ids in the journal, oldest first."""
        starts = []
        for boot in self._reader.boots():
            self._reader.match(((b"_BOOT_ID=" + boot,),))
            self._reader.seek_head()
            if (realtime := self._reader.next()) is not None:
                starts.append((realtime, boot.decode("ascii")))
        return [boot for _, boot in sorted(starts)]

    def readable(self) -> bool:
        """Whether there is a system journal that may be read."""
        places = [Path(self._source.directory)] if self._source.directory else _PLACES
        files = (path for place in places for path in place.rglob("*.journal"))
        return any(os.access(path, os.R_OK) for path in files if not path.name.startswith("user-"))

    def _search(self, clauses: Sequence[Clause]) -> Iterator[tuple[Entry, str]]:
        """Every entry that satisfies the clauses, with its cursor, by a reader of its own."""
        if self._finder is None:
            self._finder = Reader(self._source)
            self._finder.watch()
        self._finder.process()  # there may be new files
        self._finder.match(clauses)
        self._finder.seek_head()
        while self._finder.next() is not None:
            yield self._finder.entry(), self._finder.cursor()

    def _leave_out_old_files(self, query: Query) -> None:
        directory = self._source.directory
        if directory is not None and query.since is not None and not query.follow:
            with suppress(OSError):  # a file was deleted meanwhile: read all
                recent = received_since(Path(directory), query.since)
                self._reader.close()
                self._reader = Reader(self._source, recent)

    def _first(self, query: Query) -> int | None:
        """Go to the first entry that may be wanted, without reading those before it. Returns its time."""
        if query.lines is None:
            return self._oldest(query)
        last = self._last(query)
        if last is None:
            # nothing matches yet: everything that comes later is wanted
            return self._oldest(query)
        if not query.lines:
            return self._reader.next()
        too_old = self._in_order and query.since is not None and last < query.since
        return self._oldest(query) if too_old else last

    def _oldest(self, query: Query) -> int | None:
        if query.since is None or not self._in_order:
            self._reader.seek_head()
        else:
            self._reader.seek_realtime(query.since)
        return self._reader.next()

    def _last(self, query: Query) -> int | None:
        if query.until is None or not self._in_order:
            self._reader.seek_tail()
        else:
            self._reader.seek_realtime(query.until + 1)
        within = query.since is not None or query.until is not None
        if query.ran is not None or (within and not self._in_order):
            return self._last_accepted(query)
        return self._reader.previous(query.lines or 1)

    def _last_accepted(self, query: Query) -> int | None:
        """Go back entry by entry, where only reading finds out which of them are wanted."""
        earliest = None
        left = query.lines or 1
        while left and (realtime := self._reader.previous()) is not None:
            earliest = realtime
            left -= query.covers(realtime) and query.accepts(self._reader.entry())
            if self._in_order and query.since is not None and realtime < query.since:
                break
        return earliest


@contextmanager
def open_journal(source: Source, hangup: int | None = None) -> Iterator[SystemdJournal]:
    """Open the journal files of the source. Raises Failure."""
    with closing(SystemdJournal(source, hangup)) as journal:
        yield journal

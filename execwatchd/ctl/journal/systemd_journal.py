# SPDX-License-Identifier: GPL-2.0-or-later
"""The journal as the commands read it, whole or damaged."""

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import islice
from pathlib import Path

from execwatchd.ctl.journal.damaged_files import DamagedFiles
from execwatchd.ctl.journal.duplicates import Duplicates
from execwatchd.ctl.journal.journal_files import PLACES, received_since
from execwatchd.ctl.journal.reader import Reader
from execwatchd.ctl.journal.salvage import merged
from execwatchd.ctl.journal.walk import Walk
from execwatchd.ctl.ports import Clause, Entry, Query, Source
from execwatchd.shared.errors import Failure


class SystemdJournal:
    """`ports.Journal` on sd-journal. A following reader ends when the descriptor `hangup` is hung up."""

    def __init__(self, source: Source, hangup: int | None = None) -> None:
        self._source = source
        self._in_order = source.directory is None
        self._damaged = DamagedFiles(source)
        self._reader = Reader(source, on_damage=self._damaged.note)
        self._opened: Sequence[Path] = ()  # if not all
        self._finder: Reader | None = None
        self._hangup = hangup

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
        """The same without waiting: a following reader gives None whenever it has read all.

        It reads nothing of damaged files, which journald writes to no more.
        """
        return self._followed(query) if query.follow else self._present(query)

    def _followed(self, query: Query) -> Iterator[Entry | None]:
        duplicates = Duplicates(self._search)
        self._reader.match(query.clauses)
        self._reader.watch()
        walk = Walk(self._reader, query, in_order=self._in_order)
        positions = walk.oldest_first()
        while True:
            yield from self._wanted(positions, query, duplicates)
            if walk.is_over:
                return
            yield None
            self._reader.process()
            positions = walk.resumed()

    def _present(self, query: Query) -> Iterator[Entry]:
        """Those that are there now."""
        recent = self._recent(query)
        damaged = self._damaged.among(recent)
        sound = [path for path in recent if path not in damaged]
        # of a directory's subdirectories sd-journal opens only those that no namespace is in the name of
        if not damaged and (self._in_order or not sound):
            return self._read(query)
        if sound and not self._reopen(sound):
            return self._read(query)
        return merged(self._read(query) if sound else iter(()), damaged, query, self._damaged.note)

    def _read(self, query: Query) -> Iterator[Entry]:
        self._reader.match(query.clauses)
        walk = Walk(self._reader, query, in_order=self._in_order)
        positions = walk.newest_first() if query.reverse else walk.oldest_first()
        wanted = self._wanted(positions, query, Duplicates(self._search, reverse=query.reverse))
        return islice(wanted, query.lines) if query.reverse else wanted

    def _wanted(self, positions: Iterator[int], query: Query, duplicates: Duplicates) -> Iterator[Entry]:
        for _ in positions:
            entry = self._reader.entry()
            if query.accepts(entry) and not duplicates.is_copy(entry, self._reader.cursor):
                yield entry

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
        for boot in self._reader.values("_BOOT_ID"):
            self._reader.match(((b"_BOOT_ID=" + boot,),))
            self._reader.seek_head()
            if (realtime := self._reader.next()) is not None:
                starts.append((realtime, boot.decode("ascii")))
        return [boot for _, boot in sorted(starts)]

    def messages(self) -> Collection[bytes]:
        """Every message that an exec in the journal bears, in no order."""
        with suppress(OSError):  # the index is damaged
            return set(self._reader.values("EXECWATCH_MESSAGE"))
        return ()

    def damage(self) -> Sequence[str]:
        """A line for each file that can't be read whole, which names it; those found since the last call."""
        return self._damaged.lines()

    def readable(self) -> bool:
        """Whether there is a system journal that may be read."""
        places = [Path(self._source.directory)] if self._source.directory else PLACES
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

    def _recent(self, query: Query) -> Sequence[Path]:
        """The files that may have entries of the query's time."""
        directory = self._source.directory
        if directory is not None and query.since is not None:
            with suppress(OSError):  # a file was deleted meanwhile: read all
                return received_since(Path(directory), query.since)
        return self._damaged.files

    def _reopen(self, files: Sequence[Path]) -> bool:
        """Read only these files, unless they are there no more."""
        if files == self._opened:
            return True
        try:
            reader = Reader(self._source, files, self._damaged.note)
        except Failure:
            return False
        self._reader.close()
        self._reader, self._opened = reader, files
        return True


@contextmanager
def open_journal(source: Source, hangup: int | None = None) -> Iterator[SystemdJournal]:
    """Open the journal files of the source. Raises Failure."""
    with closing(SystemdJournal(source, hangup)) as journal:
        yield journal

# SPDX-License-Identifier: GPL-2.0-or-later
"""Moves a reader through the entries of a query, and reads no more of them than it must.

A host's own journal is in the order of time, so bisection finds a point in time. A directory may be a
collector's: there all hosts share files, in the order of arrival. After an outage a host's old entries come
behind the new ones of others, and behind its own where a request was repeated. Only reading all of it finds
a point in time there.
"""

from collections.abc import Iterator

from execwatchd.ctl.journal.reader import Reader
from execwatchd.ctl.ports import Query


class Walk:
    """The positions of a query's entries; `in_order`: entries are in the order of time."""

    def __init__(self, reader: Reader, query: Query, *, in_order: bool) -> None:
        self._reader = reader
        self._query = query
        self._in_order = in_order
        self.is_over = False  # nothing that is wanted can follow

    def newest_first(self) -> Iterator[int]:
        """The time of each entry, with the reader at it, from the last to the first."""
        self._seek_end()
        since = self._query.since or 0
        while (realtime := self._reader.previous()) is not None:
            if self._in_order and realtime < since:
                return
            yield from self._covered(realtime)

    def oldest_first(self) -> Iterator[int]:
        """The time of each entry, with the reader at it, until there is none yet: then it may be resumed."""
        yield from self._onward(self._first())

    def resumed(self) -> Iterator[int]:
        """The same of the entries that came meanwhile."""
        yield from self._onward(self._reader.next())

    def _onward(self, realtime: int | None) -> Iterator[int]:
        until = self._query.until
        while realtime is not None:
            self.is_over = self._in_order and until is not None and realtime > until
            if self.is_over:
                return
            yield from self._covered(realtime)
            realtime = self._reader.next()

    def _covered(self, realtime: int) -> Iterator[int]:
        self._query.on_read(realtime)
        if self._query.covers(realtime):
            yield realtime

    def _first(self) -> int | None:
        """Go to the first entry that may be wanted, without reading those before it. Returns its time."""
        query = self._query
        if query.lines is None:
            return self._oldest()
        last = self._last()
        if last is None:
            # nothing matches yet: everything that comes later is wanted
            return self._oldest()
        if not query.lines:
            return self._reader.next()
        too_old = self._in_order and query.since is not None and last < query.since
        return self._oldest() if too_old else last

    def _oldest(self) -> int | None:
        if self._query.since is None or not self._in_order:
            self._reader.seek_head()
        else:
            self._reader.seek_realtime(self._query.since)
        return self._reader.next()

    def _seek_end(self) -> None:
        if self._query.until is None or not self._in_order:
            self._reader.seek_tail()
        else:
            self._reader.seek_realtime(self._query.until + 1)

    def _last(self) -> int | None:
        query = self._query
        self._seek_end()
        within = query.since is not None or query.until is not None
        if query.accept is not None or (within and not self._in_order):
            return self._last_accepted()
        return self._reader.previous(query.lines or 1)

    def _last_accepted(self) -> int | None:
        """Go back entry by entry, where only reading finds out which of them are wanted."""
        query, earliest = self._query, None
        left = query.lines or 1
        while left and (realtime := self._reader.previous()) is not None:
            query.on_read(realtime)
            earliest = realtime
            left -= query.covers(realtime) and query.accepts(self._reader.entry())
            if self._in_order and query.since is not None and realtime < query.since:
                break
        return earliest

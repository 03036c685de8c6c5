# SPDX-License-Identifier: GPL-2.0-or-later
"""The journal as the log command reads it; the only module of the tool that knows systemd-python."""

import os
import select
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from systemd import journal

from execwatchd.ctl.events import NUMBERS, PREFIX, TEXTS
from execwatchd.ctl.ports import Clause, Entry, Query, Source
from execwatchd.errors import Failure

_Fields = Mapping[str, Any]  # as systemd-python returns an entry; empty: there is none

OUR_NAMESPACE = "execwatchd"  # as contrib/systemd's drop-in for a journal of our own names it
_INCLUDE_DEFAULT_NAMESPACE = 1 << 5  # SD_JOURNAL_INCLUDE_DEFAULT_NAMESPACE of sd-journal.h
_RAW = (
    "MESSAGE",
    "MESSAGE_ID",
    "_BOOT_ID",
    "_MACHINE_ID",
    "_HOSTNAME",
    *(PREFIX + name for name in (*NUMBERS, *TEXTS)),
)
_CONVERTERS: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(_RAW, bytes),
    "__REALTIME_TIMESTAMP": int,
    "__MONOTONIC_TIMESTAMP": lambda stamp: stamp[0],
}
_EXEC = "_MACHINE_ID", "_BOOT_ID", "EXECWATCH_PID", "EXECWATCH_TIMESTAMP"  # no two execs share all of them
_PLACES = Path("/var/log/journal"), Path("/run/log/journal")


class SystemdJournal:
    """`ports.Journal` on sd-journal; `hangup` is a descriptor whose hang-up ends a following reader."""

    def __init__(
        self, open_reader: Callable[[], journal.Reader], files: Sequence[Path], hangup: int | None = None
    ) -> None:
        self._reader = open_reader()
        self._files = files
        self._hangup = hangup
        self._doubles = Doubles(open_reader)
        self._open_reader = open_reader
        self._finder: journal.Reader | None = None

    def close(self) -> None:
        """Close the files."""
        self._doubles.close()
        if self._finder is not None:
            self._finder.close()
        self._reader.close()

    def entries(self, query: Query, before_wait: Callable[[], object]) -> Iterator[Entry]:
        """The entries in their order; a following reader calls `before_wait` each time it has no more."""
        for entry in self.polled(query):
            if entry is not None:
                yield entry
                continue
            before_wait()
            if not self._wait():
                return
        before_wait()

    def polled(self, query: Query) -> Iterator[Entry | None]:
        """The entries in their order; None instead of waiting, each time a following reader has no more."""
        _match(self._reader, query.clauses)
        self._reader.fileno()  # from here on `process` notices what changes
        fields = self._first(query)
        while True:
            while fields:
                entry = _entry(fields)
                if query.until is not None and entry.realtime > query.until:
                    return
                if query.accepts(entry) and not self._doubles.has(entry, fields["__CURSOR"]):
                    yield entry
                fields = self._next()
            if not query.follow:
                return
            yield None
            self._reader.process()
            fields = self._next()

    def skip(self, until: int) -> None:
        """`polled` goes on with what is not before this point in time, in µs since the epoch."""
        self._reader.seek_realtime(until)

    def find(self, clauses: Sequence[Clause]) -> Entry | None:
        """The first entry that satisfies them, whatever is being read."""
        if self._finder is None:
            self._finder = self._open_reader()
        _match(self._finder, clauses)
        self._finder.seek_head()
        fields = self._finder.get_next()
        return _entry(fields) if fields else None

    def boots(self) -> Sequence[str]:
        """The boot ids that the journal knows, oldest first."""
        starts = []
        for boot in self._reader.query_unique("_BOOT_ID"):
            _match(self._reader, ((b"_BOOT_ID=" + boot,),))
            self._reader.seek_head()
            if first := self._next():
                starts.append((_entry(first).realtime, boot.decode("ascii")))
        return [boot for _, boot in sorted(starts)]

    def readable(self) -> bool:
        """Whether there is a system journal that may be read."""
        found = (path for place in self._files for path in place.rglob("*.journal"))
        return any(os.access(path, os.R_OK) for path in found if not path.name.startswith("user-"))

    def _first(self, query: Query) -> _Fields:
        """Stand at the first entry wanted and read it: what comes before it costs nothing."""
        if query.lines is None:
            return self._oldest(query)
        last = self._last(query)
        if not last:
            # nothing matches yet: whatever comes later is wanted
            return self._oldest(query)
        if not query.lines:
            return self._next()
        too_old = query.since is not None and _entry(last).realtime < query.since
        return self._oldest(query) if too_old else last

    def _oldest(self, query: Query) -> _Fields:
        if query.since is None:
            self._reader.seek_head()
        else:
            self._reader.seek_realtime(query.since)
        return self._next()

    def _last(self, query: Query) -> _Fields:
        if query.until is None:
            self._reader.seek_tail()
        else:
            self._reader.seek_realtime(query.until + 1)
        if query.ran is not None:
            return self._last_accepted(query)
        fields: _Fields = self._reader.get_previous(query.lines or 1)
        return fields

    def _last_accepted(self, query: Query) -> _Fields:
        """One by one: how far back so many are, only reading tells."""
        fields: _Fields = {}
        left = query.lines or 1
        while left and (found := self._reader.get_previous()):
            fields, entry = found, _entry(found)
            left -= query.accepts(entry)
            if query.since is not None and entry.realtime < query.since:
                break
        return fields

    def _next(self) -> _Fields:
        fields: _Fields = self._reader.get_next()
        return fields

    def _wait(self) -> bool:
        """Sleep until the journal changes; False if nobody reads the output any more."""
        poll = select.poll()
        poll.register(self._reader.fileno(), self._reader.get_events())
        if self._hangup is not None:
            poll.register(self._hangup, 0)
        timeout = self._reader.get_timeout_ms()
        ready = dict(poll.poll(timeout if timeout >= 0 else None))
        return self._hangup not in ready


class Doubles:
    """Entries that a host sent twice to a collector, as it does after a request that was broken off.

    The copies have all in common, the time included. A host's entries come in the order of their times, so
    only one that steps back can be a copy; whether it is, the journal itself knows.
    """

    def __init__(self, open_reader: Callable[[], journal.Reader]) -> None:
        self._open_reader = open_reader
        self._reader: journal.Reader | None = None
        self._latest: dict[tuple[bytes, bytes], int] = {}

    def has(self, entry: Entry, cursor: str) -> bool:
        """Whether the same entry came before, further up in the journal."""
        source = entry.fields.get("_MACHINE_ID", b""), entry.fields.get("_BOOT_ID", b"")
        latest = self._latest.get(source, -1)
        self._latest[source] = max(latest, entry.monotonic)
        return entry.monotonic <= latest and self._first(entry) not in (None, cursor)

    def close(self) -> None:
        """Close what was opened to look."""
        if self._reader is not None:
            self._reader.close()

    def _first(self, entry: Entry) -> str | None:
        """The cursor of the first copy of the entry."""
        if self._reader is None:
            self._reader = self._open_reader()
        self._reader.flush_matches()
        terms = _EXEC if "EXECWATCH_TIMESTAMP" in entry.fields else (*_EXEC[:2], "MESSAGE_ID", "MESSAGE")
        for name in terms:
            if name in entry.fields:
                self._reader.add_match(name.encode() + b"=" + entry.fields[name])
        self._reader.seek_head()
        while fields := self._reader.get_next():
            if _entry(fields) == entry:
                return str(fields["__CURSOR"])
        return None


@contextmanager
def open_journal(source: Source, hangup: int | None = None) -> Iterator[SystemdJournal]:
    """Open the journal files of the source."""
    directory = source.directory
    try:
        found = SystemdJournal(
            lambda: journal.Reader(**_arguments(source), converters=_CONVERTERS),
            [Path(directory)] if directory else _PLACES,
            hangup,
        )
    except OSError as error:
        raise Failure(
            f"cannot read the journal{' in ' + directory if directory else ''}: {error.strerror}"
        ) from None
    with closing(found):
        yield found


def _match(reader: journal.Reader, clauses: Sequence[Clause]) -> None:
    reader.flush_matches()
    for clause in clauses:
        for index, term in enumerate(clause):
            if index:
                reader.add_disjunction()
            reader.add_match(term)
        reader.add_conjunction()


def _arguments(source: Source) -> dict[str, Any]:
    if source.directory:
        return {"path": source.directory}
    if source.namespace:
        return {"namespace": source.namespace}
    return {"flags": journal.LOCAL_ONLY | _INCLUDE_DEFAULT_NAMESPACE, "namespace": OUR_NAMESPACE}


def _entry(fields: _Fields) -> Entry:
    raw = {name: value for name in _RAW if (value := _one(fields.get(name))) is not None}
    return Entry(fields["__REALTIME_TIMESTAMP"], fields["__MONOTONIC_TIMESTAMP"], raw)


def _one(value: bytes | list[bytes] | None) -> bytes | None:
    # the daemon writes each field once: where there are several, somebody else did
    return value[0] if isinstance(value, list) else value

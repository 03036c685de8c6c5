# SPDX-License-Identifier: GPL-2.0-or-later
"""The journal as the log command reads it; the only module of the tool that knows systemd-python."""

import os
import select
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from systemd import journal

from execwatchd.ctl.events import NUMBERS, PREFIX, TEXTS
from execwatchd.ctl.ports import Clause, Entry, Query, Source
from execwatchd.errors import Failure

_Fields = Mapping[str, Any]  # as systemd-python returns an entry; empty: there is none

OUR_NAMESPACE = "execwatchd"  # as contrib/systemd's drop-in for a journal of our own names it
_INCLUDE_DEFAULT_NAMESPACE = 1 << 5  # SD_JOURNAL_INCLUDE_DEFAULT_NAMESPACE of sd-journal.h
_RAW = ("MESSAGE", "MESSAGE_ID", "_BOOT_ID", *(PREFIX + name for name in (*NUMBERS, *TEXTS)))
_CONVERTERS: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(_RAW, bytes),
    "__REALTIME_TIMESTAMP": int,
    "__MONOTONIC_TIMESTAMP": lambda stamp: stamp[0],
}
_PLACES = Path("/var/log/journal"), Path("/run/log/journal")


class SystemdJournal:
    """`ports.Journal` on sd-journal; `hangup` is a descriptor whose hang-up ends a following reader."""

    def __init__(self, reader: journal.Reader, files: Sequence[Path], hangup: int | None = None) -> None:
        self._reader = reader
        self._files = files
        self._hangup = hangup

    def entries(self, query: Query, before_wait: Callable[[], object]) -> Iterator[Entry]:
        """The entries in their order; a following reader calls `before_wait` each time it has no more."""
        self._match(query.clauses)
        fields = self._first(query)
        while True:
            while fields:
                entry = _entry(fields)
                if query.until is not None and entry.realtime > query.until:
                    return
                yield entry
                fields = self._next()
            before_wait()
            if not query.follow or not self._wait():
                return
            fields = self._next()

    def boots(self) -> Sequence[str]:
        """The boot ids that the journal knows, oldest first."""
        starts = []
        for boot in self._reader.query_unique("_BOOT_ID"):
            self._match(((b"_BOOT_ID=" + boot,),))
            self._reader.seek_head()
            if first := self._next():
                starts.append((_entry(first).realtime, boot.decode("ascii")))
        return [boot for _, boot in sorted(starts)]

    def readable(self) -> bool:
        """Whether there is a system journal that may be read."""
        found = (path for place in self._files for path in place.rglob("*.journal"))
        return any(os.access(path, os.R_OK) for path in found if not path.name.startswith("user-"))

    def _match(self, clauses: Sequence[Clause]) -> None:
        self._reader.flush_matches()
        for clause in clauses:
            for index, term in enumerate(clause):
                if index:
                    self._reader.add_disjunction()
                self._reader.add_match(term)
            self._reader.add_conjunction()

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
        fields: _Fields = self._reader.get_previous(query.lines or 1)
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
        self._reader.process()
        return self._hangup not in ready


@contextmanager
def open_journal(source: Source, hangup: int | None = None) -> Iterator[SystemdJournal]:
    """Open the journal files of the source."""
    directory = source.directory
    try:
        reader = journal.Reader(**_arguments(source), converters=_CONVERTERS)
    except OSError as error:
        raise Failure(
            f"cannot read the journal{' in ' + directory if directory else ''}: {error.strerror}"
        ) from None
    with reader:
        yield SystemdJournal(reader, [Path(directory)] if directory else _PLACES, hangup)


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

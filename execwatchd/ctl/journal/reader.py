# SPDX-License-Identifier: GPL-2.0-or-later
"""sd-journal, entry by entry; the only module of the tool that knows systemd-python.

Its conversions of fields are gone round: they cost six times what reading an entry does, and some raise on
what a sender chose.
"""

import select
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from systemd import journal

from execwatchd.ctl.journal.events import NUMBERS, PREFIX, TEXTS
from execwatchd.ctl.ports import Clause, Entry, Source
from execwatchd.shared.errors import Failure

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


class Reader:
    """Stands at an entry, or at an end of the journal or a point in time, where it begins."""

    def __init__(self, source: Source, files: Sequence[Path] = ()) -> None:
        """`files`: only these of the source's directory, if all of them can be read. Raises Failure."""
        try:
            self._reader = _open(source, files)
        except OSError as error:
            where = f" in {source.directory}" if source.directory else ""
            raise Failure(f"cannot read the journal{where}: {error.strerror}") from None
        self.seek_head, self.seek_tail = self._reader.seek_head, self._reader.seek_tail
        self.seek_realtime, self.process = self._reader.seek_realtime, self._reader.process
        self.close = self._reader.close

    def match(self, clauses: Sequence[Clause]) -> None:
        """From now on only entries that satisfy every clause."""
        self._reader.flush_matches()
        for clause in clauses:
            for index, term in enumerate(clause):
                if index:
                    self._reader.add_disjunction()
                self._reader.add_match(term)
            self._reader.add_conjunction()

    def next(self) -> int | None:
        """Go to the next entry: its time, µs since the epoch; None: there is none yet."""
        return int(self._reader._get_realtime()) if self._reader._next() else None

    def previous(self, count: int = 1) -> int | None:
        """Go back so many entries, or as far as there are."""
        return int(self._reader._get_realtime()) if self._reader._previous(count) else None

    def entry(self) -> Entry:
        """The one at which it stands."""
        found = self._reader._get_all()
        raw = {name: value for name in _RAW if (value := _one(found.get(name))) is not None}
        return Entry(self._reader._get_realtime(), self._reader._get_monotonic().timestamp, raw)

    def cursor(self) -> str:
        """What tells this entry from every other one, copies of it included."""
        return str(self._reader._get_cursor())

    def boots(self) -> Iterable[bytes]:
        """The boot ids of all entries, in no order."""
        found: Iterable[bytes] = self._reader.query_unique("_BOOT_ID")
        return found

    def watch(self) -> None:
        """From here on `process` notices what changes."""
        self._reader.fileno()

    def wait(self, hangup: int | None) -> bool:
        """Sleep until the journal changes; False if the descriptor was hung up instead."""
        poll = select.poll()
        poll.register(self._reader.fileno(), self._reader.get_events())
        if hangup is not None:
            poll.register(hangup, 0)
        timeout = self._reader.get_timeout_ms()
        ready = dict(poll.poll(timeout if timeout >= 0 else None))
        return hangup not in ready


def _open(source: Source, files: Sequence[Path]) -> Any:
    converters = {"_BOOT_ID": bytes}
    if files:
        with suppress(OSError):  # of a directory what can't be read is left out, of a list nothing may
            return journal.Reader(files=[str(path) for path in files], converters=converters)
    return journal.Reader(**_arguments(source), converters=converters)


def _arguments(source: Source) -> dict[str, Any]:
    if source.directory:
        return {"path": source.directory}
    if source.namespace:
        return {"namespace": source.namespace}
    return {"flags": journal.LOCAL_ONLY | _INCLUDE_DEFAULT_NAMESPACE, "namespace": OUR_NAMESPACE}


def _one(value: bytes | list[bytes] | None) -> bytes | None:
    # the daemon writes each field once: where there are several, somebody else did
    return value[0] if isinstance(value, list) else value

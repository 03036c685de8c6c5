# SPDX-License-Identifier: GPL-2.0-or-later
"""Entries that a host sent to a collector twice, as it does when it repeats a request that was broken off.

Copies are equal in everything, their times included. A host sends its entries in the order of their times, so
only an entry that is no newer than the latest of its host can be a copy. A search of the journal decides.
"""

from collections.abc import Callable, Iterator, Sequence

from execwatchd.ctl.ports import Clause, Entry

_EXEC = "_MACHINE_ID", "_BOOT_ID", "EXECWATCH_PID", "EXECWATCH_TIMESTAMP"  # no two execs share all of them


class Duplicates:
    """Recognises copies in a journal; `search` gives every entry that satisfies clauses, with its cursor."""

    def __init__(self, search: Callable[[Sequence[Clause]], Iterator[tuple[Entry, str]]]) -> None:
        self._search = search
        self._latest: dict[tuple[bytes, bytes], int] = {}

    def is_copy(self, entry: Entry, cursor: Callable[[], str]) -> bool:
        """Whether the journal has an equal entry further up. To be called for each entry, in their order."""
        source = entry.fields.get("_MACHINE_ID", b""), entry.fields.get("_BOOT_ID", b"")
        latest = self._latest.get(source, -1)
        self._latest[source] = max(latest, entry.monotonic)
        return entry.monotonic <= latest and self._first(entry) not in (None, cursor())

    def _first(self, entry: Entry) -> str | None:
        """The cursor of the first copy of the entry."""
        names = _EXEC if "EXECWATCH_TIMESTAMP" in entry.fields else (*_EXEC[:2], "MESSAGE_ID", "MESSAGE")
        terms = [name.encode() + b"=" + entry.fields[name] for name in names if name in entry.fields]
        candidates = self._search([(term,) for term in terms])
        return next((cursor for candidate, cursor in candidates if candidate == entry), None)

# SPDX-License-Identifier: GPL-2.0-or-later
"""Entries that a host sent twice to a collector, as it does after a request that was broken off.

The copies have all in common, the time included. A host's entries come in the order of their times, so only
one that steps back can be a copy; whether it is, the journal itself knows.
"""

from collections.abc import Callable, Iterator, Sequence

from execwatchd.ctl.ports import Clause, Entry

_EXEC = "_MACHINE_ID", "_BOOT_ID", "EXECWATCH_PID", "EXECWATCH_TIMESTAMP"  # no two execs share all of them


class Doubles:
    """Tells copies from what they are copies of. `search`: every entry of the clauses with its cursor."""

    def __init__(self, search: Callable[[Sequence[Clause]], Iterator[tuple[Entry, str]]]) -> None:
        self._search = search
        self._latest: dict[tuple[bytes, bytes], int] = {}

    def has(self, entry: Entry, cursor: Callable[[], str]) -> bool:
        """Whether the same entry came before, further up in the journal."""
        source = entry.fields.get("_MACHINE_ID", b""), entry.fields.get("_BOOT_ID", b"")
        latest = self._latest.get(source, -1)
        self._latest[source] = max(latest, entry.monotonic)
        return entry.monotonic <= latest and self._first(entry) not in (None, cursor())

    def _first(self, entry: Entry) -> str | None:
        """The cursor of the first copy of the entry."""
        names = _EXEC if "EXECWATCH_TIMESTAMP" in entry.fields else (*_EXEC[:2], "MESSAGE_ID", "MESSAGE")
        terms = [name.encode() + b"=" + entry.fields[name] for name in names if name in entry.fields]
        found = self._search([(term,) for term in terms])
        return next((cursor for one, cursor in found if one == entry), None)

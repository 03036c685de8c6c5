# SPDX-License-Identifier: GPL-2.0-or-later
"""Entries that a host sent to a collector twice, as it does when it repeats a request that was broken off.

Copies are equal in everything, their times included. A host sends its entries in the order of their times, so
only an entry that is no newer than the latest of its host can be a copy. A search of the journal decides.
"""

from collections.abc import Callable, Iterator, Sequence

from execwatchd.ctl.ports import Clause, Entry

_EXEC = "_MACHINE_ID", "_BOOT_ID", "EXECWATCH_PID", "EXECWATCH_TIMESTAMP"  # no two execs share all of them


class Duplicates:
    """Recognises copies in a journal; `search` gives every entry that satisfies clauses, with its cursor.

    Of equal entries the first that is read is none: with `reverse`, the last in the journal.
    """

    def __init__(
        self, search: Callable[[Sequence[Clause]], Iterator[tuple[Entry, str]]], *, reverse: bool = False
    ) -> None:
        self._search = search
        self._reverse = reverse
        self._farthest: dict[tuple[bytes, bytes], int] = {}

    def is_copy(self, entry: Entry, cursor: Callable[[], str]) -> bool:
        """Whether an equal entry was read before. To be called for each entry, in the order of reading."""
        source = entry.fields.get("_MACHINE_ID", b""), entry.fields.get("_BOOT_ID", b"")
        time = -entry.monotonic if self._reverse else entry.monotonic
        farthest = self._farthest.get(source)
        self._farthest[source] = time if farthest is None else max(farthest, time)
        return farthest is not None and time <= farthest and self._kept(entry) not in (None, cursor())

    def _kept(self, entry: Entry) -> str | None:
        """The cursor of the copy that is read first."""
        names = _EXEC if "EXECWATCH_TIMESTAMP" in entry.fields else (*_EXEC[:2], "MESSAGE_ID", "MESSAGE")
        terms = [name.encode() + b"=" + entry.fields[name] for name in names if name in entry.fields]
        candidates = self._search([(term,) for term in terms])
        cursors = (cursor for candidate, cursor in candidates if candidate == entry)
        return max(enumerate(cursors), default=(0, None))[1] if self._reverse else next(cursors, None)

# SPDX-License-Identifier: GPL-2.0-or-later
"""sd-journal, entry by entry; the only module of the tool that imports systemd-python.

Its conversions of fields are bypassed: they cost six times as much as reading an entry, and some raise for
values that any sender may choose.
"""

import select
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from systemd import journal

from execwatchd.ctl.journal.events import ARGUMENTS, NUMBERS, PREFIX, TEXTS
from execwatchd.ctl.journal.journal_files import NAMESPACE
from execwatchd.ctl.ports import Clause, Entry, Source
from execwatchd.shared.errors import Failure

_INCLUDE_DEFAULT_NAMESPACE = 1 << 5  # SD_JOURNAL_INCLUDE_DEFAULT_NAMESPACE of sd-journal.h
_RAW = (
    "MESSAGE",
    "MESSAGE_ID",
    "_BOOT_ID",
    "_MACHINE_ID",
    "_HOSTNAME",
    *(PREFIX + name for name in (*NUMBERS, *TEXTS, *ARGUMENTS)),
)


class Reader:
    """Has a position in the journal: an entry, one of its ends or a point in time. It starts at the head.

    An entry of which a part can't be read lacks that; `on_damage` is called with its cursor.
    """

    def __init__(
        self,
        source: Source,
        files: Sequence[Path] = (),
        on_damage: Callable[[str], object] = lambda _cursor: None,
    ) -> None:
        """`files`: read only these of the source; all must be readable. Raises Failure."""
        self._on_damage = on_damage
        try:
            self._reader = _open(source, files)
        except OSError as error:
            where = f" in {source.directory}" if source.directory else ""
            raise Failure(f"cannot read the journal{where}: {error.strerror}") from None
        self.seek_head, self.seek_tail = self._reader.seek_head, self._reader.seek_tail
        self.seek_realtime, self.process = self._reader.seek_realtime, self._reader.process
        self.close = self._reader.close

    def match(self, clauses: Sequence[Clause]) -> None:
        """Give only entries that satisfy every clause from now on."""
        self._reader.flush_matches()
        for clause in clauses:
            for index, term in enumerate(clause):
                if index:
                    self._reader.add_disjunction()
                self._reader.add_match(term)
            self._reader.add_conjunction()

    def next(self) -> int | None:
        """Go to the next entry. Returns its time in µs since the epoch, or None if there is none yet."""
        while _moved(self._reader._next):
            with suppress(OSError):  # of an entry that is damaged
                return int(self._reader._get_realtime())
        return None

    def previous(self, count: int = 1) -> int | None:
        """Go back so many entries, or as many as there are. Returns the time as `next` does."""
        while _moved(self._reader._previous, count):
            with suppress(OSError):
                return int(self._reader._get_realtime())
            count = 1
        return None

    def entry(self) -> Entry:
        """The entry at the position."""
        fields = self._fields()
        raw = {name: value for name in _RAW if (value := _first(fields.get(name))) is not None}
        return Entry(self._reader._get_realtime(), self._reader._get_monotonic().timestamp, raw)

    def satisfies(self, clauses: Sequence[Clause]) -> bool:
        """Whether the entry at the position satisfies every clause, where no search is possible."""
        return all(any(self._has(*term.split(b"=", 1)) for term in clause) for clause in clauses)

    def _has(self, name: bytes, value: bytes) -> bool:
        return self._field(name.decode()) == value

    def _fields(self) -> Mapping[str, Any]:
        try:
            fields: Mapping[str, Any] = self._reader._get_all()
        except (ValueError, OSError):  # a field without a name, or nothing where its bytes should be
            self._on_damage(self.cursor())
            return {name: self._field(name) for name in _RAW}
        return fields

    def _field(self, name: str) -> bytes | None:
        with suppress(KeyError, OSError):
            return bytes(self._reader._get(name))
        return None

    def cursor(self) -> str:
        """Identifies this entry among all others, copies of it included."""
        return str(self._reader._get_cursor())

    def values(self, name: str) -> Iterable[bytes]:
        """The values that a field has in all entries, in no order. Raises OSError."""
        values: Iterable[bytes] = self._reader.query_unique(name)
        return values

    def watch(self) -> None:
        """Have `process` notice changes from now on."""
        self._reader.fileno()

    def wait(self, hangup: int | None) -> bool:
        """Sleep until the journal changes. Returns False if the descriptor `hangup` was hung up instead."""
        poll = select.poll()
        poll.register(self._reader.fileno(), self._reader.get_events())
        if hangup is not None:
            poll.register(hangup, 0)
        timeout = self._reader.get_timeout_ms()
        ready = dict(poll.poll(timeout if timeout >= 0 else None))
        return hangup not in ready


def _moved(move: Callable[..., Any], *count: int) -> bool:
    try:
        return bool(move(*count))
    except OSError as error:
        raise Failure(f"cannot read the journal: {error.strerror}") from None


def _open(source: Source, files: Sequence[Path]) -> Any:
    converters = dict.fromkeys(("_BOOT_ID", "EXECWATCH_MESSAGE"), bytes)
    if files:
        return journal.Reader(files=[str(path) for path in files], converters=converters)
    return journal.Reader(**_arguments(source), converters=converters)


def _arguments(source: Source) -> dict[str, Any]:
    if source.directory:
        return {"path": source.directory}
    if source.namespace:
        return {"namespace": source.namespace}
    return {"flags": journal.LOCAL_ONLY | _INCLUDE_DEFAULT_NAMESPACE, "namespace": NAMESPACE}


def _first(value: bytes | list[bytes] | None) -> bytes | None:
    # the daemon writes each field once: an entry with several values is somebody else's
    return value[0] if isinstance(value, list) else value

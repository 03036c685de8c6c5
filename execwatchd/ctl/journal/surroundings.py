# SPDX-License-Identifier: GPL-2.0-or-later
"""One exec and what was around it: its process's ancestors and children, its end, what its user and unit did.

Each is a search of the journal's indexes, so that it takes no longer in a large journal, and no more memory.
Pids come round again: only who has the right name too is a relative.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from execwatchd.ctl.journal.events import Event, from_entry
from execwatchd.ctl.journal.process_tree import DRAWN, Forest, Process, walk
from execwatchd.ctl.ports import Clause, Entry, Journal, Query
from execwatchd.shared.message_ids import MessageId
from execwatchd.shared.quoting import escape

NEIGHBOURS = 5  # before and after
_RELATED = 500  # execs of its process, and of its children
_EXECS = MessageId.EXEC, MessageId.EXEC_FAILED


@dataclass(frozen=True)
class Surroundings:
    """`by_user` and `by_unit`: the nearest execs before and after; none of a unit where it has none."""

    exec: Event
    end: Event | None
    root: Process
    process: Process
    by_user: Sequence[Event]
    by_unit: Sequence[Event]

    @property
    def ancestors(self) -> list[Process]:
        """The nearest first."""
        return list(self.process.ancestors())


def surroundings(entry: Entry, journal: Journal, sender: Sequence[Clause]) -> Surroundings | None:
    """What the journal has around this entry of an exec, or None if it is no exec's."""
    event = from_entry(entry)
    if event is None or event.number("PID") is None or event.number("PPID") is None:
        return None
    search = _Search(entry, event, journal, sender)
    own = [*_own(search.earlier()[::-1], event)[::-1], event, *_own(search.later(), event)]
    end = search.end()
    related = [*search.ancestors(), *own, *search.children(own, end), *([end] if end else [])]
    forest = Forest()
    for each in sorted(related, key=lambda related: related.micros):
        forest.add(each)
    process = next(process for process, _ in walk(forest.roots) if _has(process, event))
    root = [process, *process.ancestors()][-1]
    units = search.neighbours(b"EXECWATCH_UNIT") or search.neighbours(b"EXECWATCH_USER_UNIT")
    return Surroundings(event, end, root, process, search.neighbours(b"EXECWATCH_UID"), units)


def _own(others: Iterable[Event], event: Event) -> list[Event]:
    """The execs of the event's process among those of its pid, which come the nearest first."""
    own, near = [], event
    for other in others:
        if _is_same(other, near):
            continue
        first, second = sorted((near, other), key=lambda each: each.micros)
        if other.kind == "ended" or not _is_process(first, second):
            break
        own.append(other)
        near = other
    return own


def _is_process(first: Event, second: Event) -> bool:
    """Whether two execs of a pid that follow each other are the same process's."""
    if first.process and second.process:
        return first.process == second.process
    return first.number("PPID") == second.number("PPID") and _comm(first) == second.raw("COMM")


def _comm(event: Event) -> bytes:
    """The comm after the exec; a failed one doesn't change it."""
    return event.raw("NEW_COMM" if event.kind == "exec" else "COMM")


def _has(process: Process, event: Event) -> bool:
    return any(_is_same(each, event) for each in process.execs)


def _is_same(event: Event, other: Event) -> bool:
    """Whether both are of the same exec, which a take-over may record twice."""
    if event.raw("PID") != other.raw("PID"):
        return False
    stamps = event.raw("TIMESTAMP"), other.raw("TIMESTAMP")
    return stamps[0] == stamps[1] if any(stamps) else event.micros == other.micros


class _Search:
    """Of the same boot of the same host, around an exec."""

    def __init__(self, entry: Entry, event: Event, journal: Journal, sender: Sequence[Clause]) -> None:
        self._entry = entry
        self._event = event
        self._journal = journal
        same = "_BOOT_ID", "_HOSTNAME"
        here = [(f"{name}=".encode() + entry.fields[name],) for name in same if name in entry.fields]
        self._always = (*sender, *here)
        self._pid = b"EXECWATCH_PID=%d" % (event.number("PID") or 0)
        self._ppid = b"EXECWATCH_PPID=%d" % (event.number("PID") or 0)

    def ancestors(self) -> Iterator[Event]:
        """The last exec of each recorded ancestor before its child's, the nearest first."""
        child: Entry | None = self._entry
        for _ in range(DRAWN):
            child = self._parent(child) if child else None
            if child and (event := from_entry(child)):
                yield event

    def _parent(self, child: Entry) -> Entry | None:
        """The nearest ancestor that executed; without its id, none that had ended or has another name."""
        event = from_entry(child)
        if event is None:
            return None
        if parent_id := event.raw("PARENT_ID"):
            term = b"EXECWATCH_EXEC_ID=" + parent_id
            return next(iter(self._before(child, (MessageId.EXEC,), term, 1)), None)
        parent = event.number("PPID") or 0, escape(event.raw("PARENT_COMM")).encode()
        for pid, comm in (parent, *event.ancestors):
            kinds = MessageId.EXEC, MessageId.EXITED
            for entry in self._before(child, kinds, b"EXECWATCH_PID=%d" % pid, 1):
                last = from_entry(entry)
                if last and last.kind == "exec" and comm in (b"", escape(_comm(last)).encode()):
                    return entry
        return None

    def earlier(self) -> list[Event]:
        """The execs of this pid before: those of its process, and of others that had the pid."""
        return _events(self._before(self._entry, (*_EXECS, MessageId.EXITED), self._pid, _RELATED))

    def later(self) -> list[Event]:
        """The same of afterwards, ends included."""
        return _events(self._after((*_EXECS, MessageId.EXITED), (self._pid,), _RELATED))

    def children(self, own: Sequence[Event], end: Event | None) -> list[Event]:
        """Execs by children of the process that made these, and that ended so."""
        named = [b"EXECWATCH_PARENT_ID=" + id_ for event in own if (id_ := event.raw("EXEC_ID"))]
        comms, last = {_comm(event) for event in own}, end.micros if end else math.inf

        def is_child(event: Event) -> bool:
            if event.parent and self._event.process:
                return event.parent == self._event.process
            return event.micros <= last and event.raw("PARENT_COMM") in comms

        return list(filter(is_child, _events(self._after(_EXECS, (self._ppid, *named), _RELATED))))

    def end(self) -> Event | None:
        """How the process ended, where that is recorded."""
        ends = _events(self._after((MessageId.EXITED,), (self._pid,), _RELATED))
        return next((end for end in ends if self._event.process and end.process == self._event.process), None)

    def neighbours(self, name: bytes) -> list[Event]:
        """The nearest execs that have the same value of this field."""
        value = self._entry.fields.get(name.decode())
        if not value:
            return []
        term = name + b"=" + value
        before = _events(self._before(self._entry, _EXECS, term, NEIGHBOURS + 1))
        after = _events(self._after(_EXECS, (term,), NEIGHBOURS + 1))
        others = (
            [each for each in side if not _is_same(each, self._event)] for side in (before[::-1], after)
        )
        nearest = [each for side in others for each in side[:NEIGHBOURS]]
        return sorted(nearest, key=lambda event: event.micros)

    def _before(self, entry: Entry, kinds: Sequence[MessageId], term: bytes, lines: int) -> list[Entry]:
        """The last so many up to an entry, in their order."""
        query = Query(self._clauses(kinds, (term,)), until=entry.realtime, lines=lines + 1, reverse=True)
        entries = [each for each in self._journal.entries(query, lambda: None) if each != entry]
        return entries[:lines][::-1]

    def _after(self, kinds: Sequence[MessageId], terms: Clause, lines: int) -> list[Entry]:
        query = Query(self._clauses(kinds, terms), since=self._entry.realtime)
        entries = self._journal.entries(query, lambda: None)
        return list(islice((each for each in entries if each != self._entry), lines))

    def _clauses(self, kinds: Sequence[MessageId], terms: Clause) -> tuple[Clause, ...]:
        return (*self._always, tuple(b"MESSAGE_ID=" + kind.value.encode() for kind in kinds), terms)


def _events(entries: Sequence[Entry]) -> list[Event]:
    return [event for entry in entries if (event := from_entry(entry)) is not None]

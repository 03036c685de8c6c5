# SPDX-License-Identifier: GPL-2.0-or-later
"""The processes that made the recorded execs, as a tree.

The journal has execs, not processes. A fork that executes nothing leaves no entry, an exit leaves one only
where ends are recorded, and pids are reused. So each exec names its process and the parent. Of entries
without these ids, as earlier versions wrote them, rules decide whether two execs of a pid are the same
process's: a process keeps its comm from an exec to the next unless it renames itself; a fresh fork has its
parent's comm; an orphan's new parent is init or an ancestor. Execs that break them are those of two
processes.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from execwatchd.ctl.journal.events import Event
from execwatchd.ctl.ports import integer
from execwatchd.shared.quoting import escape

DRAWN = 64  # levels of a tree; deeper processes are indented no further

_INIT = 1


@dataclass(slots=True, eq=False)
class Process:
    """A process with its execs, at least one, in their order."""

    pid: int
    ppid: int
    parent: "Process | None"
    execs: list[Event] = field(default_factory=list)
    timestamps: set[int] = field(default_factory=set)
    children: list["Process"] = field(default_factory=list)
    end: Event | None = None
    name: bytes = b""  # Event.process, if its execs have it

    def add(self, event: Event) -> None:
        """Add an exec, unless it is there: a take-over may record it twice."""
        if _timestamp(event) not in self.timestamps:
            self.execs.append(event)
            self.timestamps.add(_timestamp(event))
            self.name = self.name or event.process

    @property
    def comm(self) -> bytes:
        """Its comm after its last exec; a failed exec doesn't change the comm."""
        last = self.execs[-1]
        return last.raw("NEW_COMM") if last.kind == "exec" else last.raw("COMM")

    def ancestors(self) -> Iterator["Process"]:
        """Its recorded parent, the recorded parent of that, and so on."""
        process = self.parent
        while process is not None:
            yield process
            process = process.parent


class Forest:
    """The processes of events, which come in their order. With `pids`, only those and their descendants."""

    def __init__(self, pids: Collection[int] = ()) -> None:
        self.roots: list[Process] = []
        self._pids = frozenset(pids)
        self._living: dict[tuple[bytes, str], dict[int, Process]] = {}  # by host and boot

    def add(self, event: Event) -> None:
        """Add the exec to its process, or the end."""
        pid, ppid = event.number("PID"), event.number("PPID")
        if pid is None:
            return
        living = self._living.setdefault((event.host, event.boot), {})
        process = living.get(pid)
        if event.kind == "ended":
            _end(process, event)
        elif ppid is not None:
            if process is None or not _made(process, ppid, event):
                process = self._start(living, pid, ppid, event)
            if process is not None:
                process.add(event)

    def _start(self, living: dict[int, Process], pid: int, ppid: int, event: Event) -> Process | None:
        """A new process, or None if it isn't among the wanted pids and their descendants."""
        living.pop(pid, None)
        parent = _named(living, event) if event.parent else _alive(living, ppid)
        parent = parent or _nearest_ancestor(living, event)
        above = {pid, ppid, *(ancestor for ancestor, _ in event.ancestors)}
        if parent is None and self._pids and not self._pids & above:
            return None
        process = Process(pid, ppid, parent)
        (self.roots if parent is None else parent.children).append(process)
        living[pid] = process
        return process


def _named(living: dict[int, Process], event: Event) -> Process | None:
    """The process that PARENT_ID names, if it was recorded."""
    process = living.get(integer(event.parent.partition(b"-")[0]) or 0)
    return process if process is not None and process.name == event.parent else None


def _alive(living: dict[int, Process], pid: int) -> Process | None:
    """The process with this pid, unless it has ended: then the pid is that of one that never executed."""
    process = living.get(pid)
    return process if process is not None and process.end is None else None


def _nearest_ancestor(living: dict[int, Process], event: Event) -> Process | None:
    """The nearest recorded ancestor, where the parent never executed. Another comm means a reused pid."""
    for pid, comm in event.ancestors:
        process = _alive(living, pid)
        if process is not None and escape(process.comm).encode() == comm:
            return process
    return None


def _made(process: Process, ppid: int, event: Event) -> bool:
    """Whether this process made the exec, rather than a later process with the same pid."""
    if _timestamp(event) in process.timestamps:
        return True
    if process.name and event.process:
        return process.name == event.process
    if process.end is not None:
        return False
    comm = event.raw("COMM")
    if ppid == process.ppid:
        return comm in (process.comm, b"") or comm != event.raw("PARENT_COMM")
    orphaned = ppid == _INIT or any(ppid == ancestor.pid for ancestor in process.ancestors())
    return orphaned and comm == process.comm


def _end(process: Process | None, end: Event) -> None:
    if process is not None and end.raw("EXEC_ID") in {event.raw("EXEC_ID") for event in process.execs}:
        process.end = end


def _timestamp(event: Event) -> int:
    return event.number("TIMESTAMP") or event.micros * 1000


class Place(NamedTuple):
    """Where a process is in the tree: its depth, and for each level above whether the branch is the last.

    Only the DRAWN lowest levels are kept. Any user can make a tree deep, and if lines were indented without
    a limit, the output would grow with the square of the depth.
    """

    depth: int = 0
    lasts: tuple[bool, ...] = ()

    def below(self, last: bool) -> "Place":
        """The place of a child."""
        return Place(self.depth + 1, (*self.lasts, last)[-DRAWN:])


def walk(roots: Iterable[Process]) -> Iterator[tuple[Process, Place]]:
    """Each process before its children. Not recursive, as a tree may be deeper than Python's stack."""
    stack = [(root, Place()) for root in reversed(list(roots))]
    while stack:
        process, place = stack.pop()
        yield process, place
        last = len(process.children) - 1
        for index in range(last, -1, -1):
            stack.append((process.children[index], place.below(index == last)))

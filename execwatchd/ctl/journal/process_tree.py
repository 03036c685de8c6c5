# SPDX-License-Identifier: GPL-2.0-or-later
"""Execs as the processes that made them, and those as a tree.

The journal tells of execs, not of processes: a fork that executes nothing leaves no entry, an exit only where
ends are recorded, and pids come round again. Where ends are recorded each exec names its process. Else, what
holds is that a process keeps its comm from one exec to the next unless it renames itself, that a fresh fork
has its parent's comm, and that an orphan's new parent is init or an ancestor. Two execs of one pid that fit
neither are two processes.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from execwatchd.ctl.journal.events import Event
from execwatchd.shared.quoting import escape

DRAWN = 64  # levels of a tree; what is deeper is indented no further

_INIT = 1


@dataclass(slots=True, eq=False)
class Process:
    """A process by its execs, of which it has at least one, in their order."""

    pid: int
    ppid: int
    parent: "Process | None"
    execs: list[Event] = field(default_factory=list)
    stamps: set[int] = field(default_factory=set)
    children: list["Process"] = field(default_factory=list)
    end: Event | None = None
    name: bytes = b""  # Event.process, where one of its execs has it

    def add(self, one: Event) -> None:
        """One more exec; one that comes again after a take-over is left out."""
        if _stamp(one) not in self.stamps:
            self.execs.append(one)
            self.stamps.add(_stamp(one))
            self.name = self.name or one.process

    @property
    def comm(self) -> bytes:
        """What it is called after its last exec: one that failed leaves it its name."""
        last = self.execs[-1]
        return last.raw("NEW_COMM") if last.kind == "exec" else last.raw("COMM")

    def ancestors(self) -> Iterator["Process"]:
        """Its recorded parent, that one's, and so on."""
        process = self.parent
        while process is not None:
            yield process
            process = process.parent


class Forest:
    """The processes of events that come in their order; `pids` keeps only those and their descendants."""

    def __init__(self, pids: Collection[int] = ()) -> None:
        self.roots: list[Process] = []
        self._pids = frozenset(pids)
        self._living: dict[tuple[bytes, str], dict[int, Process]] = {}  # by host and boot

    def add(self, one: Event) -> None:
        """Put the event where it belongs."""
        pid, ppid = one.number("PID"), one.number("PPID")
        if pid is None:
            return
        living = self._living.setdefault((one.host, one.boot), {})
        known = living.get(pid)
        if one.kind == "ended":
            _end(known, one)
        elif ppid is not None:
            if known is None or not _same(known, ppid, one):
                known = self._start(living, pid, ppid, one)
            if known is not None:
                known.add(one)

    def _start(self, living: dict[int, Process], pid: int, ppid: int, one: Event) -> Process | None:
        """A new one, if it is wanted."""
        living.pop(pid, None)
        parent = _alive(living, ppid) or _nearest(living, one)
        above = {pid, ppid, *(ancestor for ancestor, _ in one.ancestors)}
        if parent is None and self._pids and not self._pids & above:
            return None
        process = Process(pid, ppid, parent)
        (self.roots if parent is None else parent.children).append(process)
        living[pid] = process
        return process


def _alive(living: dict[int, Process], pid: int) -> Process | None:
    """What has ended is no parent: its pid is another's now, that never executed."""
    process = living.get(pid)
    return process if process is not None and process.end is None else None


def _nearest(living: dict[int, Process], one: Event) -> Process | None:
    """The nearest one known above a parent that never executed; by its name it is no later one of its pid."""
    for pid, comm in one.ancestors:
        process = _alive(living, pid)
        if process is not None and escape(process.comm).encode() == comm:
            return process
    return None


def _same(process: Process, ppid: int, one: Event) -> bool:
    """Whether the exec is that process's, and not of a later one with its pid."""
    if _stamp(one) in process.stamps:
        return True
    if process.name and one.process:
        return process.name == one.process
    if process.end is not None:
        return False
    comm = one.raw("COMM")
    if ppid == process.ppid:
        return comm in (process.comm, b"") or comm != one.raw("PARENT_COMM")
    orphaned = ppid == _INIT or any(ppid == ancestor.pid for ancestor in process.ancestors())
    return orphaned and comm == process.comm


def _end(process: Process | None, one: Event) -> None:
    if process is not None and one.raw("EXEC_ID") in {exec_.raw("EXEC_ID") for exec_ in process.execs}:
        process.end = one


def _stamp(one: Event) -> int:
    return one.number("TIMESTAMP") or one.micros * 1000


class Place(NamedTuple):
    """Where a process stands: its depth, and for each level down to it whether that is the last child.

    Of the levels only the DRAWN lowest: whoever execs chooses the depth, and lines as long as that for
    each process would make the output grow with its square.
    """

    depth: int = 0
    lasts: tuple[bool, ...] = ()

    def below(self, last: bool) -> "Place":
        """The place of a child."""
        return Place(self.depth + 1, (*self.lasts, last)[-DRAWN:])


def walk(roots: Iterable[Process]) -> Iterator[tuple[Process, Place]]:
    """Each process before its children. Not recursive, for the same reason."""
    stack = [(root, Place()) for root in reversed(list(roots))]
    while stack:
        process, place = stack.pop()
        yield process, place
        last = len(process.children) - 1
        for index in range(last, -1, -1):
            stack.append((process.children[index], place.below(index == last)))

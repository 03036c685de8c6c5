# SPDX-License-Identifier: GPL-2.0-or-later
"""Stand-ins for the kernel's map and the daemon's counters."""

import errno
from collections.abc import Callable
from pathlib import Path

from execwatchd.policy import reader
from execwatchd.policy.state import StateStore
from execwatchd.shared.counters import Counters
from execwatchd.shared.errors import TableFull
from execwatchd.shared.rules import Member, Rule
from tests.fakes.rules import rule

Write = tuple[object, ...]
Refusal = Callable[[Write], bool]


class FakeMap:
    """A RulesMap in memory that keeps `writes`, and refuses those for which `refuse` is true."""

    def __init__(self, capacity: int = 8, content: dict[int, Rule] | None = None) -> None:
        self.capacity = capacity
        self.content = dict(content or {})
        self.fallback = rule("")
        self.writes: list[Write] = []
        self.refuse: Refusal = lambda _: False

    def rules(self) -> dict[int, Rule]:
        return dict(self.content)

    def set(self, uid: int, rule: Rule) -> None:
        if uid not in self.content and len(self.content) >= self.capacity:
            raise TableFull(self.capacity)
        self._write("set", uid, rule)
        self.content[uid] = rule

    def remove(self, uid: int) -> None:
        self._write("remove", uid)
        del self.content[uid]

    def default(self) -> Rule:
        return self.fallback

    def set_default(self, rule: Rule) -> None:
        self._write("default", rule)
        self.fallback = rule

    def _write(self, *what: object) -> None:
        assert all(None not in rule for rule in what if isinstance(rule, Rule)), what
        if self.refuse(what):
            raise OSError(errno.ENOMEM, "Cannot allocate memory")
        self.writes.append(what)


class FakeStatus:
    """A Status with fixed numbers."""

    def __init__(self) -> None:
        self.attached = ["sched_process_exec", "task_rename"]
        self.since = 1_700_000_000_000_000
        self.ring_size = 4 << 20

    def counters(self) -> Counters:
        return Counters(seen=10, forwarded=7, ignored=2, lost=1, ring_fill=4096)


class Recorder:
    """A Listener that keeps what it is called with."""

    def __init__(self) -> None:
        self.changes: list[tuple[str | int, ...]] = []

    def rule_changed(self, uid: int) -> None:
        self.changes.append((uid,))

    def default_changed(self, member: Member, value: str) -> None:
        self.changes.append((member.name, value))


def state_store(path: Path | None) -> StateStore:
    """As the daemon has it at its start."""
    return StateStore(path, reader.state(path))

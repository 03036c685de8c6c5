# SPDX-License-Identifier: GPL-2.0-or-later
"""Stand-ins for the kernel's map and the daemon's counters."""

import errno
from collections.abc import Callable
from pathlib import Path

from execwatchd.policy import reader
from execwatchd.policy.state import StateStore
from execwatchd.shared.counters import Counters
from execwatchd.shared.errors import TableFull
from execwatchd.shared.rules import Action

Value = tuple[bytes, Action] | tuple[bytes, Action, int]  # the limit where there is one
Write = tuple[object, ...]
Refusal = Callable[[Write], bool]


class FakeMap:
    """A ConfigMap in memory that keeps `writes`, and refuses those for which `refuse` is true."""

    def __init__(self, capacity: int = 8, content: dict[int, Value] | None = None) -> None:
        self.capacity = capacity
        self.content = dict(content or {})
        self.fallback: Value = (b"", Action.RECORD)
        self.writes: list[Write] = []
        self.refuse: Refusal = lambda _: False

    def users(self) -> dict[int, tuple[bytes, Action, int]]:
        return {uid: _whole(value) for uid, value in self.content.items()}

    def set_user(self, uid: int, message: bytes, action: Action, limit: int = 0) -> None:
        if uid not in self.content and len(self.content) >= self.capacity:
            raise TableFull(self.capacity)
        value = _value(message, action, limit)
        self._write("set", uid, *value)
        self.content[uid] = value

    def remove_user(self, uid: int) -> None:
        self._write("remove", uid)
        del self.content[uid]

    def default(self) -> tuple[bytes, Action, int]:
        return _whole(self.fallback)

    def set_default(self, message: bytes, action: Action, limit: int = 0) -> None:
        value = _value(message, action, limit)
        self._write("default", *value)
        self.fallback = value

    def _write(self, *what: object) -> None:
        if self.refuse(what):
            raise OSError(errno.ENOMEM, "Cannot allocate memory")
        self.writes.append(what)


def _value(message: bytes, action: Action, limit: int) -> Value:
    return (message, action, limit) if limit else (message, action)


def _whole(value: Value) -> tuple[bytes, Action, int]:
    return value if len(value) == 3 else (*value, 0)


class FakeStatus:
    """A Status with fixed numbers."""

    def __init__(self) -> None:
        self.attached = ["sched_process_exec", "task_rename"]
        self.since = 1_700_000_000_000_000
        self.ring_size = 4 << 20

    def counters(self) -> Counters:
        return Counters(seen=10, forwarded=7, ignored=2, lost=1, ring_fill=4096)


class Recorder:
    """A Listener that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str | int, ...]] = []

    def message_changed(self, uid: int) -> None:
        self.told.append((uid,))

    def default_changed(self, name: str, value: str) -> None:
        self.told.append((name, value))


def state_store(path: Path | None) -> StateStore:
    """As the daemon has it at its start."""
    return StateStore(path, reader.state(path))

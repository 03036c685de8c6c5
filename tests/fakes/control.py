# SPDX-License-Identifier: GPL-2.0-or-later
"""Stand-ins for the kernel's map and the daemon's counters."""

import errno
from collections.abc import Callable

from execwatchd.control.errors import TableFull
from execwatchd.control.status import Counters
from execwatchd.control.values import Action

Value = tuple[bytes, Action]
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

    def users(self) -> dict[int, Value]:
        return dict(self.content)

    def set_user(self, uid: int, message: bytes, action: Action) -> None:
        if uid not in self.content and len(self.content) >= self.capacity:
            raise TableFull(self.capacity)
        self._write("set", uid, message, action)
        self.content[uid] = (message, action)

    def remove_user(self, uid: int) -> None:
        self._write("remove", uid)
        del self.content[uid]

    def default(self) -> Value:
        return self.fallback

    def set_default(self, message: bytes, action: Action) -> None:
        self._write("default", message, action)
        self.fallback = (message, action)

    def _write(self, *what: object) -> None:
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
    """A Listener that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str | int, ...]] = []

    def message_changed(self, uid: int) -> None:
        self.told.append((uid,))

    def default_changed(self, name: str, value: str) -> None:
        self.told.append((name, value))

# SPDX-License-Identifier: GPL-2.0-or-later
"""What keeps descriptors for the next process, instead of systemd."""

import os
from collections.abc import Callable

from tests.kernel.watch import objects


class Manager:
    """Keeps duplicates, as systemd does, and nothing twice; `handed` gives them to the next process.

    It has room for `room` of them. While `busy`, it has not dealt with what it was told.
    """

    def __init__(self) -> None:
        self.kept: dict[str, int] = {}
        self.room = 512
        self.busy = False

    def put(self, name: str, fd: int) -> None:
        if len(self.kept) < self.room and not objects([fd]) & objects(self.kept.values()):
            self.kept[name] = os.dup(fd)

    def remove(self, name: str) -> None:
        if name in self.kept:
            os.close(self.kept.pop(name))

    def has_room(self) -> Callable[[], bool | None]:
        refused = len(self.kept) >= self.room
        return lambda: None if self.busy else not refused

    def barrier(self) -> Callable[[], bool]:
        return lambda: not self.busy

    def handed(self) -> dict[str, int]:
        """As systemd does, the last one first."""
        return {name: os.dup(fd) for name, fd in reversed(self.kept.items())}

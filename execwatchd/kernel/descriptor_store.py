# SPDX-License-Identifier: GPL-2.0-or-later
"""The service manager's file descriptor store, as far as the kernel side needs it."""

from collections.abc import Callable
from typing import Protocol


class Store(Protocol):
    """Keeps file descriptors over the daemon's death."""

    def put(self, name: str, fd: int) -> None:
        """Keep this one under this name."""

    def remove(self, name: str) -> None:
        """Forget all of this name."""

    def barrier(self) -> Callable[[], bool]:
        """What tells whether all of the above is done by now."""

# SPDX-License-Identifier: GPL-2.0-or-later
"""The service manager's file descriptor store, as far as the kernel side needs it."""

from collections.abc import Callable
from typing import Protocol


class Store(Protocol):
    """Keeps file descriptors over the daemon's end."""

    def put(self, name: str, fd: int) -> None:
        """Keep a copy of a descriptor."""

    def remove(self, name: str) -> None:
        """Close the descriptors of this name."""

    def barrier(self) -> Callable[[], bool]:
        """A function that tells whether the service manager has carried out all calls up to here."""

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

    def has_room(self) -> Callable[[], bool | None]:
        """A function that tells whether there is room for another descriptor after all that was put there up
        to here, and whether all of those were kept; None: not known yet. It may be asked until it is known.
        """

    def barrier(self) -> Callable[[], bool]:
        """A function that tells whether the service manager has carried out all calls up to here."""

# SPDX-License-Identifier: GPL-2.0-or-later
"""What the bus interface shows of the daemon's work."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Counters(NamedTuple):
    """Execs since `Status.since`, and the bytes that wait in the ring now."""

    seen: int
    forwarded: int
    ignored: int
    lost: int
    ring_fill: int


class Status(Protocol):
    """The daemon's own account; read at each call, so it must be cheap and must not raise."""

    @property
    def attached(self) -> Sequence[str]:
        """The names of the hooks that are on."""

    @property
    def since(self) -> int:
        """When the counters began, in µs of CLOCK_REALTIME."""

    @property
    def ring_size(self) -> int:
        """The ring's size in bytes."""

    def counters(self) -> Counters:
        """The counters as they are now."""

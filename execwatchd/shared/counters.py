# SPDX-License-Identifier: GPL-2.0-or-later
"""The counters, and what else the daemon reports about its work."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Counters(NamedTuple):
    """Execs since `Status.since`, except `ring_fill`: the bytes that wait in the ring now."""

    seen: int
    forwarded: int
    ignored: int
    lost: int
    ring_fill: int


class Status(Protocol):
    """What bus and metrics read at each call; so it must be cheap and must not raise."""

    @property
    def attached(self) -> Sequence[str]:
        """The names of the hooks that are attached."""

    @property
    def since(self) -> int:
        """When the counters began, in µs of CLOCK_REALTIME."""

    @property
    def ring_size(self) -> int:
        """The ring's size in bytes."""

    def counters(self) -> Counters:
        """The counters as they are now."""

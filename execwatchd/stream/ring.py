# SPDX-License-Identifier: GPL-2.0-or-later
"""What the event path needs of the kernel side, so that a test can stand in for it."""

from collections.abc import Callable, Sequence
from typing import Protocol

from execwatchd.kernel.ledger import Ledger
from execwatchd.kernel.libbpf import SampleCallback
from execwatchd.shared.counters import Counters


class Ring(Protocol):
    """The reader of one ring; the record at its head is consumed when the callback returns."""

    @property
    def epoll_fd(self) -> int:
        """Readable while records wait."""

    def consume(self) -> int:
        """Run the callback on what is there. The number of records, or the callback's negative result."""

    def close(self) -> None:
        """Read no more; what is there stays."""


class Source(Protocol):
    """One ring and the books that say how far it was read."""

    @property
    def ledger(self) -> Ledger:
        """Outlives the process, as the ring does."""

    def open_ring(self, callback: SampleCallback) -> Ring:
        """`callback(_, pointer, size)` for each, see libbpf.RingBuffer."""

    def read_position(self) -> int:
        """How far the ring was read: bytes since it was made."""

    def ring_fill(self) -> int:
        """Bytes that wait in the ring."""

    @property
    def is_released(self) -> Callable[[], bool]:
        """Whether nobody keeps it attached any more."""

    def is_final(self) -> bool:
        """Nothing can come into this ring any more."""


class Sources(Protocol):
    """All rings that are to be read, and their counters together."""

    @property
    def former(self) -> Sequence[Source]:
        """Detached already, oldest first."""

    @property
    def current(self) -> Source:
        """The one that is attached."""

    @property
    def attached(self) -> Sequence[str]:
        """The tracepoints that record, by name."""

    @property
    def ring_size(self) -> int:
        """Of the current one, in bytes."""

    def counters(self) -> Counters:
        """The counters as they are now."""

    def reported(self) -> int:
        """How many of the lost were reported in the journal."""

    def unended(self) -> int:
        """How many of the lost are ends of processes that could not be awaited, of the current program's."""

    def missed(self) -> int:
        """How many of the lost are execs that the kernel skipped the current program for."""

    def unread(self) -> int:
        """How many of the lost are records of former generations that could not be read."""

    def settle(self) -> None:
        """Let `former` go; their rings are empty."""

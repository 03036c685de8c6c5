# SPDX-License-Identifier: GPL-2.0-or-later
"""What came out of the store of a generation whose records can't be read: they are counted."""

import time

from execwatchd.kernel import layout, libbpf
from execwatchd.kernel.buckets import FormerBuckets
from execwatchd.kernel.counting import Counting
from execwatchd.kernel.descriptor_store import Store
from execwatchd.kernel.descriptors import Descriptors
from execwatchd.kernel.ledger import Ledger, Page
from execwatchd.kernel.ring_memory import RingMemory
from execwatchd.shared.counters import Counters


class NoRing:
    """In place of a ring that can't be read: it never has a record."""

    epoll_fd = -1  # only the current generation's is waited for

    def consume(self) -> int:
        """Nothing."""
        return 0

    def close(self) -> None:
        """Nothing is open."""


class Remains(Descriptors):
    """A former generation whose ring or ledger is missing, or whose ledger says no layout of its records.

    For the reader of its records there is an empty ring, with a ledger that ends with the process.
    """

    def __init__(self, number: int, fds: dict[str, int]) -> None:
        super().__init__(number, fds)
        self.ledger = Ledger(bytearray(layout.LEDGER_SIZE + layout.LEDGER_SHOWN.size))
        self.ledger.initialise("", Page())
        self._found = _ledger(fds)
        self._ring = RingMemory(fds["map.output"]) if "map.output" in fds else None
        self._counting = Counting(fds)
        self._began = time.time_ns() // 1000

    @property
    def books(self) -> Page:
        """What its ledger says, or what is to be assumed without one."""
        return self._found.page if self._found else Page(since=self._began, settled=1)

    @property
    def has_settled(self) -> bool:
        """Whether its ledger says so."""
        return bool(self._found and self._found.page.settled)

    @property
    def former_buckets(self) -> FormerBuckets:
        """The buckets of its rate limits, as far as they are there."""
        return FormerBuckets(self.fds, self.books.reported)

    def open_ring(self, _callback: libbpf.SampleCallback) -> NoRing:
        """A reader of nothing."""
        return NoRing()

    def read_position(self) -> int:
        """Nothing was read."""
        return 0

    def ring_fill(self) -> int:
        """Nothing waits that could be read."""
        return 0

    def counters(self) -> Counters:
        """What is in none of `forwarded`, `ignored` and `lost` in the end was in the ring or in the ledger.

        Without a ledger, what the ring doesn't have any more was forwarded, but for a record that the ledger
        may have held.
        """
        counters = self._counting.total(self._found, self.is_released)
        if self._found or not self._ring:
            return counters
        waiting = self._ring.waiting()
        read = max(0, counters.seen - counters.ignored - counters.lost - waiting - 1)
        return counters._replace(seen=max(counters.seen, waiting), forwarded=read)

    def _progress(self) -> int:
        if self._ring:
            return self._ring.read_position() + self._ring.fill()
        return self._counting.now().seen

    def discard(self, store: Store) -> None:
        """Close everything, here and in the store, where the map of running processes stays."""
        self.close()
        super().discard(store)

    def close(self) -> None:
        """Unmap what is mapped."""
        for mapped in (self.ledger, self._found, self._ring):
            if mapped:
                mapped.close()


def _ledger(fds: dict[str, int]) -> Ledger | None:
    fd = fds.get("map.ledger")
    return Ledger.of_map(fd, libbpf.map_info(fd).value_size) if fd is not None else None

# SPDX-License-Identifier: GPL-2.0-or-later
"""Stand-ins for the kernel's side of the event path and for the journal; a kill is an exception in both."""

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterable

from execwatchd.kernel import layout
from execwatchd.kernel.ledger import Ledger, Page
from execwatchd.kernel.libbpf import SampleCallback
from execwatchd.shared.counters import Counters
from execwatchd.stream.ring import Ring

_HEADER = 8  # of each record in a ring


class KilledError(BaseException):
    """The process ends here. What the kernel and the journal have stays."""


class FakeSource:
    """A ring with its books and counters, all of which outlive a reader.

    `step`: called whenever a kill would make a difference; it may raise KilledError.
    """

    def __init__(self, *, since: int = 1, room: int = 4096) -> None:
        self.memory = bytearray(layout.LEDGER_SIZE + room + layout.LEDGER_SHOWN.size)
        Ledger(self.memory).initialise("digest", Page(since=since, settled=1))
        self.ledger: Ledger
        self.step: Callable[[], None] = lambda: None
        self.again()
        self.waiting: deque[bytes] = deque()
        self.position = 0
        self.seen = self.ignored = self.lost = 0
        self.released, self.final = True, False
        self.rings: list[FakeRing] = []

    def again(self) -> None:
        """As a new process finds it."""
        self.ledger = _Ledger(self)

    def exec(self, *records: bytes) -> None:
        """The program records these; a ring that waits wakes its reader."""
        self.seen += len(records)
        self.waiting.extend(records)
        for ring in self.rings:
            ring.wake()

    def lose(self, count: int) -> None:
        """The ring is full for these."""
        self.seen += count
        self.lost += count

    def ignore(self, count: int) -> None:
        self.seen += count
        self.ignored += count

    def counters(self) -> Counters:
        page = self.ledger.page
        return Counters(
            seen=page.seen + self.seen,
            forwarded=page.forwarded,
            ignored=page.ignored + self.ignored,
            lost=page.lost + self.lost + page.malformed,
            ring_fill=self.ring_fill() + page.held,
        )

    def open_ring(self, callback: SampleCallback) -> Ring:
        ring = FakeRing(self, callback)
        self.rings.append(ring)
        return ring

    def read_position(self) -> int:
        return self.position

    def ring_fill(self) -> int:
        return sum(map(_space, self.waiting))

    def is_released(self) -> bool:
        return self.released

    def is_final(self) -> bool:
        return self.final


class _Ledger(Ledger):
    """One in which a kill may come before and after each change."""

    def __init__(self, source: FakeSource) -> None:
        super().__init__(source.memory)
        self._source = source

    def commit(self, page: Page) -> None:
        self._source.step()
        super().commit(page)
        self._source.step()

    def forwarded(self, handled: int) -> None:
        self._source.step()
        super().forwarded(handled)
        self._source.step()


class FakeRing:
    """Consumes as libbpf does: a record is gone when the callback has returned, whatever it returned."""

    def __init__(self, source: FakeSource, callback: SampleCallback) -> None:
        self._source = source
        self._callback = callback
        self.epoll_fd = os.eventfd(0, os.EFD_NONBLOCK)
        self.closed = False

    def wake(self) -> None:
        if not self.closed:
            os.eventfd_write(self.epoll_fd, 1)

    def consume(self) -> int:
        count = 0
        source = self._source
        while source.waiting:
            record = source.waiting[0]
            result = self._callback(None, record, len(record))
            source.step()
            source.waiting.popleft()
            source.position += _space(record)
            if result < 0:
                return result
            count += 1
        if not self.closed:
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self.epoll_fd)
        return count

    def close(self) -> None:
        if not self.closed:
            os.close(self.epoll_fd)
        self.closed = True


class FakeSources:
    """`Generations` without a kernel."""

    def __init__(self, current: FakeSource, former: Iterable[FakeSource] = ()) -> None:
        self.current = current
        self.former = list(former)
        self.ring_size = 4 << 20
        self.settled = 0
        self.attached = ["task_rename", "sched_process_exec"]
        self.unended_count = self.missed_count = self.unread_count = 0

    def unended(self) -> int:
        return self.unended_count

    def missed(self) -> int:
        return self.missed_count

    def unread(self) -> int:
        return self.unread_count

    def counters(self) -> Counters:
        each = [source.counters() for source in (*self.former, self.current)]
        return Counters(*map(sum, zip(*each, strict=True)))

    def reported(self) -> int:
        return sum(source.ledger.page.reported for source in (*self.former, self.current))

    def settle(self) -> None:
        self.settled += 1
        self.former.clear()


class FakeJournal:
    """A sink that takes `room` entries and refuses the others. `step`: as FakeSource has it."""

    def __init__(self, room: int = 1 << 30) -> None:
        self.room = room
        self.entries: list[bytes] = []
        self.step: Callable[[], None] = lambda: None

    def send(self, datagram: bytes) -> bool:
        self.step()
        if not self.room:
            return False
        self.room -= 1
        self.entries.append(datagram)
        self.step()
        return True


def _space(record: bytes) -> int:
    return (_HEADER + len(record) + 7) // 8 * 8

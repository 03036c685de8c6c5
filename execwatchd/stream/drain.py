# SPDX-License-Identifier: GPL-2.0-or-later
"""Ring to journal, one record at a time, at the pace of whichever is slower; nothing waits but the ring.

libbpf has consumed a record once the callback returns. So the callback either hands it to the journal or
holds it in the ledger, and writes down which, before it returns.
"""

import asyncio
import logging
from collections.abc import Callable
from time import monotonic

from execwatchd.kernel.libbpf import Pointer
from execwatchd.redaction.redactor import Redactor
from execwatchd.shared.guard import Guard
from execwatchd.stream.decode import MalformedError, Record
from execwatchd.stream.encoder import Encoder
from execwatchd.stream.outbox import Outbox
from execwatchd.stream.parents import NoParents, Parents
from execwatchd.stream.ring import Source, Sources

log = logging.getLogger(__name__)

# A wake-up costs as much as fifty events, since the caches have forgotten everything: what comes within this
# time of the last pass is read in one.
PAUSE = 0.08  # s
_SHORTEST = 0.001  # s
_FILL = 0.25  # of the ring: what may come within a pause, else the next one is shorter
_RETRY = 1.0  # s after a pass that failed
_LOOK = 1.0  # s between two calls of `on_empty` while there is something each time
_BATCH, _TURN = 256, 0.02  # records, and about so many seconds, before the loop gets a turn
_FEW = 16  # records between two looks at the clock: one may take a hundred times as long as another


class Reader:
    """Reads one generation's ring into the outbox, with its ledger as the only memory."""

    def __init__(
        self,
        generation: Source,
        outbox: Outbox,
        seen: Callable[[Record], None] | None = None,
    ) -> None:
        self._generation = generation
        self._ledger = generation.ledger
        self._encode = Encoder(self._ledger.schema, self._ledger.mntns)
        self._outbox = outbox
        self._seen = seen
        self._left = 0
        self._until = 0.0
        self.stalled = False
        self.progress = False
        self.redact_with = self._encode.redact_with
        self.remember_in = self._encode.remember_in
        self.ring = generation.open_ring(self._record)

    def read(self) -> bool:
        """Up to a batch of records. True: the ring is empty. `stalled`: the journal takes none now.

        `progress`: whether it read any.
        """
        before = self._ledger.page
        self.stalled = not self._send_held()
        self._left, self._until = _BATCH, monotonic() + _TURN
        empty = not self.stalled and self.ring.consume() >= 0
        self.progress = self._ledger.page != before
        return empty

    @property
    def position(self) -> int:
        """How far the ring was read, in bytes since it was made."""
        return self._generation.read_position()

    def is_empty(self) -> bool:
        """Neither the ring nor the ledger holds a record."""
        return not self._generation.ring_fill() and not self._ledger.page.held

    def is_released(self) -> bool:
        """Nobody keeps its program attached any more."""
        return self._generation.is_released()

    def is_final(self) -> bool:
        """Nothing can come into this ring any more."""
        return self._generation.is_final()

    def close(self) -> None:
        """Unmap the ring."""
        self.ring.close()

    def _send_held(self) -> bool:
        page = self._ledger.page
        return not page.held or self._forward(self._ledger.held(), page.handled)

    def _record(self, _context: object, pointer: Pointer, size: int) -> int:
        """libbpf's callback: an exception would be lost in C, so none may leave it."""
        handled = self._generation.read_position() + 1
        if handled == self._ledger.handled:
            return 0  # sent or held just before a kill, and only not consumed
        data = pointer[:size]
        if not self._forward(data, handled):
            self._ledger.hold(data, handled)
            self.stalled = True
            return -1
        self._left = left = self._left - 1
        if left % _FEW:
            return 0
        return 0 if left and monotonic() < self._until else -1

    def _forward(self, data: bytes, handled: int) -> bool:
        """False: the journal takes none now."""
        try:
            datagram = self._encode(data)
        except Exception as error:  # one bad record must not stop the stream
            if not isinstance(error, MalformedError):
                log.exception("a record of %d bytes could not be written", len(data))
            else:
                log.error("a record could not be read, it counts as lost: %s", error)  # noqa: TRY400
            page = self._ledger.page
            self._ledger.commit(page._replace(malformed=page.malformed + 1, handled=handled, held=0))
            return True
        if not self._outbox.send(datagram):
            return False
        self._ledger.forwarded(handled)
        if self._seen:
            self._seen(self._encode.record(data))
        return True


class Drain:
    """Runs the readers from the loop: former rings first, then the current one, for ever.

    `wait_writable(callback)`: call back once when the journal may take entries again.
    `on_empty`: called when the current ring stays empty, and now and then when it was read to its end.
    """

    def __init__(
        self,
        sources: Sources,
        outbox: Outbox,
        wait_writable: Callable[[Callable[[], None]], None],
        on_empty: Callable[[], None],
        seen: Callable[[Record], None] | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sources = sources
        self._wait_writable = wait_writable
        self._on_empty = on_empty
        self._readers = [Reader(source, outbox, seen) for source in (*sources.former, sources.current)]
        self._parents: Parents = NoParents()
        self._pending: asyncio.Handle | None = None
        self._guard = Guard("reading the ring")
        self._stopped = False
        self._looked = 0.0
        self._position = sources.current.read_position()
        self.pause = PAUSE
        self.stalled = False
        self.passes = 0  # how often a pass read something: the watchdog's proof of progress

    def redact_with(self, redact: Redactor | None) -> None:
        """What takes the secrets out of every record that is not sent yet; None: nothing does."""
        self._parents.clear()
        for reader in self._readers:
            reader.redact_with(redact)

    def remember_in(self, parents: Parents) -> None:
        """Where all readers keep the command lines of parents."""
        self._parents = parents
        for reader in self._readers:
            reader.remember_in(parents)

    def start(self) -> None:
        """Begin with what waits already."""
        self._pass()

    async def finish(self) -> bool:
        """Read on until nothing can come any more. False: the journal takes no more now."""
        while len(self._readers) > 1 or not (self._readers[-1].is_final() and self._readers[-1].is_empty()):
            if self.stalled:
                return False
            await asyncio.sleep(PAUSE)
        return True

    def stop(self) -> None:
        """No more passes; what is in the rings stays there."""
        self._stopped = True
        if self._pending:
            self._pending.cancel()
        self._loop.remove_reader(self._readers[-1].ring.epoll_fd)
        for reader in self._readers:
            reader.close()

    def _pass(self) -> None:
        """One pass, and when the next one is. It may not end otherwise: nobody else would start another."""
        if self._stopped:  # the journal became writable since
            return
        self._pending = None
        with self._guard.step():
            self._read_rings()
            return
        self._pending = self._loop.call_later(_RETRY, self._pass)

    def _read_rings(self) -> None:
        reader = self._readers[0]
        empty = self._read(reader)
        if empty and not self.stalled and len(self._readers) > 1 and not reader.is_released():
            # it records on as long as the service manager is busy, and the current ring fills meanwhile
            empty = self._read(self._readers[-1])
        if self.stalled:
            self._wait_writable(self._pass)
        elif not empty:
            self._pending = self._loop.call_soon(self._pass)
        elif len(self._readers) > 1:
            self._finish_former(reader)
        else:
            self._rest(read_something=reader.progress)

    def _read(self, reader: Reader) -> bool:
        empty = reader.read()
        self._parents.trim()
        self.passes += reader.progress
        self.stalled = reader.stalled
        return empty

    def _finish_former(self, reader: Reader) -> None:
        """On to the next ring, once nothing can come into this one any more."""
        if not reader.is_final():
            self._pending = self._loop.call_later(PAUSE, self._pass)
            return
        self._readers.pop(0).close()
        if len(self._readers) == 1:
            self._sources.settle()
        self._pending = self._loop.call_soon(self._pass)

    def _rest(self, *, read_something: bool) -> None:
        """Wait a little where there was something, else until there is."""
        now = self._loop.time()
        if not read_something or now - self._looked > _LOOK:
            self._looked = now
            self._on_empty()
        if read_something:
            self._pending = self._loop.call_later(self._next_pause(), self._pass)
        else:
            self._loop.add_reader(self._readers[0].ring.epoll_fd, self._wake)

    def _next_pause(self) -> float:
        """Shorter if what came since the last one is much of the ring: a small ring, or a large host."""
        position = self._readers[0].position
        share = (position - self._position) / self._sources.ring_size
        self._position = position
        wanted = self.pause * _FILL / share if share else PAUSE
        self.pause = min(PAUSE, max(_SHORTEST, wanted))
        return self.pause

    def _wake(self) -> None:
        self._loop.remove_reader(self._readers[0].ring.epoll_fd)
        self._pass()

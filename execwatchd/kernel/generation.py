# SPDX-License-Identifier: GPL-2.0-or-later
"""A generation: a loaded program with its maps, programs and attachments. A new layout or new options make a
new one, which is attached before the old one goes.
"""

import errno
import logging
from functools import cached_property
from pathlib import Path

from execwatchd.kernel import attach as attaching
from execwatchd.kernel import libbpf, loader, members
from execwatchd.kernel.buckets import Buckets, FormerBuckets
from execwatchd.kernel.counting import Counting
from execwatchd.kernel.descriptor_store import Store
from execwatchd.kernel.descriptors import Descriptors
from execwatchd.kernel.digest import digest
from execwatchd.kernel.ledger import Ledger, Page
from execwatchd.kernel.options import Options
from execwatchd.kernel.ring_memory import RingMemory
from execwatchd.kernel.rules_map import RulesMap
from execwatchd.shared.counters import Counters
from execwatchd.shared.errors import Failure

log = logging.getLogger(__name__)


class Generation(Descriptors):
    """One whose ring can be read: it has ring and ledger. Nothing else is certain of one that came out of the
    store. Raises OSError.
    """

    def __init__(self, number: int, fds: dict[str, int]) -> None:
        super().__init__(number, fds)
        self.shares_running = False  # its map `running` is the one of the generation before
        self.ledger = Ledger.of_map(fds["map.ledger"], libbpf.map_info(fds["map.ledger"]).value_size)
        self._counting = Counting(fds)
        self._ring = RingMemory(fds["map.output"])
        self.ring_size = self._ring.size

    @classmethod
    def load(
        cls, number: int, sources: Path, options: Options, page: Page, former: Descriptors | None = None
    ) -> "Generation":
        """Compile and load a new generation, not attached yet, with the running processes of `former`.

        Raises Failure.
        """
        shared = former.shared(options) if former else {}
        fds, kernel = loader.load(sources, options, shared)
        if kernel.absent:
            log.warning("this kernel can't give %s: left out of every entry", ", ".join(kernel.absent))
        if faults := members.damaged(fds):
            what = "; ".join(f"{name} is {what}" for name, what in faults.items())
            raise Failure(f"the loader handed over something else: {what}", "report it")
        generation = cls(number, fds)
        generation.shares_running = bool(shared)
        generation.ledger.initialise(digest(sources, options), page, kernel.mntns)
        generation.buckets.initialise()
        return generation

    @cached_property
    def rules(self) -> RulesMap:
        """The rules by which its programs go; only a complete generation is sure to have them."""
        return RulesMap(self.fds["map.config"], self.fds["map.defaults"])

    @cached_property
    def buckets(self) -> Buckets:
        """The buckets of its rate limits; only a complete generation is sure to have them."""
        return Buckets(self.fds, self.books.reported)

    @property
    def former_buckets(self) -> FormerBuckets:
        """The same, to be read only, where some may be missing."""
        return FormerBuckets(self.fds, self.books.reported)

    @property
    def books(self) -> Page:
        """What its ledger says."""
        return self.ledger.page

    @property
    def has_settled(self) -> bool:
        """Whether its predecessors' numbers are in its books."""
        return bool(self.ledger.page.settled)

    def attach(self, options: Options) -> None:
        """From here on every exec is seen. Raises Failure."""
        links = attaching.attach(self.fds, failures=options.failures, exits=options.exits)
        self.fds.update({f"link.{name}": fd for name, fd in links.items()})

    def discard(self, store: Store) -> None:
        """Close everything, here and in the store, where the map of running processes stays."""
        self.close()
        super().discard(store)

    def close(self) -> None:
        """Unmap what is mapped."""
        self.ledger.close()
        self._ring.close()

    def open_ring(self, callback: libbpf.SampleCallback) -> libbpf.RingBuffer:
        """A reader of the ring, see libbpf.RingBuffer. Raises OSError."""
        return libbpf.RingBuffer(self.fds["map.output"], callback)

    def read_position(self) -> int:
        """How far the ring was read: bytes since it was made."""
        return self._ring.read_position()

    def ring_fill(self) -> int:
        """Bytes that wait in the ring."""
        return self._ring.fill()

    def _progress(self) -> int:
        return self.read_position() + self.ring_fill()

    def counters(self) -> Counters:
        """What was counted since `ledger.page.since`, by settled predecessors too."""
        counted = self._counting.total(self.ledger, self.is_released)
        return counted._replace(ring_fill=self.ring_fill() + self.ledger.page.held)

    def suppressed(self) -> int:
        """Execs that a rate limit held back; they are among the ignored."""
        return self._counting.now().suppressed

    def unended(self) -> int:
        """Processes whose end could not be recorded; they are among the lost."""
        return self._counting.now().unended

    def missed(self) -> int:
        """Execs that the kernel ran neither program for; they are among the lost."""
        return self._counting.missed(self._counting.now().retried, self.is_released)

    def check_access(self) -> None:
        """Raises Failure if the kernel wants a capability for reading the counters."""
        try:
            self._counting.now()
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EACCES):
                raise
            raise Failure(
                "this kernel lets only CAP_BPF read a map by its descriptor", "Linux 5.19 or newer is needed"
            ) from None

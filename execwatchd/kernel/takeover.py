# SPDX-License-Identifier: GPL-2.0-or-later
"""At a start: take over the attached generation, or load and attach a new one in its place."""

import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from execwatchd.kernel import layout
from execwatchd.kernel.available import LeftOut, available
from execwatchd.kernel.descriptor_store import Store
from execwatchd.kernel.digest import digest
from execwatchd.kernel.generation import RUNNING, Generation, by_number, check, share
from execwatchd.kernel.ledger import Page
from execwatchd.kernel.options import Options
from execwatchd.shared.counters import Counters
from execwatchd.shared.errors import Failure
from execwatchd.shared.message_ids import MessageId, log_fields

log = logging.getLogger(__name__)


class Generations:
    """`current` is attached. `former`, oldest first, are detached, and their rings are still to be read."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.current: Generation
        self.former: list[Generation] = []
        # Set by `start`: what the program was made for, the options that this host can't give, and the reason
        # if the program of before goes on instead.
        self.options: Options
        self.left_out: LeftOut = {}
        self.older_program = ""

    def start(
        self,
        stored: Mapping[str, int],
        sources: Path,
        options: Options,
        fill: Callable[[Generation], None],
    ) -> None:
        """Take over what was stored, or load and attach. `fill` writes the rules into a generation's maps,
        before the first exec can be seen. Raises Failure.
        """
        usable = self._usable(stored)
        is_attached = bool(usable) and usable[-1].is_attached()
        attached = usable[-1].ledger.digest if is_attached else ""
        self.options = options
        try:
            if attached != digest(sources, options):
                self.options, self.left_out = available(options)
            if attached != digest(sources, self.options):
                self._load(usable, sources, self.options, fill)
                return
        except Failure as failure:
            if not is_attached:
                raise
            log.error("%s; the program of before goes on", failure)  # noqa: TRY400  its text is the whole story
            self.older_program = str(failure)
            self._take_over(usable, fill)
            return
        self._take_over(usable, fill)
        names = ", ".join(self.current.attached)
        log.info("took over the attached program: %s", names, extra=log_fields(MessageId.ATTACHED))

    @property
    def attached(self) -> list[str]:
        """The tracepoints that record, by name."""
        return self.current.attached

    @property
    def since(self) -> int:
        """When the counters began, µs of CLOCK_REALTIME."""
        return min(generation.ledger.page.since for generation in self._all())

    @property
    def ring_size(self) -> int:
        """Bytes."""
        return self.current.ring_size

    def counters(self) -> Counters:
        """Of all generations together."""
        counters = (generation.counters() for generation in self._all())
        return Counters(*map(sum, zip(*counters, strict=True)))

    def reported(self) -> int:
        """Lost records that were reported in the journal."""
        return sum(generation.ledger.page.reported for generation in self._all())

    def unended(self) -> int:
        """Processes whose end could not be recorded, by the current generation alone."""
        return self.current.unended()

    def missed(self) -> int:
        """Execs that the kernel ran no program for, by the current generation alone."""
        return self.current.missed()

    def _all(self) -> list[Generation]:
        return [*self.former, self.current]

    def detach(self) -> None:
        """Stop seeing execs. What is in the ring can still be read."""
        self.current.detach(self._store)

    def settle(self) -> None:
        """Add what `former` counted to the current ledger and discard them. Their rings must be empty."""
        if not self.former:
            return
        page = self.current.ledger.page
        for old in self.former:
            counted, books = old.counters(), old.ledger.page
            page = page._replace(
                seen=page.seen + counted.seen,
                ignored=page.ignored + counted.ignored,
                lost=page.lost + counted.lost - books.malformed,
                malformed=page.malformed + books.malformed,
                forwarded=page.forwarded + counted.forwarded,
                reported=page.reported + books.reported,
                since=min(page.since, books.since),
            )
        self.current.buckets.carry([(old.buckets, bool(old.ledger.page.settled)) for old in self.former])
        self.current.ledger.commit(page._replace(settled=1))
        for old in self.former:
            old.discard(self._store)
        self.former.clear()

    def _take_over(self, usable: list[Generation], fill: Callable[[Generation], None]) -> None:
        *self.former, self.current = usable
        self._retire()
        fill(self.current)

    def _load(
        self,
        former: list[Generation],
        sources: Path,
        options: Options,
        fill: Callable[[Generation], None],
    ) -> None:
        number = former[-1].number + 1 if former else 1
        page = Page(since=time.time_ns() // 1000, settled=int(not former))
        new = Generation.load(number, sources, options, page, former[-1] if former else None)
        try:
            fill(new)
            new.attach(options)
        except BaseException:
            new.discard(self._store)
            raise
        if not new.shares_running:
            self._store.remove(RUNNING)
        new.keep(self._store)
        self.current, self.former = new, former
        attached = ", ".join(new.attached)
        replaces = bool(former) and former[-1].is_attached()
        self._retire()
        if replaces:
            log.info(
                "attached in place of a program of another version or other options: %s", attached,
                extra=log_fields(MessageId.LAYOUT_CHANGED),
            )  # fmt: skip
        else:
            log.info("attached: %s", attached, extra=log_fields(MessageId.ATTACHED))

    def _retire(self) -> None:
        for old in self.former:
            old.detach(self._store)

    def _usable(self, stored: Mapping[str, int]) -> list[Generation]:
        """The generations to go on with, oldest first, the last one attached if any is. All other descriptors
        are closed, here and in the store.
        """
        by_numbers, others = by_number(stored)
        running = others.pop(RUNNING, None)
        complete = []
        for number, fds in by_numbers.items():
            share(fds, running)
            try:
                check(fds)
                generation = Generation(number, fds)
                layout.record_head(generation.ledger.schema)
                complete.append(generation)
            except (OSError, ValueError) as error:
                log.warning("generation %d from the file descriptor store is let go: %s", number, error)
                others.update({f"{number}.{name}": fd for name, fd in fds.items()})
        for name, fd in others.items():
            self._store.remove(name)
            os.close(fd)
        if running is not None:
            os.close(running)
        return self._needed(complete)

    def _needed(self, complete: list[Generation]) -> list[Generation]:
        """Without those that a kill left half-way: on its way into the store, while the one before is still
        attached, or on its way out, when its numbers are in the books of the one after. If none is attached,
        since the store had no room, all have something to be read.
        """
        attached = [i for i, generation in enumerate(complete) if generation.is_attached()]
        last = max(attached, default=len(complete) - 1)
        settled = [i for i in range(last + 1) if complete[i].ledger.page.settled]
        first = max(settled, default=0)
        for generation in [*complete[:first], *complete[last + 1 :]]:
            generation.discard(self._store)
        return complete[first : last + 1]

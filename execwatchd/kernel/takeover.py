# SPDX-License-Identifier: GPL-2.0-or-later
"""Have one current generation attached: taken over, loaded anew, or in place of one of another layout."""

import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from execwatchd.kernel import generation, layout
from execwatchd.kernel.descriptor_store import Store
from execwatchd.kernel.digest import digest
from execwatchd.kernel.generation import Generation
from execwatchd.kernel.ledger import Page
from execwatchd.kernel.options import Options
from execwatchd.shared.counters import Counters
from execwatchd.shared.errors import Failure
from execwatchd.shared.message_ids import Kind, entry

log = logging.getLogger(__name__)


class Hooks:
    """`current` is attached; `former`, oldest first, are detached and still to be read."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.current: Generation
        self.former: list[Generation] = []

    def start(
        self,
        stored: Mapping[str, int],
        sources: Path,
        options: Options,
        fill: Callable[[Generation], None],
    ) -> None:
        """Take over what was stored, or load and attach. `fill` writes a generation's message maps before
        the first exec can be seen. Raises Failure.
        """
        known = self._believed(stored)
        is_attached = bool(known) and known[-1].is_attached()
        if is_attached and known[-1].ledger.digest == digest(sources, options):
            *self.former, self.current = known
            self._retire()
            fill(self.current)
            log.info(
                "took over the attached program: %s",
                ", ".join(self.current.attached),
                extra=entry(Kind.ATTACHED),
            )
            return
        try:
            self._load(known, sources, options, fill)
        except Failure as failure:
            if not is_attached:
                raise
            log.error("%s; the program of before goes on", failure)  # noqa: TRY400  its text is the whole story
            *self.former, self.current = known
            self._retire()
            fill(self.current)

    @property
    def attached(self) -> list[str]:
        """The tracepoints that record, by name."""
        return self.current.attached

    @property
    def since(self) -> int:
        """When the counters began, µs of CLOCK_REALTIME."""
        return min(one.ledger.page.since for one in self._counting())

    @property
    def ring_size(self) -> int:
        """Bytes."""
        return self.current.ring_size

    def counters(self) -> Counters:
        """Of all generations together."""
        return Counters(*map(sum, zip(*(one.counters() for one in self._counting()), strict=True)))

    def reported(self) -> int:
        """Losses that the journal was told of."""
        return sum(one.ledger.page.reported for one in self._counting())

    def unended(self) -> int:
        """Processes of which the end could not be awaited; the current program alone."""
        return self.current.unended()

    def missed(self) -> int:
        """Execs that the kernel skipped the program for; the current one alone."""
        return self.current.missed()

    def _counting(self) -> list[Generation]:
        return [*self.former, self.current]

    def detach(self) -> None:
        """For good: no exec is seen any more; what is in the ring can still be read."""
        self.current.detach(self._store)

    def settle(self) -> None:
        """Once the rings of `former` are empty: add what they counted to the current books, let them go."""
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
        self.current.buckets.carry([(one.buckets, bool(one.ledger.page.settled)) for one in self.former])
        self.current.ledger.commit(page._replace(settled=1))
        for old in self.former:
            old.discard(self._store)
        self.former.clear()

    def _load(
        self,
        known: list[Generation],
        sources: Path,
        options: Options,
        fill: Callable[[Generation], None],
    ) -> None:
        number = known[-1].number + 1 if known else 1
        page = Page(since=time.time_ns() // 1000, settled=int(not known))
        new = Generation.load(number, sources, options, page, known[-1] if known else None)
        try:
            fill(new)
            new.attach(options)
        except BaseException:
            new.discard(self._store)
            raise
        if not new.goes_on:
            self._store.remove(generation.RUNNING)
        new.keep(self._store)
        self.current, self.former = new, known
        attached = ", ".join(new.attached)
        replaces = bool(known) and known[-1].is_attached()
        self._retire()
        if replaces:
            log.info(
                "attached in place of a program of another version or other options: %s", attached,
                extra=entry(Kind.LAYOUT_CHANGED),
            )  # fmt: skip
        else:
            log.info("attached: %s", attached, extra=entry(Kind.ATTACHED))

    def _retire(self) -> None:
        for old in self.former:
            old.detach(self._store)

    def _believed(self, stored: Mapping[str, int]) -> list[Generation]:
        """The generations to go on with, oldest first, the last one attached if any is; others are let go."""
        generations, strangers = generation.by_number(stored)
        running = strangers.pop(generation.RUNNING, None)
        whole = []
        for number, fds in generations.items():
            generation.share(fds, running)
            try:
                generation.check(fds)
                one = Generation(number, fds)
                layout.record_head(one.ledger.schema)
                whole.append(one)
            except (OSError, ValueError) as error:
                log.warning("generation %d from the file descriptor store is let go: %s", number, error)
                strangers.update({f"{number}.{name}": fd for name, fd in fds.items()})
        for name, fd in strangers.items():
            self._store.remove(name)
            os.close(fd)
        if running is not None:
            os.close(running)
        return self._needed(whole)

    def _needed(self, whole: list[Generation]) -> list[Generation]:
        """Without those that were killed half-way: into the store, where the one before is attached still,
        or out of it, where the books of the one after have their numbers. Where none is attached, as the
        store had no room, all have something to be read.
        """
        last = max((i for i, one in enumerate(whole) if one.is_attached()), default=len(whole) - 1)
        first = max((i for i, one in enumerate(whole[: last + 1]) if one.ledger.page.settled), default=0)
        for one in [*whole[:first], *whole[last + 1 :]]:
            one.discard(self._store)
        return whole[first : last + 1]

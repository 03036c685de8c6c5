# SPDX-License-Identifier: GPL-2.0-or-later
"""At a start: take over the attached generation, or load and attach a new one in its place."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from execwatchd.kernel.available import LeftOut, available
from execwatchd.kernel.descriptor_store import Store
from execwatchd.kernel.digest import digest
from execwatchd.kernel.generation import Generation
from execwatchd.kernel.layout import HOST_PIDNS
from execwatchd.kernel.ledger import Page
from execwatchd.kernel.members import RUNNING
from execwatchd.kernel.options import Options, plain
from execwatchd.kernel.stored import Stored, usable_generations
from execwatchd.shared.counters import Counters
from execwatchd.shared.errors import Failure
from execwatchd.shared.message_ids import Fields, MessageId, log_fields

log = logging.getLogger(__name__)

_REFUSED = (
    "the file descriptor store has no room for all descriptors, so a restart misses execs;"
    " set FileDescriptorStoreMax=512 for the unit"
)


class Generations:
    """`current` is attached. `former`, oldest first, are detached, and their rings are still to be read."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.current: Generation
        self.former: list[Stored] = []
        # Set by `start`: what the program was made for, the options that this host can't give, and the reason
        # if the program of before goes on instead.
        self.options: Options
        self.left_out: LeftOut = {}
        self.older_program = ""
        self.store_problem = ""  # what the store's lack of room means, and the remedy; see `look_at_store`
        self._answer: Callable[[], bool | None] = lambda: None
        self._unread = 0

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
        usable = usable_generations(self._store, stored)
        last = usable[-1] if usable else None
        whole = last if isinstance(last, Generation) and last.is_complete() else None
        attached = whole.ledger.digest if whole else ""
        self.options = options
        try:
            if attached != digest(sources, options):
                self.options, self.left_out = available(options)
            if attached != digest(sources, self.options):
                self._load(usable, sources, self.options, fill)
                return
        except Failure as failure:
            if not whole:
                self._load_plain(usable, sources, fill, failure)
                return
            log.error("%s; the program of before goes on", failure)  # noqa: TRY400  its text is the whole story
            self.options, self.left_out, self.older_program = options, {}, str(failure)
            self._take_over(usable[:-1], whole, fill)
            return
        assert whole  # its digest is the wanted one
        self._take_over(usable[:-1], whole, fill)
        names = ", ".join(self.current.attached)
        log.info("took over the attached program: %s", names, extra=self._fields(MessageId.ATTACHED))

    @property
    def attached(self) -> list[str]:
        """The tracepoints that record, by name."""
        return self.current.attached

    @property
    def since(self) -> int:
        """When the counters began, µs of CLOCK_REALTIME."""
        return min(generation.books.since for generation in self._all())

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
        return sum(generation.books.reported for generation in self._all())

    def unended(self) -> int:
        """Processes whose end could not be recorded, by the current generation alone."""
        return self.current.unended()

    def missed(self) -> int:
        """Execs that the kernel ran no program for, by the current generation alone."""
        return self.current.missed()

    def unread(self) -> int:
        """Records of former generations that could not be read, of those that this process let go."""
        return self._unread

    def _all(self) -> list[Stored]:
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
            page = self._added(page, old)
        self.current.buckets.carry([(old.former_buckets, bool(old.books.settled)) for old in self.former])
        self.current.ledger.commit(page._replace(settled=1))
        for old in self.former:
            old.discard(self._store)
        self.former.clear()
        self.look_at_store()
        if self.store_problem:  # there is room now
            self._keep()

    def _added(self, page: Page, old: Stored) -> Page:
        """With what a former generation counted. What it saw and didn't account for could not be read."""
        counted, books = old.counters(), old.books
        unread = counted.seen - counted.forwarded - counted.ignored - counted.lost
        self._unread += max(0, unread)
        return page._replace(
            seen=page.seen + counted.seen + max(0, -unread),
            ignored=page.ignored + counted.ignored,
            lost=page.lost + counted.lost - books.malformed + max(0, unread),
            malformed=page.malformed + books.malformed,
            forwarded=page.forwarded + counted.forwarded,
            reported=page.reported + books.reported,
            since=min(page.since, books.since),
        )

    def look_at_store(self) -> None:
        """Called now and then: whether the store has kept all that was put there, once that is known."""
        has_room = self._answer()
        if has_room is None:
            return
        self._answer = lambda: None
        if has_room:
            self.current.keep_last(self._store)
            if self.store_problem:
                log.info("the file descriptor store has kept all descriptors now")
        elif not self.store_problem:
            log.error("%s", _REFUSED, extra=log_fields(MessageId.STORE_FULL))
        self.store_problem = "" if has_room else _REFUSED

    def _take_over(
        self, former: list[Stored], current: Generation, fill: Callable[[Generation], None]
    ) -> None:
        self.former, self.current = former, current
        self._retire()
        fill(self.current)

    def _load(
        self,
        former: list[Stored],
        sources: Path,
        options: Options,
        fill: Callable[[Generation], None],
    ) -> None:
        for old in former:
            if not old.attached:
                old.shed(self._store)
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
        self.current, self.former = new, former
        self._keep()
        attached = ", ".join(new.attached)
        replaces = bool(former) and former[-1].is_complete()
        self._retire()
        if replaces:
            log.info(
                "attached in place of a program of another version or other options: %s", attached,
                extra=self._fields(MessageId.LAYOUT_CHANGED),
            )  # fmt: skip
        else:
            log.info("attached: %s", attached, extra=self._fields(MessageId.ATTACHED))

    def _fields(self, kind: MessageId) -> dict[str, Fields]:
        """Of an entry on attaching: it has the host's namespaces, which the entries of execs leave out."""
        mntns = self.current.ledger.mntns
        host = {"EXECWATCH_PIDNS": HOST_PIDNS, "EXECWATCH_MNTNS": mntns} if mntns else {}
        return log_fields(kind, **host)

    def _load_plain(
        self,
        former: list[Stored],
        sources: Path,
        fill: Callable[[Generation], None],
        failure: Failure,
    ) -> None:
        """Without all options, as the program with them didn't load: no program would record nothing.

        Raises `failure` if there are none.
        """
        wanted, self.options = self.options, plain(self.options)
        left_out = [name for name, value in asdict(self.options).items() if getattr(wanted, name) != value]
        if not left_out:
            raise failure
        self._load(former, sources, self.options, fill)
        self.left_out = {**self.left_out, **dict.fromkeys(left_out, str(failure))}

    def _retire(self) -> None:
        for old in self.former:
            old.detach(self._store)

    def _keep(self) -> None:
        self._answer = self.current.keep(self._store)

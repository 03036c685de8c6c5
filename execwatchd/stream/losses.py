# SPDX-License-Identifier: GPL-2.0-or-later
"""Every loss is told once, with its exact count: in the journal, then by the signal."""

import time
from collections.abc import Callable

from execwatchd.shared.message_ids import MessageId
from execwatchd.shared.plural import counted, were
from execwatchd.stream import journal_fields
from execwatchd.stream.outbox import Outbox
from execwatchd.stream.ring import Sources

_EVERY = 30.0  # s, while the ring never gets empty


class Losses:
    """Compares what the kernel and the ledger call lost with what was told."""

    def __init__(self, sources: Sources, outbox: Outbox, signal: Callable[[int], None]) -> None:
        self._sources = sources
        self._outbox = outbox
        self._signal = signal
        self._told_at = time.monotonic()
        self._known = self._causes()

    def tell(self) -> None:
        """Called when the ring is empty: a stall's losses are one entry."""
        if self._sources.former:
            return
        lost = self._sources.counters().lost
        books = self._sources.current.ledger
        count = lost - books.page.reported
        if count <= 0:
            return
        told, reasons = self._reasons(count)
        ends = "sched_process_exit" in self._sources.attached
        what = counted(count, *(("exec or end", "execs or ends") if ends else ("exec",)))
        if not self._outbox.send(_entry(count, f"{what} {were(count)} not recorded: {reasons}")):
            return
        for cause, number in told.items():
            self._known[cause] += number
        books.commit(books.page._replace(reported=lost))  # after it was sent: twice rather than never
        self._told_at = time.monotonic()
        self._signal(count)

    def tell_if_late(self) -> None:
        """Called now and then: an overload that never ends must not hide its losses."""
        if time.monotonic() - self._told_at > _EVERY:
            self.tell()

    def _causes(self) -> dict["_Cause", int]:
        """What isn't for want of room, by the words for so many."""
        return {
            _unended: self._sources.unended(),
            _interrupted: self._sources.missed(),
            _unread: self._sources.unread(),
            _malformed: self._sources.current.ledger.page.malformed,
        }

    def _reasons(self, count: int) -> tuple[dict["_Cause", int], str]:
        """How many by each of the causes, and all in words."""
        told = {}
        for cause, number in self._causes().items():
            if new := min(max(number - self._known[cause], 0), count):
                told[cause] = new
                count -= new
        full = f"the ring of {self._sources.ring_size >> 10} KiB was full; raise ring_size"
        others = [cause(number) for cause, number in told.items()]
        return told, "; ".join([*([full] * bool(count)), *others])


_Cause = Callable[[int], str]


def _unended(number: int) -> str:
    too_many = f"{were(number)} {'one ' if number == 1 else ''}too many to watch"
    return f"{counted(number, 'process', 'processes')} ended unseen, or {too_many}"


def _interrupted(number: int) -> str:
    return f"{number} came while the program was interrupted on {'its' if number == 1 else 'their'} CPU"


def _unread(number: int) -> str:
    return f"{number} came back unreadable from the file descriptor store"


def _malformed(number: int) -> str:
    return f"{number} could not be read, as the log says"


def _entry(count: int, text: str) -> bytes:
    fields: dict[str, str | int] = {"MESSAGE_ID": MessageId.EVENTS_LOST.value, "EXECWATCH_LOST": count}
    return journal_fields.log_entry(4, text, fields)

# SPDX-License-Identifier: GPL-2.0-or-later
"""Every loss is told once, with its exact count: in the journal, then by the signal."""

import time
from collections.abc import Callable

from execwatchd.shared.message_ids import MessageId
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
        what = "execs or ends" if "sched_process_exit" in self._sources.attached else "execs"
        if not self._outbox.send(_entry(count, f"{count} {what} were not recorded: {reasons}")):
            return
        for words, number in told.items():
            self._known[words] += number
        books.commit(books.page._replace(reported=lost))  # after it was sent: twice rather than never
        self._told_at = time.monotonic()
        self._signal(count)

    def tell_if_late(self) -> None:
        """Called now and then: an overload that never ends must not hide its losses."""
        if time.monotonic() - self._told_at > _EVERY:
            self.tell()

    def _causes(self) -> dict[str, int]:
        """What isn't for want of room, by the words that tell of so many."""
        return {
            "{} processes ended unseen, or were too many to watch": self._sources.unended(),
            "{} came while the program was interrupted on their CPU": self._sources.missed(),
            "{} came back unreadable from the file descriptor store": self._sources.unread(),
            "{} could not be read, as the log says": self._sources.current.ledger.page.malformed,
        }

    def _reasons(self, count: int) -> tuple[dict[str, int], str]:
        """How many by each of the causes, and all in words."""
        told = {}
        for words, number in self._causes().items():
            if new := min(max(number - self._known[words], 0), count):
                told[words] = new
                count -= new
        full = f"the ring of {self._sources.ring_size >> 10} KiB was full; raise ring_size"
        others = [words.format(number) for words, number in told.items()]
        return told, "; ".join([*([full] * bool(count)), *others])


def _entry(count: int, text: str) -> bytes:
    fields: dict[str, str | int] = {"MESSAGE_ID": MessageId.EVENTS_LOST.value, "EXECWATCH_LOST": count}
    return journal_fields.log_entry(4, text, fields)

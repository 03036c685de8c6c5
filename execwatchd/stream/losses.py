# SPDX-License-Identifier: GPL-2.0-or-later
"""Reports every loss once, with its exact count and cause: in the journal, then by the signal."""

import time
from collections.abc import Callable

from execwatchd.shared.message_ids import MessageId
from execwatchd.shared.plural import counted, were
from execwatchd.stream import journal_fields
from execwatchd.stream.outbox import Outbox
from execwatchd.stream.ring import Sources
from execwatchd.stream.user_losses import Buckets, ByUser, UserLosses

_EVERY = 30.0  # s, while the ring never gets empty


class Losses:
    """Compares what was lost, by the kernel and by the ledger, with what was reported."""

    def __init__(
        self, sources: Sources, buckets: Buckets, outbox: Outbox, signal: Callable[[int], None]
    ) -> None:
        """`buckets`: those of the current source."""
        self._sources = sources
        self._users = UserLosses(buckets)
        self._outbox = outbox
        self._signal = signal
        self._reported_at = time.monotonic()
        self._reported = self._causes()
        # Lost and not reported before this start: nobody noted the cause.
        self._inherited = sources.counters().lost - sources.reported()

    def report(self) -> None:
        """Called when the ring is empty, so that the losses of a stall are one entry."""
        ledger = self._sources.current.ledger
        if self._sources.former or self._sources.counters().lost <= ledger.page.reported:
            return
        self._users.look()
        lost = self._sources.counters().lost
        count = lost - ledger.page.reported
        by_user = self._users.draft(count, lost)
        reported, reasons = self._reasons(count)
        if not self._outbox.send(_entry(count, f"{self._what(count)} not recorded: {reasons}", by_user)):
            return
        for cause, number in reported.items():
            self._reported[cause] += number
        self._inherited = 0
        ledger.commit(ledger.page._replace(reported=lost))  # after it was sent: twice rather than never
        self._users.confirm()
        self._reported_at = time.monotonic()
        self._signal(count)

    def report_if_late(self) -> None:
        """Called now and then, since an overload that never ends must not hide its losses."""
        if time.monotonic() - self._reported_at > _EVERY:
            self.report()

    def _what(self, count: int) -> str:
        ends = "sched_process_exit" in self._sources.attached
        return f"{counted(count, *(('exec or end', 'execs or ends') if ends else ('exec',)))} {were(count)}"

    def _causes(self) -> dict["_Cause", int]:
        """Losses whose cause isn't a full ring: the text for a number → that number."""
        return {
            _unended: self._sources.unended(),
            _interrupted: self._sources.missed(),
            _unread: self._sources.unread(),
            _malformed: self._sources.current.ledger.page.malformed,
        }

    def _reasons(self, count: int) -> tuple[dict["_Cause", int], str]:
        """How many are new by each of these causes, and all reasons in words."""
        new = {}
        for cause, number in self._causes().items():
            if more := min(max(number - self._reported[cause], 0), count):
                new[cause] = more
                count -= more
        texts = [cause(number) for cause, number in new.items()]
        if inherited := min(self._inherited, count):
            texts.append(f"{inherited} before this start, of a cause that was not noted")
            count -= inherited
        size = self._sources.ring_size >> 10
        full = f"the ring of {size} KiB was full, or a user's share of it; raise ring_size"
        return new, "; ".join([*([full] * bool(count)), *texts])


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


def _entry(count: int, text: str, by_user: ByUser) -> bytes:
    fields: dict[str, str | int] = {"MESSAGE_ID": MessageId.EVENTS_LOST.value, "EXECWATCH_LOST": count}
    if by_user.named:
        text = f"{text}; by {by_user.text}"
        fields["EXECWATCH_LOST_UIDS"] = by_user.field
    return journal_fields.log_entry(4, text, fields)

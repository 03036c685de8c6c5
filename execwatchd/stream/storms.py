# SPDX-License-Identifier: GPL-2.0-or-later
"""Reports in the journal what the limits suppress, user by user: a storm starts, continues, ends.

The sum of the reported counts is exactly what was suppressed. A whole entry is written down before it is
sent, and struck out afterwards. After a kill in between, the very same entry is sent again, with the same
EXECWATCH_TIMESTAMP, so that a reader recognises it.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from execwatchd.kernel.buckets import KERNEL, SHARED, Bucket, Report, is_subordinate
from execwatchd.shared.message_ids import MessageId
from execwatchd.shared.plural import counted, were
from execwatchd.stream import journal_fields
from execwatchd.stream.outbox import Outbox

_EVERY = 10.0  # s between two entries of a storm, and what must be quiet for its end
_LOOK = 1.0  # s at least between two looks for a storm that begins
_KINDS = {1: MessageId.STORM_STARTED, 2: MessageId.STORM_CONTINUES, 3: MessageId.STORM_ENDED}  # enum storm
_STARTED, _CONTINUES, _ENDED = _KINDS
_NAMES = {SHARED: "users beyond the number that has room", KERNEL: "the kernel's own helpers"}
_PRIORITIES = {_STARTED: 4, _CONTINUES: 4, _ENDED: 5}


class Buckets(Protocol):
    """The kernel's buckets and what was reported of them, as kernel.buckets has them."""

    capacity: int  # of each of both maps

    def buckets(self) -> dict[int, Bucket]:
        """As they are now."""

    def reports(self) -> Mapping[int, Report]:
        """What was reported of them; it follows what `report` writes down."""

    def report(self, uid: int, report: Report) -> None:
        """Write down what was reported."""

    def forget(self, uid: int) -> None:
        """The report of this UID is of no use any more."""

    def remove(self, uid: int) -> Bucket:
        """Let a bucket go; what it was in that moment."""


class Limited(Protocol):
    """A program with its buckets."""

    @property
    def buckets(self) -> Buckets:
        """By UID."""

    def suppressed(self) -> int:
        """Execs of all UIDs together."""


class Programs(Protocol):
    """The generations whose buckets are reported."""

    @property
    def former(self) -> Sequence[object]:
        """Detached; what they have not reported is carried over to the current one when they go."""

    @property
    def current(self) -> Limited:
        """The one that is attached."""


class Storms:
    """Compares what the buckets suppressed with what was reported. Call it from the event loop only."""

    def __init__(self, programs: Programs, outbox: Outbox) -> None:
        self._programs = programs
        self._outbox = outbox
        self._suppressed = -1
        self._looked = -_LOOK
        self._reported_at = time.monotonic()
        self._entries: dict[int, float] = {}  # when the last one of a storm was sent

    def look(self) -> None:
        """Called when the ring is empty: reports a storm that has started at once. Costs one system call."""
        now = time.monotonic()
        if self._programs.former or now - self._looked < _LOOK:
            return
        suppressed = self._programs.current.suppressed()
        if suppressed != self._suppressed:
            self._looked = now
            if self._pass(starts_only=True):
                self._suppressed = suppressed

    def report(self) -> None:
        """Called now and then: reports which storms continue, and which have ended."""
        now = time.monotonic()
        if self._programs.former or now - self._reported_at < _EVERY:
            return
        self._reported_at = now
        if self._pass():
            self._make_room()

    def finish(self) -> None:
        """Nothing is suppressed any more: report all of it, and the end of every storm."""
        if not self._programs.former and self._pass(last=True):
            self._pass(last=True)  # the end of a storm that started only now

    def _pass(self, *, starts_only: bool = False, last: bool = False) -> bool:
        """False: the journal takes no entries now."""
        buckets, reports = self._programs.current.buckets.buckets(), self._all_reports()
        for uid in sorted(buckets.keys() | reports.keys()):
            bucket = buckets.get(uid)
            report = reports.get(uid, Report()).of(bucket)
            if report.draft_at:  # written before a kill, or refused by the journal
                if not self._send(uid, report):
                    return False
                report = reports.get(uid, Report()).of(bucket)
            kind = self._due(uid, report, report.pending(bucket), last=last)
            if kind is None or (starts_only and kind != _STARTED):
                continue
            if not self._send(uid, self._draft(uid, report, bucket, kind)):
                return False
        return True

    def _due(self, uid: int, report: Report, pending: int, *, last: bool) -> int | None:
        if not report.active:
            return _STARTED if pending else None
        if last:
            return _ENDED
        quiet = time.monotonic() - self._entries.get(uid, 0)
        if pending:  # half of it: calls are _EVERY apart, less what the last entry took
            return _CONTINUES if quiet >= _EVERY / 2 else None
        return _ENDED if quiet >= _EVERY else None

    def _draft(self, uid: int, report: Report, bucket: Bucket | None, kind: int) -> Report:
        pending = report.pending(bucket)
        report = report._replace(
            reported=bucket.suppressed if bucket else 0,
            carried=0,
            storm_total=pending + (report.storm_total if report.active else 0),
            draft=pending,
            draft_at=time.monotonic_ns(),
            draft_kind=kind,
            limit=(bucket.limit if bucket else 0) or report.limit,
        )
        self._note(uid, report)
        return report

    def _send(self, uid: int, report: Report) -> bool:
        if not self._outbox.send(_entry(uid, report)):
            return False
        self._entries[uid] = time.monotonic()
        active = int(report.draft_kind != _ENDED)
        self._note(uid, report._replace(draft_at=0, draft=0, draft_kind=0, active=active))
        return True

    def _note(self, uid: int, report: Report) -> None:
        self._programs.current.buckets.report(uid, report)

    def _all_reports(self) -> Mapping[int, Report]:
        return self._programs.current.buckets.reports()

    def _make_room(self) -> None:
        """Remove the buckets of users at rest, and the reports of buckets that are gone.

        Such a bucket is full, as a new one would be. Only with a limit of one a second, and of two execs in
        the very microsecond of its removal, the removed bucket may suppress the second one.
        """
        maps = self._programs.current.buckets
        buckets = maps.buckets()
        before = time.monotonic_ns() - int(_EVERY * 1e9)
        subordinate = set(filter(is_subordinate, buckets))
        for group in (buckets.keys() - subordinate, subordinate):
            if len(group) > maps.capacity * 3 // 4:
                for uid in sorted(group):
                    if self._is_at_rest(uid, buckets[uid], before):
                        self._let_go(uid)
                        del buckets[uid]
        self._forget_others(buckets)

    def _is_at_rest(self, uid: int, bucket: Bucket, before: int) -> bool:
        report = self._all_reports().get(uid, Report()).of(bucket)
        quiet = uid != SHARED and max(bucket.full_at, bucket.contended) < before
        return quiet and not (report.active or report.draft_at or _is_pending(report, bucket))

    def _let_go(self, uid: int) -> None:
        """Remove the bucket; what it suppressed or lost since the last look is carried over in the report."""
        bucket = self._programs.current.buckets.remove(uid)
        report = self._all_reports().get(uid, Report()).of(bucket)
        if _is_pending(report, bucket):
            pending, losses = report.pending(bucket), report.pending_losses(bucket)
            report = report._replace(created=0, reported=0, carried=pending, limit=bucket.limit)
            self._note(uid, report.with_losses(-losses))

    def _forget_others(self, buckets: Mapping[int, Bucket]) -> None:
        reports = self._all_reports()
        for uid in [uid for uid, report in reports.items() if uid not in buckets and not report.is_of_use]:
            self._programs.current.buckets.forget(uid)
            self._entries.pop(uid, None)


def _is_pending(report: Report, bucket: Bucket) -> bool:
    return bool(report.pending(bucket) or report.pending_losses(bucket))


def _entry(uid: int, report: Report) -> bytes:
    who = _NAMES.get(uid, f"UID {uid}")
    limit, count, total = report.limit, report.draft, report.storm_total
    rate = f"{counted(limit, 'exec')} a second"
    text = {
        _STARTED: f"{who}: more than {rate}, {count} {were(count)} suppressed until now",
        _CONTINUES: f"{who}: still more than {rate}, {count} more {were(count)} suppressed",
        _ENDED: f"{who}: no more than {rate} again, {total} {were(total)} suppressed",
    }[report.draft_kind]
    fields: dict[str, str | int] = {
        "MESSAGE_ID": _KINDS[report.draft_kind].value,
        "EXECWATCH_LIMIT": limit,
        "EXECWATCH_SUPPRESSED": count,
        "EXECWATCH_SUPPRESSED_TOTAL": total,
        "EXECWATCH_TIMESTAMP": report.draft_at,
    }
    if uid == KERNEL:
        fields["EXECWATCH_BY_KERNEL"] = 1
    elif uid != SHARED:
        fields["EXECWATCH_UID"] = uid
    return journal_fields.log_entry(_PRIORITIES[report.draft_kind], text, fields)

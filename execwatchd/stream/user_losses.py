# SPDX-License-Identifier: GPL-2.0-or-later
"""Whose execs the ring had no room for: the counts of the kernel's buckets that no entry has reported yet.

An entry of losses is of all users, while each of them has a report of its own. So each report says beforehand
from which total on it holds, and the ledger's one store of that total makes all of them hold at once: a kill
leaves them all as they were, or all reported.
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from execwatchd.kernel.buckets import CONTAINERS, KERNEL, SHARED, Bucket, Report

_NAMED = 8
_NAMES = {SHARED: "unnamed", CONTAINERS: "containers", KERNEL: "kernel"}
_TEXTS = {
    SHARED: "users beyond the number that has room",
    CONTAINERS: "users in containers",
    KERNEL: "the kernel's own helpers",
}


class Buckets(Protocol):
    """The kernel's buckets and what was reported of them, as kernel.buckets has them."""

    def buckets(self) -> dict[int, Bucket]:
        """As they are now."""

    def reports(self) -> Mapping[int, Report]:
        """What was reported of them; it follows what `report` writes down."""

    def report(self, uid: int, report: Report) -> None:
        """Write down what was reported."""


class ByUser(NamedTuple):
    """The losses of an entry: those of the users who lost most, and the sum of all others'."""

    named: dict[int, int]
    others: int

    @property
    def field(self) -> str:
        """`1000=523 kernel=2 others=40`"""
        named = [f"{_NAMES.get(uid, uid)}={count}" for uid, count in self.named.items()]
        return " ".join([*named, *([f"others={self.others}"] * bool(self.others))])

    @property
    def text(self) -> str:
        """The same for people."""
        named = [f"{_TEXTS.get(uid, f'UID {uid}')}: {count}" for uid, count in self.named.items()]
        return ", ".join([*named, *([f"others: {self.others}"] * bool(self.others))])


class UserLosses:
    """Call `look`, `draft` and, once the entry is sent and the ledger has its total, `confirm`."""

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets
        self._pending: dict[int, tuple[Report, int]] = {}
        self._drafts: dict[int, Report] = {}

    def look(self) -> None:
        """Read the buckets. Their losses are among the counters' that are read after it."""
        buckets, reports = self._buckets.buckets(), self._buckets.reports()
        self._pending = {}
        for uid in buckets.keys() | reports.keys():
            bucket = buckets.get(uid)
            report = reports.get(uid, Report()).of(bucket)
            if (count := report.pending_losses(bucket)) > 0:
                self._pending[uid] = report, count

    def draft(self, count: int, total: int) -> ByUser:
        """What an entry of `count` losses says of users; it holds when ledger_page.reported is `total`."""
        counts: dict[int, int] = {}
        self._drafts = {}
        for uid, (report, pending) in sorted(self._pending.items(), key=lambda item: (-item[1][1], item[0])):
            # more than that only where the reports were lost
            counts[uid] = min(pending, count - sum(counts.values()))
            self._drafts[uid] = report._replace(lost_next=report.lost + counts[uid], lost_from=total)
            self._buckets.report(uid, self._drafts[uid])
        named = {uid: count for uid, count in list(counts.items())[:_NAMED] if count}
        return ByUser(named, sum(counts.values()) - sum(named.values()))

    def confirm(self) -> None:
        """The drafts are reports."""
        for uid, draft in self._drafts.items():
            self._buckets.report(uid, draft.with_losses(draft.lost_next))
        self._drafts = {}

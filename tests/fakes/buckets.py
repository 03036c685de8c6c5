# SPDX-License-Identifier: GPL-2.0-or-later
"""A stand-in for the kernel's buckets, and for what was reported of them."""

import itertools
from collections.abc import Callable, Mapping

from execwatchd.kernel.buckets import SHARED, Bucket, Report


class FakeBuckets:
    """Both maps in memory, and the program that has them. `step`: as FakeSource has it."""

    def __init__(self, capacity: int = 8) -> None:
        self.capacity = capacity
        self.kept = {SHARED: Bucket()}
        self.written: dict[int, Report] = {}
        self.step: Callable[[], None] = lambda: None
        self.before_removal: Callable[[int], None] = lambda _uid: None
        self._created = itertools.count(1)

    def hold_back(self, uid: int, count: int = 1, limit: int = 5, full_at: int = 0) -> None:
        old = self.kept.get(uid) or Bucket(created=next(self._created))
        self.kept[uid] = old._replace(suppressed=old.suppressed + count, limit=limit, full_at=full_at)

    def lose(self, uid: int, count: int = 1) -> None:
        old = self.kept.get(uid) or Bucket(created=next(self._created))
        self.kept[uid] = old._replace(lost=old.lost + count)

    def suppressed(self) -> int:
        return sum(bucket.suppressed for bucket in self.kept.values())

    def buckets(self) -> dict[int, Bucket]:
        return dict(self.kept)

    def reports(self) -> Mapping[int, Report]:
        return self.written

    def again(self, reported: int) -> None:
        """As a new process finds it, whose ledger says so many losses were reported."""
        self.written = {uid: report.after(reported) for uid, report in self.written.items()}

    def report(self, uid: int, report: Report) -> None:
        self.step()
        self.written[uid] = report
        self.step()

    def forget(self, uid: int) -> None:
        del self.written[uid]

    def remove(self, uid: int) -> Bucket:
        self.before_removal(uid)
        return self.kept.pop(uid)

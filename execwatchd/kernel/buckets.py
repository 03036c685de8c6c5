# SPDX-License-Identifier: GPL-2.0-or-later
"""The maps `buckets` and `subuid_buckets`, which execs the rate limits suppressed, by UID, and map `reports`,
what the journal knows of that.

A program may add to a bucket at any time, so user space never writes one, and keeps its reports in a map of
their own. One user may have thousands of subordinate UIDs: their buckets are in a second map, and can't take
the room of other users' buckets.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from execwatchd.kernel import layout
from execwatchd.kernel.libbpf import Map

SHARED = layout.NO_ID  # instead of a UID: the bucket that all UIDs share for which there was no room
KERNEL = layout.KERNEL_ID  # instead of a UID: the bucket of the kernel's own execs
_UID = struct.Struct("=I")


def is_subordinate(uid: int) -> bool:
    """Whether its bucket is in subuid_buckets."""
    return uid >= layout.FIRST_SUBORDINATE and uid != KERNEL


class Bucket(NamedTuple):
    """struct bucket. Times are CLOCK_MONOTONIC, ns; `limit` is in execs a second."""

    full_at: int = 0
    suppressed: int = 0
    created: int = 0
    limit: int = 0
    unused: int = 0


class Report(NamedTuple):
    """struct report. Counts are of execs; `created` and `draft_at` are CLOCK_MONOTONIC, ns; `draft_kind` is
    enum storm.
    """

    created: int = 0
    reported: int = 0
    carried: int = 0
    storm_total: int = 0
    draft: int = 0
    draft_at: int = 0
    draft_kind: int = 0
    limit: int = 0
    active: int = 0
    unused: int = 0

    def of(self, bucket: Bucket | None) -> "Report":
        """The report as it applies to this bucket: of a new bucket of the same UID, nothing was reported."""
        created = bucket.created if bucket else 0
        return self if self.created == created else self._replace(created=created, reported=0)

    def pending(self, bucket: Bucket | None) -> int:
        """Execs that are still to be reported, without the draft's."""
        return (bucket.suppressed if bucket else 0) - self.reported + self.carried


class Readable(Protocol):
    """Buckets of a predecessor."""

    def buckets(self) -> dict[int, Bucket]:
        """As they are now, by UID."""

    def reports(self) -> dict[int, Report]:
        """What was reported of them, by UID."""


class FormerBuckets:
    """The maps of a detached generation with these members. One that is missing is as good as empty."""

    def __init__(self, fds: Mapping[str, int]) -> None:
        self._fds = fds

    def buckets(self) -> dict[int, Bucket]:
        """As they were in the end, by UID."""
        items = (*self._items("map.buckets"), *self._items("map.subuid_buckets"))
        return {uid: Bucket(*layout.BUCKET.unpack(value)) for uid, value in items}

    def reports(self) -> dict[int, Report]:
        """What was reported of them, by UID."""
        return {uid: Report(*layout.REPORT.unpack(value)) for uid, value in self._items("map.reports")}

    def _items(self, name: str) -> list[tuple[int, bytes]]:
        return _items(Map(self._fds[name])) if name in self._fds else []


class Buckets:
    """The maps, by their descriptors; `capacity` is that of either map of buckets."""

    def __init__(self, buckets: int, subuid_buckets: int, reports: int) -> None:
        self._buckets, self._subuid_buckets = Map(buckets), Map(subuid_buckets)
        self._reports = Map(reports)
        self.capacity = self._buckets.info.max_entries

    def initialise(self) -> None:
        """Make the shared bucket. Call it before anything is attached."""
        self._subuid_buckets.set(_UID.pack(SHARED), layout.BUCKET.pack(*Bucket()))

    def buckets(self) -> dict[int, Bucket]:
        """As they are now, by UID."""
        items = (*_items(self._buckets), *_items(self._subuid_buckets))
        return {uid: Bucket(*layout.BUCKET.unpack(value)) for uid, value in items}

    def reports(self) -> dict[int, Report]:
        """What was reported of them, by UID."""
        return {uid: Report(*layout.REPORT.unpack(value)) for uid, value in _items(self._reports)}

    def report(self, uid: int, report: Report) -> None:
        """Write down what was reported."""
        self._reports.set(_UID.pack(uid), layout.REPORT.pack(*report))

    def forget(self, uid: int) -> None:
        """Remove the report of a bucket that is gone."""
        self._reports.delete(_UID.pack(uid))

    def remove(self, uid: int) -> Bucket:
        """Remove a bucket, and return what it was in that moment; a new one is full."""
        value = (self._subuid_buckets if is_subordinate(uid) else self._buckets).pop(_UID.pack(uid))
        return Bucket(*layout.BUCKET.unpack(value)) if value else Bucket()

    def carry(self, former: Sequence[tuple[Readable, bool]]) -> None:
        """Take over what predecessors have not reported, as long as nothing was reported here yet.

        Each comes with whether its ledger is settled: if it isn't, its map `reports` is but a copy of its own
        predecessor's. May be repeated after a kill: it sets values, and adds to none.
        """
        carried: dict[int, Report] = {}
        for predecessor, settled in former:
            buckets, reports = predecessor.buckets(), predecessor.reports() if settled else {}
            for uid in buckets.keys() | reports.keys():
                bucket = buckets.get(uid)
                report = reports.get(uid, Report()).of(bucket)
                base = carried.get(uid) or report
                limit = bucket.limit if bucket and bucket.limit else base.limit
                pending = report.pending(bucket) + (base.carried if uid in carried else 0)
                carried[uid] = base._replace(created=0, reported=0, carried=pending, limit=limit)
        for uid, report in carried.items():
            if report.carried or report.active or report.draft_at:
                self.report(uid, report)


def _items(bpf_map: Map) -> list[tuple[int, bytes]]:
    items = []
    for key in list(bpf_map.keys()):
        value = bpf_map.get(key)
        if value is not None:
            items.append((_UID.unpack(key)[0], value))
    return items

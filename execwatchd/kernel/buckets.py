# SPDX-License-Identifier: GPL-2.0-or-later
"""The maps `buckets` and `subuid_buckets`, what limits suppressed and what the ring had no room for, by UID,
and map `reports`, what the journal knows of that.

A program may add to a bucket at any time, so user space never writes one, and keeps its reports in a map of
their own. One user may have thousands of subordinate UIDs: their buckets are in a second map, and can't take
the room of other users' buckets.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from execwatchd.kernel import layout
from execwatchd.kernel.libbpf import Map

SHARED = layout.NO_ID  # instead of a UID: the bucket that all UIDs share for which there was no room
KERNEL = layout.KERNEL_ID  # instead of a UID: the bucket of the kernel's own execs
CONTAINERS = layout.CONTAINERS_ID  # instead of a UID: the share of all UIDs of containers
_UID = struct.Struct("=I")


def is_subordinate(uid: int) -> bool:
    """Whether its bucket is in subuid_buckets."""
    return uid >= layout.FIRST_SUBORDINATE and uid != KERNEL


class Bucket(NamedTuple):
    """struct bucket without the charges, which are the program's. Times are CLOCK_MONOTONIC, ns; `limit` is
    in execs a second.
    """

    full_at: int = 0
    suppressed: int = 0
    created: int = 0
    limit: int = 0
    unused: int = 0
    lost: int = 0
    contended: int = 0


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
    lost: int = 0
    lost_next: int = 0
    lost_from: int = 0

    def of(self, bucket: Bucket | None) -> "Report":
        """The report as it applies to this bucket: of a new bucket of the same UID, nothing was reported."""
        created = bucket.created if bucket else 0
        if self.created == created:
            return self
        carried = min(self.lost, 0)
        return self._replace(created=created, reported=0, lost=carried, lost_next=carried, lost_from=0)

    def pending(self, bucket: Bucket | None) -> int:
        """Execs that are still to be reported, without the draft's."""
        return (bucket.suppressed if bucket else 0) - self.reported + self.carried

    def pending_losses(self, bucket: Bucket | None) -> int:
        """Lost execs and ends that are still to be reported."""
        return (bucket.lost if bucket else 0) - self.lost

    @property
    def is_of_use(self) -> bool:
        """Whether it says something even if there is no bucket."""
        return bool(self.carried or self.lost < 0 or self.active or self.draft_at)

    def with_losses(self, lost: int) -> "Report":
        """So many of its bucket's losses are reported."""
        return self._replace(lost=lost, lost_next=lost, lost_from=0)

    def after(self, reported: int) -> "Report":
        """What holds in a new process, by `ledger_page.reported`."""
        return self.with_losses(self.lost_next if 0 < self.lost_from <= reported else self.lost)


class Readable(Protocol):
    """Buckets of a predecessor."""

    def buckets(self) -> dict[int, Bucket]:
        """As they are now, by UID."""

    def reports(self) -> Mapping[int, Report]:
        """What was reported of them, by UID."""


class FormerBuckets:
    """The maps of a detached generation with these members. One that is missing is as good as empty.

    `reported`: losses, by its ledger.
    """

    def __init__(self, fds: Mapping[str, int], reported: int) -> None:
        self._fds = fds
        self._reported = reported

    def buckets(self) -> dict[int, Bucket]:
        """As they were in the end, by UID."""
        items = (*self._items("map.buckets"), *self._items("map.subuid_buckets"))
        return {uid: Bucket(*layout.BUCKET.unpack(value)) for uid, value in items}

    def reports(self) -> dict[int, Report]:
        """What was reported of them, by UID."""
        return _reports(self._items("map.reports"), self._reported)

    def _items(self, name: str) -> list[tuple[int, bytes]]:
        return _items(Map(self._fds[name])) if name in self._fds else []


class Buckets:
    """The maps of a generation with these members; `capacity` is that of either map of buckets.

    `reported`: losses, by its ledger as this process found it.
    """

    def __init__(self, fds: Mapping[str, int], reported: int) -> None:
        self._buckets, self._subuid_buckets = Map(fds["map.buckets"]), Map(fds["map.subuid_buckets"])
        self._map = Map(fds["map.reports"])
        self._reports = _reports(_items(self._map), reported)
        self.capacity = self._buckets.info.max_entries

    def initialise(self) -> None:
        """Make the shared bucket. Call it before anything is attached."""
        self._subuid_buckets.set(_UID.pack(SHARED), layout.BUCKET.pack(*Bucket()))

    def buckets(self) -> dict[int, Bucket]:
        """As they are now, by UID."""
        items = (*_items(self._buckets), *_items(self._subuid_buckets))
        return {uid: Bucket(*layout.BUCKET.unpack(value)) for uid, value in items}

    def reports(self) -> Mapping[int, Report]:
        """What was reported of them, by UID; it follows what `report` writes down."""
        return self._reports

    def report(self, uid: int, report: Report) -> None:
        """Write down what was reported."""
        self._map.set(_UID.pack(uid), layout.REPORT.pack(*report))
        self._reports[uid] = report

    def forget(self, uid: int) -> None:
        """Remove the report of a bucket that is gone."""
        self._map.delete(_UID.pack(uid))
        del self._reports[uid]

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
                pending, losses = report.pending(bucket), report.pending_losses(bucket)
                if uid in carried:
                    pending, losses = pending + base.carried, losses - base.lost
                base = base._replace(created=0, reported=0, carried=pending, limit=limit)
                carried[uid] = base.with_losses(-losses)
        for uid, report in carried.items():
            if report.is_of_use:
                self.report(uid, report)


def _reports(items: Iterable[tuple[int, bytes]], reported: int) -> dict[int, Report]:
    """As they hold in a new process."""
    return {uid: Report(*layout.REPORT.unpack(value)).after(reported) for uid, value in items}


def _items(bpf_map: Map) -> list[tuple[int, bytes]]:
    items = []
    for key in list(bpf_map.keys()):
        value = bpf_map.get(key)
        if value is not None:
            items.append((_UID.unpack(key)[0], value))
    return items

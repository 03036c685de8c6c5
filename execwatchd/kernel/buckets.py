# SPDX-License-Identifier: GPL-2.0-or-later
"""The maps of buckets, and `told`: execs that the limits held back, by UID, and what the journal knows of it.

A program adds to a bucket at any time, so user space never writes one; what was told of it stands in a map of
its own. UIDs that one user may have in numbers have their buckets apart, so that they take no other's room.
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple

from execwatchd.kernel import layout
from execwatchd.kernel.libbpf import Map

SHARED = layout.NO_ID  # instead of a UID: the bucket of all for whom there was no room
SUBORDINATE = layout.FIRST_SUBORDINATE  # the first UID of those apart
_UID = struct.Struct("=I")


class Bucket(NamedTuple):
    """struct bucket. Times are CLOCK_MONOTONIC, ns; `limit` is in execs a second."""

    full_at: int = 0
    held_back: int = 0
    created: int = 0
    limit: int = 0
    unused: int = 0


class Told(NamedTuple):
    """struct told. Counts of execs, but `at` and `created` (CLOCK_MONOTONIC, ns) and `kind` (enum storm)."""

    created: int = 0
    told: int = 0
    carried: int = 0
    storm: int = 0
    in_hand: int = 0
    at: int = 0
    kind: int = 0
    limit: int = 0
    active: int = 0
    unused: int = 0

    def of(self, bucket: Bucket | None) -> "Told":
        """With `told` for this bucket: a new one of the same UID has told nothing."""
        created = bucket.created if bucket else 0
        return self if self.created == created else self._replace(created=created, told=0)

    def pending(self, bucket: Bucket | None) -> int:
        """What the journal is still to be told, without the entry in hand."""
        return (bucket.held_back if bucket else 0) - self.told + self.carried


class Buckets:
    """The maps, by their descriptors; `capacity` is that of either map of buckets."""

    def __init__(self, buckets: int, more_buckets: int, told: int) -> None:
        self._buckets, self._more = Map(buckets), Map(more_buckets)
        self._told = Map(told)
        self.capacity = self._buckets.info.max_entries

    def begin(self) -> None:
        """Before anything is attached: the bucket that all share for whom there is no room."""
        self._more.set(_UID.pack(SHARED), layout.BUCKET.pack(*Bucket()))

    def buckets(self) -> dict[int, Bucket]:
        """As they are now, by UID."""
        found = (*_items(self._buckets), *_items(self._more))
        return {uid: Bucket(*layout.BUCKET.unpack(value)) for uid, value in found}

    def told(self) -> dict[int, Told]:
        """What was told of them, by UID."""
        return {uid: Told(*layout.TOLD.unpack(value)) for uid, value in _items(self._told)}

    def tell(self, uid: int, told: Told) -> None:
        """Write down what was told."""
        self._told.set(_UID.pack(uid), layout.TOLD.pack(*told))

    def forget(self, uid: int) -> None:
        """Let go what was told of a bucket that is gone."""
        self._told.delete(_UID.pack(uid))

    def remove(self, uid: int) -> Bucket:
        """Let a bucket go, its user gets a full one at need; what it was in that moment."""
        value = (self._buckets if uid < SUBORDINATE else self._more).pop(_UID.pack(uid))
        return Bucket(*layout.BUCKET.unpack(value)) if value else Bucket()

    def carry(self, former: Sequence[tuple["Buckets", bool]]) -> None:
        """What predecessors have not told is to be told here, as long as nothing was told of here yet.

        Each with whether its own books are settled: else what its map `told` has is but a copy. It may be
        done again after a kill, since it adds to nothing.
        """
        carried: dict[int, Told] = {}
        for one, settled in former:
            buckets, known = one.buckets(), one.told() if settled else {}
            for uid in buckets.keys() | known.keys():
                bucket, told = buckets.get(uid), known.get(uid, Told()).of(buckets.get(uid))
                base = carried.get(uid) or told
                limit = bucket.limit if bucket and bucket.limit else base.limit
                pending = told.pending(bucket) + (base.carried if uid in carried else 0)
                carried[uid] = base._replace(created=0, told=0, carried=pending, limit=limit)
        for uid, told in carried.items():
            if told.carried or told.active or told.at:
                self.tell(uid, told)


def _items(of: Map) -> list[tuple[int, bytes]]:
    found = []
    for key in list(of.keys()):
        value = of.get(key)
        if value is not None:
            found.append((_UID.unpack(key)[0], value))
    return found

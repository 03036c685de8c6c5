# SPDX-License-Identifier: GPL-2.0-or-later
"""What the limits held back is told in the journal, user by user: a storm's begin, its progress, its end.

The sum of the counts told is exactly what was held back. An entry is written down, whole, before it is sent,
and struck out afterwards: a kill in between sends the very same entry again, with the same
EXECWATCH_TIMESTAMP, so that a reader can tell that it is one.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from execwatchd.kernel.buckets import SHARED, SUBORDINATE, Bucket, Told
from execwatchd.shared.message_ids import Kind
from execwatchd.stream import journal_fields
from execwatchd.stream.outbox import Outbox

_EVERY = 10.0  # s between two entries of a storm, and what must be quiet for its end
_LOOK = 1.0  # s at least between two looks for a storm that begins
_KINDS = {1: Kind.STORM_BEGAN, 2: Kind.HELD_BACK, 3: Kind.STORM_ENDED}  # enum storm
_BEGAN, _GOES_ON, _ENDED = _KINDS
_PRIORITIES = {_BEGAN: 4, _GOES_ON: 4, _ENDED: 5}


class Buckets(Protocol):
    """The kernel's buckets and what was told of them, as kernel.buckets has them."""

    capacity: int  # of each of both maps

    def buckets(self) -> dict[int, Bucket]:
        """As they are now."""

    def told(self) -> dict[int, Told]:
        """What was told."""

    def tell(self, uid: int, told: Told) -> None:
        """Write down what was told."""

    def forget(self, uid: int) -> None:
        """What was told of this UID is of no use any more."""

    def remove(self, uid: int) -> Bucket:
        """Let a bucket go; what it was in that moment."""


class Limited(Protocol):
    """A program with its buckets."""

    @property
    def buckets(self) -> Buckets:
        """By UID."""

    def held_back(self) -> int:
        """Of all UIDs together."""


class Programs(Protocol):
    """Those whose buckets are told of."""

    @property
    def former(self) -> Sequence[object]:
        """Detached; what they have not told is carried to the current one when they go."""

    @property
    def current(self) -> Limited:
        """The one that is attached."""


class Storms:
    """Compares what the buckets held back with what was told. Call it from the event loop only."""

    def __init__(self, hooks: Programs, outbox: Outbox) -> None:
        self._hooks = hooks
        self._outbox = outbox
        self._known: dict[int, Told] | None = None
        self._held_back = -1
        self._looked = -_LOOK
        self._told = time.monotonic()
        self._entries: dict[int, float] = {}  # when the last one of a storm was sent

    def look(self) -> None:
        """Called when the ring is empty: a storm that began is told at once. Costs one system call."""
        now = time.monotonic()
        if self._hooks.former or now - self._looked < _LOOK:
            return
        held_back = self._hooks.current.held_back()
        if held_back != self._held_back:
            self._looked = now
            if self._pass(begins_only=True):
                self._held_back = held_back

    def tell(self) -> None:
        """Called now and then: how the storms go on, and which have ended."""
        now = time.monotonic()
        if self._hooks.former or now - self._told < _EVERY:
            return
        self._told = now
        if self._pass():
            self._make_room()

    def finish(self) -> None:
        """Nothing is held back any more: tell all of it, and end every storm."""
        if not self._hooks.former and self._pass(last=True):
            self._pass(last=True)  # the end of one that began only now

    def _pass(self, *, begins_only: bool = False, last: bool = False) -> bool:
        """False: the journal takes no entries now."""
        buckets, known = self._hooks.current.buckets.buckets(), self._all_told()
        for uid in sorted(buckets.keys() | known):
            bucket = buckets.get(uid)
            told = known.get(uid, Told()).of(bucket)
            if told.at:  # of before a kill, or refused by the journal
                if not self._send(uid, told):
                    return False
                told = known.get(uid, Told()).of(bucket)
            kind = self._due(uid, told, told.pending(bucket), last=last)
            if kind is None or (begins_only and kind != _BEGAN):
                continue
            if not self._send(uid, self._in_hand(uid, told, bucket, kind)):
                return False
        return True

    def _due(self, uid: int, told: Told, pending: int, *, last: bool) -> int | None:
        if not told.active:
            return _BEGAN if pending else None
        if last:
            return _ENDED
        quiet = time.monotonic() - self._entries.get(uid, 0)
        if pending:  # half: calls are as far apart, less what the last entry took
            return _GOES_ON if quiet >= _EVERY / 2 else None
        return _ENDED if quiet >= _EVERY else None

    def _in_hand(self, uid: int, told: Told, bucket: Bucket | None, kind: int) -> Told:
        pending = told.pending(bucket)
        told = told._replace(
            told=bucket.held_back if bucket else 0,
            carried=0,
            storm=pending + (told.storm if told.active else 0),
            in_hand=pending,
            at=time.monotonic_ns(),
            kind=kind,
            limit=(bucket.limit if bucket else 0) or told.limit,
        )
        self._note(uid, told)
        return told

    def _send(self, uid: int, told: Told) -> bool:
        if not self._outbox.send(_entry(uid, told)):
            return False
        self._entries[uid] = time.monotonic()
        self._note(uid, told._replace(at=0, in_hand=0, kind=0, active=int(told.kind != _ENDED)))
        return True

    def _note(self, uid: int, told: Told) -> None:
        self._hooks.current.buckets.tell(uid, told)
        self._all_told()[uid] = told

    def _all_told(self) -> dict[int, Told]:
        if self._known is None:
            self._known = self._hooks.current.buckets.told()
        return self._known

    def _make_room(self) -> None:
        """Let go the buckets of users at rest, and what was told of buckets that are gone.

        Such a bucket is full, as a new one would be. Only two execs in the very microsecond of its removal,
        on two CPUs and with a limit of one a second, may have the second one held back by what is gone.
        """
        maps = self._hooks.current.buckets
        buckets = maps.buckets()
        before = time.monotonic_ns() - int(_EVERY * 1e9)
        subordinate = {uid for uid in buckets if uid >= SUBORDINATE}
        for group in (buckets.keys() - subordinate, subordinate):
            if len(group) > maps.capacity * 3 // 4:
                for uid in sorted(group):
                    if self._is_at_rest(uid, buckets[uid], before):
                        self._let_go(uid)
                        del buckets[uid]
        self._forget_others(buckets)

    def _is_at_rest(self, uid: int, bucket: Bucket, before: int) -> bool:
        told = self._all_told().get(uid, Told()).of(bucket)
        quiet = uid != SHARED and bucket.full_at < before
        return quiet and not (told.active or told.at or told.pending(bucket))

    def _let_go(self, uid: int) -> None:
        """What it held back since it was looked at is told without it."""
        bucket = self._hooks.current.buckets.remove(uid)
        told = self._all_told().get(uid, Told()).of(bucket)
        if pending := told.pending(bucket):
            self._note(uid, told._replace(created=0, told=0, carried=pending, limit=bucket.limit))

    def _forget_others(self, buckets: Mapping[int, Bucket]) -> None:
        known = self._all_told()
        for uid in [uid for uid, told in known.items() if uid not in buckets and not told.active]:
            if not (known[uid].at or known[uid].carried):
                self._hooks.current.buckets.forget(uid)
                del known[uid]
                self._entries.pop(uid, None)


def _entry(uid: int, told: Told) -> bytes:
    who = "users beyond the number that has room" if uid == SHARED else f"UID {uid}"
    text = {
        _BEGAN: f"{who}: more than {told.limit} execs a second, {told.in_hand} were held back until now",
        _GOES_ON: f"{who}: still more than {told.limit} execs a second, {told.in_hand} more were held back",
        _ENDED: f"{who}: no more than {told.limit} execs a second again, {told.storm} were held back",
    }[told.kind]
    fields: dict[str, str | int] = {
        "MESSAGE_ID": _KINDS[told.kind].value,
        "EXECWATCH_LIMIT": told.limit,
        "EXECWATCH_HELD_BACK": told.in_hand,
        "EXECWATCH_HELD_BACK_TOTAL": told.storm,
        "EXECWATCH_TIMESTAMP": told.at,
    }
    if uid != SHARED:
        fields["EXECWATCH_UID"] = uid
    return journal_fields.log_entry(_PRIORITIES[told.kind], text, fields)

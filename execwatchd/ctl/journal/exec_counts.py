# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts execs by user, unit and command, in total and in each of the last intervals. Memory is bounded."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from execwatchd.ctl.ports import Entry, integer
from execwatchd.shared.message_ids import MessageId

WINDOW = 40  # intervals that are kept
LIMIT = 10_000  # keys that are kept: any user can make up names of commands
_COMM, _UNIT = 15, 255  # bytes of a name that are kept: with --any-sender it may have any length

_EXEC, _FAILED, _LOST = (
    kind.value.encode() for kind in (MessageId.EXEC, MessageId.EXEC_FAILED, MessageId.EVENTS_LOST)
)


class Key(NamedTuple):
    """What an exec is counted under. OTHERS, without a `command`, has the execs of all keys not kept."""

    uid: int | None = None
    unit: bytes = b""
    user_unit: bytes = b""
    command: bytes | None = None


OTHERS = Key()


@dataclass(slots=True)
class Count:
    """How many execs there were, how many of them failed, and how many there were in each interval."""

    execs: int = 0
    failed: int = 0
    intervals: dict[int, int] = field(default_factory=dict)

    def add(self, other: "Count") -> None:
        """Add the other count to this."""
        self.execs += other.execs
        self.failed += other.failed
        for number, execs in other.intervals.items():
            self.intervals[number] = self.intervals.get(number, 0) + execs

    @property
    def recent(self) -> int:
        """How many execs there were in the intervals that are kept."""
        return sum(self.intervals.values())


@dataclass(slots=True)
class Group(Count):
    """The execs of a user, a unit or a command; `partners` counts the commands of it, or the users."""

    key: Key = OTHERS
    partners: Counter[Key] = field(default_factory=Counter)

    @property
    def mostly(self) -> Key | None:
        """The command that it runs most often, or the user who runs it most often."""
        return self.partners.most_common(1)[0][0] if self.partners else None


def _user(key: Key) -> Key:
    return Key(uid=key.uid, command=b"")


def _unit(key: Key) -> Key:
    return Key(unit=key.unit, user_unit=key.user_unit, command=b"")


def _command(key: Key) -> Key:
    return Key(command=key.command)


# For each grouping: the part of a key that makes the group, and the part that makes its partners.
_PARTS: Mapping[str, tuple[Callable[[Key], Key], Callable[[Key], Key]]] = {
    "user": (_user, _command),
    "unit": (_unit, _command),
    "command": (_command, _user),
}
GROUPINGS = tuple(_PARTS)


class ExecCounts:
    """Counts entries. Intervals have numbers and `width` µs; 0 starts at `origin` (µs since the epoch)."""

    def __init__(self, width: int, origin: int = 0) -> None:
        self.width = width
        self._origin = origin
        self.lost = self.suppressed = 0
        self.total = Count()
        self._counts: dict[Key, Count] = {}
        self._skipped: dict[int, int] = {}  # µs of an interval that were not read, by its number

    def number(self, micros: int) -> int:
        """The number of the interval that this point in time is in."""
        return (micros - self._origin) // self.width

    def add(self, entry: Entry) -> None:
        """Count the entry if it is an exec, or tells how many have no entry."""
        kind = entry.fields.get("MESSAGE_ID", b"")
        if kind not in (_EXEC, _FAILED):
            if kind == _LOST:
                self.lost += _number(entry, "EXECWATCH_LOST") or 0
            self.suppressed += _number(entry, "EXECWATCH_SUPPRESSED") or 0
            return
        failed = kind == _FAILED
        key = _key(entry, failed=failed)
        count = self._counts.get(key)
        if count is None:
            if len(self._counts) >= LIMIT:
                self._merge_small_counts()
            count = self._counts[key] = Count()
        number = self.number(entry.realtime)
        for each in (self.total, count):
            each.execs += 1
            each.failed += failed
            each.intervals[number] = each.intervals.get(number, 0) + 1

    def skip(self, start: int, end: int) -> None:
        """The entries between these points in time were not read: leave that time out of the rates."""
        last = self.number(end)
        for number in range(max(self.number(start), last - WINDOW), last + 1):
            first = self._origin + number * self.width
            skipped = min(end, first + self.width) - max(start, first)
            self._skipped[number] = self._skipped.get(number, 0) + max(0, skipped)

    def forget(self, before: int) -> None:
        """Drop the intervals with a lower number, and those so far ahead that a clock must be wrong."""
        kept = set(range(before, before + 2 * WINDOW))
        self._skipped = {n: skipped for n, skipped in self._skipped.items() if n in kept}
        for count in (self.total, *self._counts.values()):
            if not count.intervals.keys() <= kept:
                count.intervals = {n: execs for n, execs in count.intervals.items() if n in kept}

    def rate(self, count: Count, number: int) -> float | None:
        """Execs a second in the part of an interval that was read; None if nothing of it was."""
        read = self.width - self._skipped.get(number, 0)
        return count.intervals.get(number, 0) * 1e6 / read if read > 0 else None

    def groups(self, by: str) -> list[Group]:
        """The counts by one of GROUPINGS, those with the most recent execs first."""
        group_of, partner_of = _PARTS[by]
        groups: dict[Key, Group] = {}
        for key, count in self._counts.items():
            name = OTHERS if key is OTHERS else group_of(key)
            group = groups.get(name)
            if group is None:
                group = groups[name] = Group(key=name)
            group.add(count)
            if key is not OTHERS:
                group.partners[partner_of(key)] += count.execs
        return sorted(groups.values(), key=lambda group: (-group.recent, -group.execs, _order(group.key)))

    def _merge_small_counts(self) -> None:
        """Add the smaller half of the counts to OTHERS. Half of them at once, so that it is rarely needed."""
        others = self._counts.pop(OTHERS, Count())
        ranked = sorted(self._counts.items(), key=lambda item: (item[1].recent, item[1].execs), reverse=True)
        for _, count in ranked[LIMIT // 2 :]:
            others.add(count)
        self._counts = {**dict(ranked[: LIMIT // 2]), OTHERS: others}


def _key(entry: Entry, *, failed: bool) -> Key:
    fields = entry.fields
    if failed:  # the process got no new comm: take the file that was to be executed
        command = fields.get("EXECWATCH_FILENAME", b"").rpartition(b"/")[2]
    else:
        command = fields.get("EXECWATCH_NEW_COMM", b"")
    units = fields.get("EXECWATCH_UNIT", b"")[:_UNIT], fields.get("EXECWATCH_USER_UNIT", b"")[:_UNIT]
    return Key(_number(entry, "EXECWATCH_UID"), *units, command[:_COMM])


def _number(entry: Entry, name: str) -> int | None:
    return integer(entry.fields.get(name))


def _order(key: Key) -> tuple[object, ...]:
    return (key is OTHERS, -1 if key.uid is None else key.uid, key.unit, key.user_unit, key.command or b"")

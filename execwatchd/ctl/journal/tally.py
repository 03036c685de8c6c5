# SPDX-License-Identifier: GPL-2.0-or-later
"""Execs counted by who ran what, in total and for each of the last intervals, in bounded memory."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from execwatchd.ctl.ports import Entry, integer
from execwatchd.shared.message_ids import Kind

WINDOW = 40  # intervals that are kept
LIMIT = 10_000  # combinations that are kept: whoever execs chooses the commands' names
_COMM, _UNIT = 15, 255  # bytes of a name; with --any-sender anyone's may be longer

_EXEC, _FAILED, _LOST = (kind.value.encode() for kind in (Kind.EXEC, Kind.EXEC_FAILED, Kind.EVENTS_LOST))


class Who(NamedTuple):
    """What an exec is counted under. Without a `command` it is all those together that were too many."""

    uid: int | None = None
    unit: bytes = b""
    user_unit: bytes = b""
    command: bytes | None = None


OTHERS = Who()


@dataclass(slots=True)
class Count:
    """How many, how many of them failed, and how many in each interval by its number."""

    execs: int = 0
    failed: int = 0
    intervals: dict[int, int] = field(default_factory=dict)

    def add(self, other: "Count") -> None:
        """Make the other one part of this."""
        self.execs += other.execs
        self.failed += other.failed
        for number, execs in other.intervals.items():
            self.intervals[number] = self.intervals.get(number, 0) + execs

    @property
    def recent(self) -> int:
        """How many in the intervals kept."""
        return sum(self.intervals.values())


@dataclass(slots=True)
class Group(Count):
    """All that have `who` in common; `partners` counts what they differ in, `mostly` being the first."""

    who: Who = OTHERS
    partners: Counter[Who] = field(default_factory=Counter)

    @property
    def mostly(self) -> Who | None:
        """What it runs mostly, or who runs it."""
        return self.partners.most_common(1)[0][0] if self.partners else None


def _user(who: Who) -> Who:
    return Who(uid=who.uid, command=b"")


def _unit(who: Who) -> Who:
    return Who(unit=who.unit, user_unit=who.user_unit, command=b"")


def _command(who: Who) -> Who:
    return Who(command=who.command)


# What execs are counted by, and what the partners in it are.
_KEYS: Mapping[str, tuple[Callable[[Who], Who], Callable[[Who], Who]]] = {
    "user": (_user, _command),
    "unit": (_unit, _command),
    "command": (_command, _user),
}
GROUPINGS = tuple(_KEYS)


class Tally:
    """Counts entries; an interval has `width` µs, and number 0 begins at `origin` (µs since the epoch)."""

    def __init__(self, width: int, origin: int = 0) -> None:
        self.width = width
        self._origin = origin
        self.lost = self.held_back = 0
        self.total = Count()
        self._counts: dict[Who, Count] = {}
        self._unknown: dict[int, int] = {}  # µs of an interval, by its number

    def number(self, micros: int) -> int:
        """The interval in which this point in time is."""
        return (micros - self._origin) // self.width

    def add(self, entry: Entry) -> None:
        """Count the entry, if it is of a kind that counts."""
        kind = entry.fields.get("MESSAGE_ID", b"")
        if kind not in (_EXEC, _FAILED):
            if kind == _LOST:
                self.lost += _number(entry, "EXECWATCH_LOST") or 0
            self.held_back += _number(entry, "EXECWATCH_HELD_BACK") or 0
            return
        failed = kind == _FAILED
        who = _who(entry, failed=failed)
        count = self._counts.get(who)
        if count is None:
            if len(self._counts) >= LIMIT:
                self._sum_up_small_ones()
            count = self._counts[who] = Count()
        number = self.number(entry.realtime)
        for one in (self.total, count):
            one.execs += 1
            one.failed += failed
            one.intervals[number] = one.intervals.get(number, 0) + 1

    def skip(self, begin: int, end: int) -> None:
        """What was between these points in time is not known."""
        last = self.number(end)
        for number in range(max(self.number(begin), last - WINDOW), last + 1):
            start = self._origin + number * self.width
            missing = min(end, start + self.width) - max(begin, start)
            self._unknown[number] = self._unknown.get(number, 0) + max(0, missing)

    def forget(self, before: int) -> None:
        """Drop intervals with a lower number, or with one that only a clock gone wrong explains."""
        kept = set(range(before, before + 2 * WINDOW))
        self._unknown = {n: missing for n, missing in self._unknown.items() if n in kept}
        for count in (self.total, *self._counts.values()):
            if not count.intervals.keys() <= kept:
                count.intervals = {n: execs for n, execs in count.intervals.items() if n in kept}

    def rate(self, count: Count, number: int) -> float | None:
        """Execs a second in an interval, by the part of it that is known; None: nothing is."""
        known = self.width - self._unknown.get(number, 0)
        return count.intervals.get(number, 0) * 1e6 / known if known > 0 else None

    def groups(self, by: str) -> list[Group]:
        """The counts by one of GROUPINGS: the busiest of late first."""
        key, partner = _KEYS[by]
        found: dict[Who, Group] = {}
        for who, count in self._counts.items():
            name = OTHERS if who is OTHERS else key(who)
            group = found.get(name)
            if group is None:
                group = found[name] = Group(who=name)
            group.add(count)
            if who is not OTHERS:
                group.partners[partner(who)] += count.execs
        return sorted(found.values(), key=lambda one: (-one.recent, -one.execs, _order(one.who)))

    def _sum_up_small_ones(self) -> None:
        """All but the half that counts most, at once: so it costs little for each."""
        others = self._counts.pop(OTHERS, Count())
        ranked = sorted(self._counts.items(), key=lambda item: (item[1].recent, item[1].execs), reverse=True)
        for _, count in ranked[LIMIT // 2 :]:
            others.add(count)
        self._counts = {**dict(ranked[: LIMIT // 2]), OTHERS: others}


def _who(entry: Entry, *, failed: bool) -> Who:
    fields = entry.fields
    if failed:  # it has no new name: what was to be executed
        command = fields.get("EXECWATCH_FILENAME", b"").rpartition(b"/")[2]
    else:
        command = fields.get("EXECWATCH_NEW_COMM", b"")
    units = fields.get("EXECWATCH_UNIT", b"")[:_UNIT], fields.get("EXECWATCH_USER_UNIT", b"")[:_UNIT]
    return Who(_number(entry, "EXECWATCH_UID"), *units, command[:_COMM])


def _number(entry: Entry, name: str) -> int | None:
    return integer(entry.fields.get(name))


def _order(who: Who) -> tuple[object, ...]:
    return (who is OTHERS, -1 if who.uid is None else who.uid, who.unit, who.user_unit, who.command or b"")

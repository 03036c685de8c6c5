# SPDX-License-Identifier: GPL-2.0-or-later
"""The counts of execs as lines of a screen, or as an object for JSON."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from execwatchd.ctl.journal import times
from execwatchd.ctl.journal.events import as_text
from execwatchd.ctl.journal.exec_counts import OTHERS, WINDOW, Count, ExecCounts, Group, Key
from execwatchd.ctl.view.event_line import user
from execwatchd.ctl.view.terminal import Console, pad, width, word

KEYS = "u user n unit c command s sort p pause q quit"
SORTS = "rate", "execs", "name"  # the columns that groups are sorted by
_RATE, _COUNT = 7, 7  # cells


@dataclass(frozen=True)
class View:
    """The counts up to and including the interval `last`, by one of GROUPINGS, with a `note` for the summary.

    Rates are those of the last interval, or those of all `seconds` if these are given. Groups are sorted by
    `sort`, a column of SORTS; only the first `limit` are shown.
    """

    counts: ExecCounts
    by: str
    last: int
    note: str = ""
    seconds: float | None = None
    sort: str = SORTS[0]
    limit: int | None = None

    def rates(self, count: Count, intervals: int) -> list[float | None]:
        """Execs a second in each of the last intervals, oldest first; None for one that was not read."""
        return [self.counts.rate(count, n) for n in range(self.last - intervals + 1, self.last + 1)]

    def rate(self, count: Count) -> float:
        """Execs a second."""
        if self.seconds is not None:
            return count.execs / self.seconds if self.seconds else 0.0
        return next((rate for rate in reversed(self.rates(count, 5)) if rate is not None), 0.0)

    def groups(self) -> list[Group]:
        """The groups that are shown: the highest first, or by name. Those that are equal keep their order."""
        groups = self.counts.groups(self.by)
        if self.sort == "name":
            groups.sort(key=lambda group: name(group.key, self.by))
        elif self.sort == "execs":
            groups.sort(key=lambda group: -group.execs)
        else:
            groups.sort(key=lambda group: -self.rate(group))
        return groups[: self.limit]


def screen(view: View, console: Console, columns: int, rows: int) -> list[str]:
    """At most `rows` lines of at most `columns` cells: a summary, the groups, the keys."""
    style = ("yellow", "bold") if view.counts.lost else ("bold",)
    head = console.paint(console.cut(_summary(view), columns), *style)
    foot = console.paint(console.cut(KEYS, columns), "dim")
    room = max(0, rows - 2)
    body = list(table(view, view.groups()[: max(0, room - 1)], console, columns))[:room]
    return [head, *body, *[""] * (room - len(body)), foot][-rows:] if rows > 1 else [head]


def snapshot(view: View, console: Console) -> Iterator[str]:
    """The summary and all groups, as wide as the console where it has a width."""
    yield console.paint(console.fit(_summary(view)), "bold")
    yield from table(view, view.groups(), console, console.width)


def _summary(view: View) -> str:
    """What is missing in the numbers comes before them, since a narrow screen cuts the end."""
    counts = view.counts
    parts = [f"by {view.by}", f"{_short(view.rate(counts.total))}/s"]
    parts += [view.note] if view.note else []
    parts += [f"{counts.lost} lost"] if counts.lost else []
    parts += [f"{counts.suppressed} held back"] if counts.suppressed else []
    parts += [f"{counts.total.execs} execs"]
    parts += [f"{counts.total.failed} failed"] if counts.total.failed else []
    return "  ".join(parts)


class Layout(NamedTuple):
    """The width of each column in cells; one of 0 cells isn't shown."""

    rate: int
    execs: int
    trend: int
    name: int
    mostly: int

    def row(self, console: Console, *texts: str) -> str:
        """A text for each column, as one line."""
        rate, execs, trend, name, mostly = texts
        cells = [pad(rate, self.rate, right=True)] if self.rate else []
        cells += [pad(execs, self.execs, right=True)] if self.execs else []
        cells += [pad(trend, self.trend)] if self.trend else []
        cells += [pad(console.cut(name, self.name), self.name)]
        cells += [console.cut(mostly, self.mostly)] if self.mostly else []
        return " ".join(cells).rstrip()


def table(view: View, groups: Sequence[Group], console: Console, columns: int | None) -> Iterator[str]:
    """A line of titles and a line for each group, at most `columns` wide; None is no limit."""
    other = "user" if view.by == "command" else "command"
    names = [name(group.key, view.by) for group in groups]
    layout = _layout(columns, names)
    mark = {view.sort: console.glyphs.sorted}
    numbers = (f"RATE/s{mark.get('rate', '')}", f"EXECS{mark.get('execs', '')}")
    titles = (*numbers, "TREND", f"{view.by.upper()}{mark.get('name', '')}", other.upper())
    yield console.paint(console.cut(layout.row(console, *titles), columns), "dim")
    for group, shown in zip(groups, names, strict=True):
        trend = _spark(view.rates(group, layout.trend), console.glyphs.levels)
        mostly = name(group.mostly, other) if group.mostly else ""
        numbers = _short(view.rate(group)), str(group.execs)
        yield console.cut(layout.row(console, *numbers, trend, shown, mostly), columns)


def _layout(columns: int | None, names: Sequence[str]) -> Layout:
    """As many columns as leave 8 cells for the name. `mostly` only where both get at least 15."""
    if columns is None:
        return Layout(_RATE, _COUNT, 20, max([7, *map(width, names)]), 2**16)
    rate = _RATE if columns >= 16 else 0
    execs = _COUNT if columns >= 24 else 0
    trend = min(WINDOW, columns // 4) if columns >= 33 else 0
    left = columns - sum(cells + 1 for cells in (rate, execs, trend) if cells)
    if left < 32:
        return Layout(rate, execs, trend, left, 0)
    return Layout(rate, execs, trend, left // 2, left - left // 2 - 1)


def _spark(rates: Sequence[float | None], levels: str) -> str:
    """A bar for each rate, relative to the highest of them; a blank for no execs."""
    highest = max((rate for rate in rates if rate), default=1.0)
    return "".join(levels[math.ceil(rate / highest * 8) - 1] if rate else " " for rate in rates)


def _short(rate: float) -> str:
    return f"{rate:.1f}" if rate < 999.95 else f"{rate:.0f}"


def name(key: Key, by: str) -> str:
    """The group's name, safe for a terminal."""
    if key == OTHERS:
        return "(others)"
    if by == "user":
        return user(key.uid)
    if by == "command":
        return word(key.command or b"") or "-"
    return "/".join(word(unit) for unit in (key.unit, key.user_unit) if unit) or "-"


def as_json(view: View, since: int, until: int) -> dict[str, Any]:
    """The counts between two points in time (µs since the epoch), under names that don't change."""
    counts = view.counts
    return {
        "by": view.by,
        "sort": view.sort,
        "since": times.iso(since),
        "until": times.iso(until),
        "execs": counts.total.execs,
        "failed": counts.total.failed,
        "lost": counts.lost,
        "suppressed": counts.suppressed,
        "groups": [
            {
                **_names(group.key, view.by),
                "execs": group.execs,
                "failed": group.failed,
                "rate": view.rate(group),
                "mostly": group.mostly
                and _names(group.mostly, "user" if view.by == "command" else "command"),
            }
            for group in view.groups()
        ],
    }


def _names(key: Key, by: str) -> dict[str, Any]:
    if key == OTHERS:
        return {"others": True}
    if by == "user":
        return {"user": user(key.uid), "uid": key.uid}
    if by == "command":
        return {"command": as_text(key.command or b"")}
    return {"unit": as_text(key.unit), "user_unit": as_text(key.user_unit)}

# SPDX-License-Identifier: GPL-2.0-or-later
"""What was counted as lines of a screen, or as one object."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from execwatchd.ctl.journal.events import as_text
from execwatchd.ctl.journal.tally import OTHERS, WINDOW, Count, Group, Tally, Who
from execwatchd.ctl.view.columns import user
from execwatchd.ctl.view.terminal import Console, cut, pad, width, word

KEYS = "u user n unit c command p pause q quit"
_LEVELS, _PLAIN_LEVELS = "▁▂▃▄▅▆▇█", ".,:;+=*#"
_RATE, _COUNT = 6, 7  # cells


@dataclass(frozen=True)
class View:
    """The tally up to and with the interval `last`, by one of its groupings; `note` says what is special.

    Rates are those of the last interval, or of all `seconds` where they are given.
    """

    tally: Tally
    by: str
    last: int
    note: str = ""
    seconds: float | None = None

    def rates(self, count: Count, intervals: int) -> list[float | None]:
        """Execs a second in the last intervals, the latest at the end; None where nothing is known."""
        return [self.tally.rate(count, n) for n in range(self.last - intervals + 1, self.last + 1)]

    def rate(self, count: Count) -> float:
        """Execs a second."""
        if self.seconds is not None:
            return count.execs / self.seconds if self.seconds else 0.0
        return next((rate for rate in reversed(self.rates(count, 5)) if rate is not None), 0.0)


def screen(view: View, console: Console, columns: int, rows: int) -> list[str]:
    """At most `rows` lines of at most `columns` cells: a summary, the groups, the keys."""
    style = ("yellow", "bold") if view.tally.lost else ("bold",)
    head = console.paint(cut(_summary(view), columns), *style)
    foot = console.paint(cut(KEYS, columns), "dim")
    room = max(0, rows - 2)
    body = list(table(view, view.tally.groups(view.by)[: max(0, room - 1)], console, columns))[:room]
    return [head, *body, *[""] * (room - len(body)), foot][-rows:] if rows > 1 else [head]


def snapshot(view: View, console: Console) -> Iterator[str]:
    """The summary and all groups, as wide as the console where it has a width."""
    yield console.paint(_fit(_summary(view), console.width), "bold")
    yield from table(view, view.tally.groups(view.by), console, console.width)


def _summary(view: View) -> str:
    """What the numbers lack stands before them: a narrow screen has but the beginning."""
    tally = view.tally
    parts = [f"by {view.by}", f"{_short(view.rate(tally.total))}/s"]
    parts += [view.note] if view.note else []
    parts += [f"{tally.lost} lost"] if tally.lost else []
    parts += [f"{tally.held_back} held back"] if tally.held_back else []
    parts += [f"{tally.total.execs} execs"]
    parts += [f"{tally.total.failed} failed"] if tally.total.failed else []
    return "  ".join(parts)


class Layout(NamedTuple):
    """The cells of each column; one of none isn't shown."""

    rate: int
    execs: int
    trend: int
    name: int
    mostly: int

    def row(self, rate: str, execs: str, trend: str, name: str, mostly: str) -> str:
        """The columns as one line."""
        cells = [pad(rate, self.rate, right=True)] if self.rate else []
        cells += [pad(execs, self.execs, right=True)] if self.execs else []
        cells += [pad(trend, self.trend)] if self.trend else []
        cells += [pad(cut(name, self.name), self.name)]
        cells += [cut(mostly, self.mostly)] if self.mostly else []
        return " ".join(cells).rstrip()


def table(view: View, groups: Sequence[Group], console: Console, columns: int | None) -> Iterator[str]:
    """A line with titles and one for each group; `columns` None: as wide as it gets."""
    other = "user" if view.by == "command" else "command"
    names = [name(group.who, view.by) for group in groups]
    layout = _layout(columns, names)
    titles = layout.row("RATE/s", "EXECS", "TREND", view.by.upper(), other.upper())
    yield console.paint(_fit(titles, columns), "dim")
    levels = _levels(console)
    for group, shown in zip(groups, names, strict=True):
        trend = _spark(view.rates(group, layout.trend), levels)
        mostly = name(group.mostly, other) if group.mostly else ""
        yield _fit(layout.row(_short(view.rate(group)), str(group.execs), trend, shown, mostly), columns)


def _layout(columns: int | None, names: Sequence[str]) -> Layout:
    """As many columns as leave 8 cells for the name; what is run mostly only where both have 15."""
    if columns is None:
        return Layout(_RATE, _COUNT, 20, max([7, *map(width, names)]), 2**16)
    rate = _RATE if columns >= 15 else 0
    execs = _COUNT if columns >= 23 else 0
    trend = min(WINDOW, columns // 4) if columns >= 32 else 0
    left = columns - sum(cells + 1 for cells in (rate, execs, trend) if cells)
    if left < 32:
        return Layout(rate, execs, trend, left, 0)
    return Layout(rate, execs, trend, left // 2, left - left // 2 - 1)


def _fit(line: str, columns: int | None) -> str:
    return line if columns is None else cut(line, columns)


def _levels(console: Console) -> str:
    try:
        _LEVELS.encode(getattr(console.out, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return _PLAIN_LEVELS
    return _LEVELS


def _spark(rates: Sequence[float | None], levels: str) -> str:
    """Each rate against the highest of its own line; a blank for none."""
    highest = max((rate for rate in rates if rate), default=1.0)
    return "".join(levels[math.ceil(rate / highest * 8) - 1] if rate else " " for rate in rates)


def _short(rate: float) -> str:
    return f"{rate:.1f}" if rate < 999.95 else f"{rate:.0f}"


def name(who: Who, by: str) -> str:
    """What the group is called, safe for a terminal."""
    if who == OTHERS:
        return "(others)"
    if by == "user":
        return user(who.uid)
    if by == "command":
        return word(who.command or b"") or "-"
    return "/".join(word(unit) for unit in (who.unit, who.user_unit) if unit) or "-"


def as_json(view: View, since: int, until: int) -> dict[str, Any]:
    """The snapshot of the time between two points (µs since the epoch) under stable names."""
    tally = view.tally
    return {
        "by": view.by,
        "since": since,
        "until": until,
        "execs": tally.total.execs,
        "failed": tally.total.failed,
        "lost": tally.lost,
        "held_back": tally.held_back,
        "groups": [
            {
                **_names(group.who, view.by),
                "execs": group.execs,
                "failed": group.failed,
                "rate": view.rate(group),
                "mostly": group.mostly
                and _names(group.mostly, "user" if view.by == "command" else "command"),
            }
            for group in tally.groups(view.by)
        ],
    }


def _names(who: Who, by: str) -> dict[str, Any]:
    if who == OTHERS:
        return {"others": True}
    if by == "user":
        return {"user": user(who.uid), "uid": who.uid}
    if by == "command":
        return {"command": as_text(who.command or b"")}
    return {"unit": as_text(who.unit), "user_unit": as_text(who.user_unit)}

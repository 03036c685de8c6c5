# SPDX-License-Identifier: GPL-2.0-or-later
"""What was counted as lines of a screen, or as one object."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from execwatchd.ctl.events import as_text
from execwatchd.ctl.shown import user
from execwatchd.ctl.tally import OTHERS, WINDOW, Count, Group, Tally, Who
from execwatchd.ctl.terminal import Console, cut, pad, width, word

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
    tally = view.tally
    parts = [f"by {view.by}", f"{_short(view.rate(tally.total))}/s", f"{tally.total.execs} execs"]
    parts += [view.note] if view.note else []
    numbers = {"lost": tally.lost, "held back": tally.held_back, "failed": tally.total.failed}
    return "  ".join([*parts, *(f"{count} {name}" for name, count in numbers.items() if count)])


def table(view: View, groups: Sequence[Group], console: Console, columns: int | None) -> Iterator[str]:
    """A line with titles and one for each group; `columns` None: as wide as it gets."""
    names = [name(group.who, view.by) for group in groups]
    spark, name_cells, mostly_cells = _layout(columns, names)
    titles = [pad("RATE/s", _RATE, right=True), pad("EXECS", _COUNT, right=True)]
    titles += [pad("TREND", spark)] if spark else []
    titles += [pad(view.by.upper(), name_cells)]
    titles += ["USER" if view.by == "command" else "COMMAND"] if mostly_cells else []
    yield console.paint(_fit(" ".join(titles).rstrip(), columns), "dim")
    levels = _levels(console)
    for group, shown in zip(groups, names, strict=True):
        cells = [pad(_short(view.rate(group)), _RATE, right=True), pad(str(group.execs), _COUNT, right=True)]
        cells += [pad(_spark(view.rates(group, spark), levels), spark)] if spark else []
        cells += [pad(cut(shown, name_cells), name_cells)]
        if mostly_cells and group.mostly:
            cells += [cut(name(group.mostly, "user" if view.by == "command" else "command"), mostly_cells)]
        yield _fit(" ".join(cells).rstrip(), columns)


def _layout(columns: int | None, names: Sequence[str]) -> tuple[int, int, int]:
    """The cells of the trend, of the name, and of what stands behind it; 0: left out."""
    if columns is None:
        return 20, max([7, *map(width, names)]), 2**16
    left = columns - _RATE - _COUNT - 2
    spark = min(WINDOW, columns // 4) if columns >= 32 else 0
    left -= spark + 1 if spark else 0
    if left < 32:
        return spark, max(1, left), 0
    return spark, left // 2, left - left // 2 - 1


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

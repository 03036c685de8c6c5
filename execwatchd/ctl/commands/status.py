# SPDX-License-Identifier: GPL-2.0-or-later
"""`execwatchctl status`: what the daemon does, and whether it is healthy."""

import os
import time
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from textwrap import wrap
from typing import Any

from execwatchd.ctl.journal import times
from execwatchd.ctl.journal.events import dump
from execwatchd.ctl.ports import EXIT_UNHEALTHY, Manager, Memory, Tools
from execwatchd.ctl.view.terminal import Console, printable, word

RING_FULL_PERCENT = 90  # from here on the next burst may be lost

_COUNTERS = "Seen", "Forwarded", "Ignored", "Lost", "Refused"


@dataclass(frozen=True)
class Report:
    """The daemon's properties now and `seconds` ago, its memory, and how many losses are tolerated."""

    now: Mapping[str, Any]
    before: Mapping[str, Any]
    seconds: float
    memory: Memory | None
    max_lost: int | None = None

    @property
    def ring_percent(self) -> int:
        """How full the ring is."""
        return int(100 * self.now["RingFill"] / max(1, self.now["RingSize"]))

    @property
    def rate(self) -> float | None:
        """Execs a second between the two samples, None where there was only one."""
        if self.seconds <= 0:
            return None
        seen: int = self.now["Seen"] - self.before["Seen"]
        return max(0, seen) / self.seconds

    def average(self, now: float) -> float:
        """Execs a second since the counters started; `now` is in seconds since the epoch."""
        return float(self.now["Seen"] / max(1.0, now - self.now["Since"] / 1e6))

    @property
    def problems(self) -> list[str]:
        """Why the daemon isn't healthy. Losses before the first sample count only against `max_lost`.

        A daemon of before an upgrade may not have the property `NotInEffect`.
        """
        lost, losing = self.now["Lost"], self.now["Lost"] - self.before["Lost"]
        checks = {
            "nothing is attached": not self.now["Attached"],
            f"the ring is {self.ring_percent} % full": self.ring_percent >= RING_FULL_PERCENT,
            f"it is losing execs: {losing} in {self.seconds:.1f} s": losing > 0,
            f"{lost} execs lost": self.max_lost is not None and lost > self.max_lost,
        }
        problems = [problem for problem, holds in checks.items() if holds]
        return [*problems, *map(printable, self.now.get("NotInEffect", ()))]


def run(options: Namespace, tools: Tools) -> int:
    """Print the status; 0 only if the daemon is healthy."""
    with tools.manager() as manager:
        report = _sampled(manager, options.interval, options.max_lost)
    if options.json:
        tools.console.line(dump(as_json(report, time.time())))
    else:
        for name, value in lines(report, time.time()):
            for line in _shown(name, value, tools.console):
                tools.console.line(_painted(line, name, report, tools.console))
    return EXIT_UNHEALTHY if report.problems else 0


def _shown(name: str, value: str, console: Console) -> list[str]:
    """On a terminal other values than the health are cut to its width; of a problem every word counts."""
    start = f"{name:>10}: "
    if name != "Health":
        return [console.fit(start + value)]
    room = max(console.width or 2**16, len(start) + 20) - len(start)
    rows = [row for problem in value.splitlines() for row in wrap(problem, room, break_on_hyphens=False)]
    return [(" " * len(start) if number else start) + row for number, row in enumerate(rows)]


def _sampled(manager: Manager, interval: float, max_lost: int | None) -> Report:
    before, start = manager.properties(), time.monotonic()
    if interval <= 0:
        return Report(before, before, 0.0, manager.memory(), max_lost)
    time.sleep(interval)
    now, seconds = manager.properties(), time.monotonic() - start
    return Report(now, before, seconds, manager.memory(), max_lost)


def as_json(report: Report, now: float) -> dict[str, Any]:
    """The report under names that don't change: in bytes, counts and execs a second."""
    names = {"RingSize": "ring_size", "RingFill": "ring_fill"}
    values = {names.get(name, name.lower()): report.now[name] for name in ("Version", *names, *_COUNTERS)}
    return {
        "healthy": not report.problems,
        "problems": report.problems,
        "kernel": os.uname().release,
        "attached": list(report.now["Attached"]),
        "since": times.iso(report.now["Since"]),
        "rate": report.rate,
        "average_rate": report.average(now),
        "memory": report.memory.used if report.memory else None,
        **values,
    }


def lines(report: Report, now: float) -> list[tuple[str, str]]:
    """The rows of the status: name and value."""
    values = report.now
    since = datetime.fromtimestamp(values["Since"] / 1e6).astimezone()
    ring = f"{size(values['RingFill'])} of {size(values['RingSize'])}, {report.ring_percent} %"
    rate = "" if report.rate is None else f"{report.rate:.1f}/s now, "
    return [
        ("Version", f"{word(values['Version'])} on Linux {os.uname().release}"),
        ("Health", "\n".join(report.problems) or "healthy"),
        ("Attached", " ".join(map(word, values["Attached"])) or "-"),
        ("Since", f"{since:%Y-%m-%d %H:%M:%S %Z}"),
        ("Ring", ring),
        ("Rate", f"{rate}{report.average(now):.1f}/s on average"),
        *((name, str(values[name])) for name in _COUNTERS),
        ("Memory", _memory(report.memory)),
    ]


def _memory(memory: Memory | None) -> str:
    if memory is None:
        return "unknown"
    return f"{size(memory.used)}, {'with' if memory.ring else 'without'} the ring"


def size(count: int) -> str:
    """A number of bytes, in the largest unit that it has at least 1 of."""
    amount, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{count} B" if unit == "B" else f"{amount:.1f} {unit}"


def _painted(line: str, name: str, report: Report, console: Console) -> str:
    if name == "Health":
        return console.paint(line, "red" if report.problems else "green", "bold")
    if name == "Lost" and report.now["Lost"]:
        return console.paint(line, "yellow")
    return line

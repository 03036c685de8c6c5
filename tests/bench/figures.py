# SPDX-License-Identifier: GPL-2.0-or-later
"""What was measured: named rows of values, kept as JSON, so that a part can be measured again alone."""

import json
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Figure:
    """The values of one row, one for each round; `limit` is what its median must reach, if anything.

    A limit is at most (`<=0.1`) or at least (`>=0.9`) a number. A row without values says in `note` why.
    """

    name: str
    values: list[float] = field(default_factory=list)
    unit: str = ""
    limit: str = ""
    note: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def is_met(self) -> bool:
        """Whether the median is within the limit; without one it is."""
        bound = float(self.limit[2:] or "inf")
        return self.median >= bound if self.limit.startswith(">=") else self.median <= bound

    def cells(self) -> tuple[str, str, str, str]:
        """Name, median, least to most, and the limit with whether it was met; for a table."""
        if not self.values:
            return self.name, "-", "-", self.note
        shown = f"{number(self.median)} {self.unit}".strip()
        spread = "" if len(self.values) == 1 else f"{number(min(self.values))} to {number(max(self.values))}"
        words = [self.note] if self.note else []
        if self.limit:
            verb = "at least" if self.limit.startswith(">=") else "at most"
            words.append(f"{verb} {self.limit[2:]}: {'met' if self.is_met else 'missed'}")
        return self.name, shown, spread, "; ".join(words)


def number(value: float) -> str:
    """With three digits that count."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


class Results:
    """All figures by section, in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    def put(self, section: str, machine: str, figures: list[Figure]) -> None:
        """Replaces a section, in the file too: what was measured is kept whatever comes after it."""
        self._kept[section] = {"machine": machine, "figures": [asdict(one) for one in figures]}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(self._kept, indent=1, sort_keys=True, ensure_ascii=False) + "\n")

    def figures(self, section: str) -> list[Figure]:
        """The section's rows; none if it was never measured."""
        return [Figure(**one) for one in self._kept.get(section, {}).get("figures", [])]

    def machine(self, section: str) -> str:
        """Where the section was measured, and when."""
        return str(self._kept.get(section, {}).get("machine", ""))

# SPDX-License-Identifier: GPL-2.0-or-later
"""What the benchmark says of its figures; and that its page has a place for each."""

import re
from pathlib import Path

import pytest

from tests.bench import report
from tests.bench.figures import Figure, Results, number
from tests.bench.scale import MIB, lost

ROW = Figure("a row", [3.0, 1.0, 2.0], "µs", "<=2.5")


@pytest.mark.parametrize(
    ("figure", "cells"),
    [
        (ROW, ("a row", "2.00 µs", "1.00 to 3.00", "at most 2.5: met")),
        (Figure("a", [3.0], "µs", "<=2.5", "hm"), ("a", "3.00 µs", "", "hm; at most 2.5: missed")),
        (Figure("a", [0.9], "times", ">=0.9"), ("a", "0.90 times", "", "at least 0.9: met")),
        (Figure("a", [0.8], "times", ">=0.9"), ("a", "0.80 times", "", "at least 0.9: missed")),
        (Figure("a", [1234.5]), ("a", "1,234", "", "")),
        (Figure("a", note="no package"), ("a", "-", "-", "no package")),
    ],
)
def test_a_row_says_whether_its_limit_is_met(figure: Figure, cells: tuple[str, ...]) -> None:
    assert figure.cells() == cells


def test_three_digits_count() -> None:
    assert [number(value) for value in (0.123, 9.876, 12.34, 123.4)] == ["0.12", "9.88", "12.3", "123"]


def test_figures_outlive_the_run_and_a_section_is_replaced_alone(tmp_path: Path) -> None:
    path = tmp_path / "docs/figures.json"
    Results(path).put("one", "here", [ROW, ROW])
    Results(path).put("two", "here", [ROW])
    Results(path).put("one", "there", [ROW])
    results = Results(path)
    assert results.figures("one") == results.figures("two") == [ROW]
    assert [results.machine(name) for name in ("one", "two", "three")] == ["there", "here", ""]


def test_a_table_takes_the_place_of_the_last_one(tmp_path: Path) -> None:
    results = Results(tmp_path / "figures.json")
    results.put("one", "here", [ROW])
    text = "a\n<!-- figures: one -->\nold\n<!-- end -->\nb\n<!-- figures: two -->\nkept\n<!-- end -->\n"
    renewed = report.page(text, results)
    assert "| a row | 2.00 µs | 1.00 to 3.00 | at most 2.5: met |" in renewed
    assert "old" not in renewed
    assert renewed.endswith("b\n<!-- figures: two -->\nkept\n<!-- end -->\n")
    assert report.page(renewed, results) == renewed


def test_the_page_is_that_of_the_figures() -> None:
    text = report.PAGE.read_text()
    results = Results(report.DATA)
    assert report.page(text, results) == text
    marked = set(re.findall(r"<!-- figures: ([\w-]+) -->", text))
    assert all(results.figures(section) for section in marked)
    plots = {f"benchmarks/{section}.svg" for section in report.PLOTS}
    assert set(re.findall(r"\]\((\S+\.svg)\)", text)) == plots
    assert all((report.DOCS / plot).exists() for plot in plots)


@pytest.mark.parametrize(
    ("peak", "seconds", "rest", "ring", "share"),
    [
        (50, 10.0, 50, 0, 0.0),  # the reader is faster
        (200, 1.0, 0, 0, 50.0),  # no room: what it can't read at once
        (200, 1.0, 0, 50, 25.0),  # half of the rest has room
        (200, 1.0, 0, 100, 0.0),
        (200, 10.0, 0, 100, 45.0),  # a ring is for the begin of a burst only
    ],
)
def test_the_model_loses_what_has_no_room(
    peak: float, seconds: float, rest: float, ring: int, share: float
) -> None:
    assert lost(peak, seconds, rest, ring * 100, 100, 92) == pytest.approx(share, abs=0.2)


def test_the_model_is_in_bytes() -> None:
    assert lost(300_000, 1.0, 10_000, 128 * MIB, 50_000, 500) == pytest.approx(0, abs=0.1)

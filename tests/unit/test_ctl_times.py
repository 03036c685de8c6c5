# SPDX-License-Identifier: GPL-2.0-or-later
import contextlib
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execwatchd.ctl.journal.times import parse, span
from execwatchd.shared.errors import EXIT_FAILURE, EXIT_USAGE, Failure

DAY = 86400 * 1_000_000


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two hours east in summer, one in winter."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def utc(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * 1_000_000  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("2024-01-31 13:00:00", utc(2024, 1, 31, 12)),
        ("2024-07-31 13:00", utc(2024, 7, 31, 11)),
        ("2024-07-31", utc(2024, 7, 30, 22)),
        ("2024-07-31 13:00 UTC", utc(2024, 7, 31, 13)),
        ("24-01-31", utc(2024, 1, 30, 23)),
        ("2024-1-3  9:00:60", utc(2024, 1, 3, 8, 1)),
        ("Wed 2024-01-31 13:00:00.25", utc(2024, 1, 31, 12) + 250_000),
        ("@1700000000", 1_700_000_000_000_000),
        ("@1700000000.25", 1_700_000_000_250_000),
        # as JSON has it, on a systemd that doesn't read it too
        ("2024-07-31T13:00:00.500000Z", utc(2024, 7, 31, 13) + 500_000),
        ("2024-07-31T13:00:00.000001+05:00", utc(2024, 7, 31, 8) + 1),
    ],
)
def test_points_in_time(text: str, micros: int) -> None:
    assert parse(text) == micros


@pytest.mark.parametrize(
    ("text", "ago", "tolerance"),
    [
        ("now", 0, 0),
        ("1h ago", 3_600_000_000, 0),
        ("-1h30min", 5_400_000_000, 0),
        ("+5min", -300_000_000, 0),
        ("-5µs", 5, 0),
        ("-2M", 61 * DAY, 2 * DAY),
        ("-1month", 30 * DAY, DAY),
        ("1 month ago", 30 * DAY, DAY),
        ("-1y", 365 * DAY, DAY),
        ("1 year ago", 365 * DAY, DAY),
        ("yesterday", DAY * 3 // 2, DAY),
        ("today", DAY // 2, DAY),
        ("today UTC", DAY // 2, DAY),
        ("9:00", 0, DAY),
    ],
)
def test_points_in_time_beside_now(text: str, ago: int, tolerance: int) -> None:
    before = time.time_ns() // 1000
    micros = parse(text)
    assert before - tolerance <= micros + ago <= time.time_ns() // 1000 + tolerance


def test_a_date_without_its_year_is_of_this_year() -> None:
    this_year = datetime.now().year
    assert parse("Nov 30 12:45:38") == utc(this_year, 11, 30, 11, 45, 38)


@pytest.mark.parametrize(
    "text", ["", "soon", "-", "ago", "1 fortnight ago", "@x", "infinity", "1970-13-01", "\0"]
)
def test_what_is_no_point_in_time(text: str) -> None:
    with pytest.raises(Failure, match="not a point in time") as caught:
        parse(text)
    assert caught.value.code == EXIT_USAGE
    assert "such as 2024-01-31 13:00:00, today" in caught.value.hint


@settings(max_examples=15)  # of a process each
@given(st.text(max_size=40) | st.from_regex(r"[-+@]?[0-9:. hminagosTZ-]{0,60}", fullmatch=True))
def test_any_text_is_a_time_or_refused(text: str) -> None:
    with contextlib.suppress(Failure):
        assert parse(text) >= 0


@pytest.mark.parametrize(
    ("text", "micros"), [("10", 10_000_000), ("1h 30min", 5_400_000_000), ("5µs", 5), ("1.5s", 1_500_000)]
)
def test_lengths_of_time(text: str, micros: int) -> None:
    assert span(text) == micros


def test_a_host_without_systemd_analyze_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_arguments: object, **_options: object) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(subprocess, "run", absent)
    with pytest.raises(Failure, match="cannot run systemd-analyze: No such file") as caught:
        parse("today")
    assert caught.value.code == EXIT_FAILURE

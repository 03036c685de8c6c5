# SPDX-License-Identifier: GPL-2.0-or-later
import contextlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execwatchd.ctl.journal.times import parse
from execwatchd.shared.errors import EXIT_USAGE, Failure

NOW = datetime(2024, 6, 15, 12, 30, 45, tzinfo=UTC).timestamp()


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
        ("now", utc(2024, 6, 15, 12, 30, 45)),
        ("today", utc(2024, 6, 14, 22)),
        ("yesterday", utc(2024, 6, 13, 22)),
        ("tomorrow", utc(2024, 6, 15, 22)),
        ("2024-01-31 13:00:00", utc(2024, 1, 31, 12)),
        ("2024-07-31 13:00", utc(2024, 7, 31, 11)),
        ("2024-07-31", utc(2024, 7, 30, 22)),
        ("2024-07-31 13:00 UTC", utc(2024, 7, 31, 13)),
        ("2024-07-31T13:00:00.5Z", utc(2024, 7, 31, 13) + 500_000),
        ("2024-07-31 13:00:00+05:00", utc(2024, 7, 31, 8)),
        ("08:15", utc(2024, 6, 15, 6, 15)),
        ("08:15:30 UTC", utc(2024, 6, 15, 8, 15, 30)),
        ("-1h", utc(2024, 6, 15, 11, 30, 45)),
        ("+5min", utc(2024, 6, 15, 12, 35, 45)),
        ("1h ago", utc(2024, 6, 15, 11, 30, 45)),
        ("1 hour 30 minutes ago", utc(2024, 6, 15, 11, 0, 45)),
        ("1h30min ago", utc(2024, 6, 15, 11, 0, 45)),
        ("-2w1d", utc(2024, 5, 31, 12, 30, 45)),
        ("-90", utc(2024, 6, 15, 12, 29, 15)),
        ("@1700000000", 1_700_000_000_000_000),
        ("@1700000000.25", 1_700_000_000_250_000),
    ],
)
def test_points_in_time(text: str, micros: int) -> None:
    assert parse(text, NOW) == micros


def test_midnight_is_that_of_its_own_day_where_the_clock_changes() -> None:
    sunday = datetime(2024, 3, 31, 12, tzinfo=UTC).timestamp()  # 02:00 became 03:00
    assert parse("today", sunday) == utc(2024, 3, 30, 23)
    assert parse("tomorrow", sunday) == utc(2024, 3, 31, 22)


@pytest.mark.parametrize(
    "text", ["", "soon", "-", "ago", "1 fortnight ago", "@", "@x", "@inf", "@nan", "12", "-99999w"]
)
def test_what_is_no_point_in_time(text: str) -> None:
    with pytest.raises(Failure, match="not a point in time") as caught:
        parse(text, NOW)
    assert caught.value.code == EXIT_USAGE


@given(st.text(max_size=40) | st.from_regex(r"[-+@]?[0-9:. hminagos-]{0,60}", fullmatch=True))
def test_any_text_is_a_time_or_refused(text: str) -> None:
    with contextlib.suppress(Failure):
        assert parse(text, NOW) >= 0

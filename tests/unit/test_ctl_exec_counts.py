# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts of execs by user, unit and command: each exec is in each grouping, and memory is bounded."""

import pytest

from execwatchd.ctl.journal import exec_counts
from execwatchd.ctl.journal.exec_counts import OTHERS, ExecCounts
from execwatchd.ctl.view import top_screen
from tests.fakes.ctl import EPOCH, EXECS, MISSING, NOBODY, counted, exec_entry, failed_entry


def groups(of: ExecCounts, by: str) -> list[tuple[str, int, int, str | None]]:
    other = "user" if by == "command" else "command"
    return [
        (
            top_screen.name(group.key, by),
            group.execs,
            group.failed,
            group.mostly and top_screen.name(group.mostly, other),
        )
        for group in of.groups(by)
    ]


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("user", [("root", 3, 0, "ls"), (f"{NOBODY}", 2, 1, "ls")]),
        ("unit", [("-", 3, 1, "ls"), ("nginx.service", 2, 0, "ls")]),
        ("command", [("ls", 3, 0, "root"), ("nosuch", 1, 1, f"{NOBODY}"), ("sh", 1, 0, "root")]),
    ],
)
def test_each_exec_counts_once_in_each_grouping(by: str, expected: list[tuple[str, int, int, str]]) -> None:
    assert groups(counted(*EXECS), by) == expected


def test_losses_and_what_a_limit_suppressed_are_counted_apart() -> None:
    counts = counted(*EXECS, *MISSING)
    assert (counts.total.execs, counts.total.failed, counts.lost, counts.suppressed) == (5, 1, 12, 7)


def test_the_rate_is_of_the_part_that_was_read() -> None:
    counts = counted(*EXECS)
    assert [counts.rate(counts.total, n) for n in range(5)] == [0, 1, 2, 2, 0]
    counts.skip(EPOCH + 2_500_000, EPOCH + 3_000_000)
    assert counts.rate(counts.total, 2) == 4
    counts.skip(EPOCH + 3_000_000, EPOCH + 9_000_000)
    assert counts.rate(counts.total, 3) is None


def test_a_gap_is_kept_as_long_as_what_it_is_in() -> None:
    counts = counted(*EXECS)
    counts.skip(0, EPOCH + 1_500_000)  # from the start
    assert [counts.rate(counts.total, n) for n in range(3)] == [None, 2, 2]
    counts.forget(1000)
    assert counts._skipped == {}


@pytest.mark.parametrize("at", [0, 10_000])  # a host whose clock is ahead
def test_other_intervals_are_forgotten_and_totals_are_not(at: int) -> None:
    counts = counted(*EXECS, exec_entry(6, b"ls", at=at))
    counts.forget(3)
    assert (counts.total.execs, counts.total.recent) == (6, 2)


def test_memory_is_bounded_whatever_is_executed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exec_counts, "LIMIT", 10)
    often = [exec_entry(1, b"often") for _ in range(5)]
    counts = counted(*often, *(exec_entry(i, b"x%d" % i) for i in range(1000)), *often)
    assert len(counts._counts) <= 11
    by_name = {group.key: group.execs for group in counts.groups("command")}
    assert by_name[OTHERS] >= 900
    assert sum(by_name.values()) == 1010
    assert groups(counts, "command")[1][:2] == ("often", 10)


def test_names_are_no_longer_than_the_daemon_writes_them() -> None:
    long = b"x" * 9999
    counts = counted(exec_entry(1, b"x", NEW_COMM=long, UNIT=long, USER_UNIT=long), failed_entry(2, long))
    assert {name for (name, *_) in groups(counts, "command")} == {"x" * 15}
    assert {name for (name, *_) in groups(counts, "unit")} == {"-", "/".join(["x" * 255] * 2)}

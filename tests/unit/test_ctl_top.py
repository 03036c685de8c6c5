# SPDX-License-Identifier: GPL-2.0-or-later
"""`execwatchctl top`: how its screen looks at any width, its snapshot, and how it reads the journal live."""

import io
import json
import time
from argparse import Namespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execwatchd.ctl.commands import top
from execwatchd.ctl.journal.exec_counts import GROUPINGS
from execwatchd.ctl.view import top_screen
from execwatchd.ctl.view.terminal import ASCII, Console, width
from execwatchd.ctl.view.top_screen import View
from execwatchd.shared.errors import Failure
from tests.fakes.ctl import (
    EPOCH,
    EXECS,
    MISSING,
    NOBODY,
    FakeJournal,
    Rig,
    counted,
    exec_entry,
)

SECOND = 1_000_000

pytestmark = pytest.mark.usefixtures("utc")


def test_a_snapshot() -> None:
    view = View(counted(*EXECS, *MISSING), "user", last=19, seconds=5)
    assert list(top_screen.snapshot(view, Console(io.StringIO()))) == [
        "by user  1.0/s  12 lost  7 held back  5 execs  1 failed",
        "RATE/s↓   EXECS TREND                USER       COMMAND",
        "    0.6       3  ▄█                  root       ls",
        f"    0.4       2    █                 {NOBODY} ls",
    ]


@pytest.mark.parametrize(
    ("columns", "lines"),
    [
        (1, ["…", "…", "-", "…", "", "…"]),
        (12, ["by unit  2.…", "UNIT", "-", "nginx.servi…", "", "u user n un…"]),
        (
            20,
            [
                "by unit  2.0/s  sam…",
                "RATE/s↓ UNIT",
                "    2.0 -",
                "    0.0 nginx.servi…",
                "",
                "u user n unit c com…",
            ],
        ),
        (
            40,
            [
                "by unit  2.0/s  sampled  12 lost  7 hel…",
                "RATE/s↓   EXECS TREND      UNIT",
                "    2.0       3         ▄█ -",
                "    0.0       2        ██  nginx.service",
                "",
                "u user n unit c command s sort p pause …",
            ],
        ),
    ],
)
def test_a_screen_of_few_columns(columns: int, lines: list[str]) -> None:
    view = View(counted(*EXECS, *MISSING), "unit", last=3, note="sampled")
    assert top_screen.screen(view, Console(io.StringIO()), columns, 6) == lines


def test_nothing_that_an_attacker_chose_is_written_raw() -> None:
    name = "\x1b[2J\x9b\u202e".encode() + b"\r\n\xff"
    made = exec_entry(1, b"x", at=1, NEW_COMM=name, UNIT=name)
    for by in GROUPINGS:
        lines = list(top_screen.snapshot(View(counted(made), by, last=19), Console(io.StringIO())))
        assert all(line.isprintable() for line in lines)
        assert r"\033[2J\302\233\342\200\256\015\012\377" in lines[2]


def test_a_terminal_without_block_characters() -> None:
    view = View(counted(*EXECS), "command", last=19, seconds=5)
    lines = list(top_screen.snapshot(view, Console(io.StringIO(), glyphs=ASCII)))
    assert "".join(lines).isascii()
    assert lines[2].split() == ["0.6", "3", "###", "ls", "root"]


FIELDS = st.binary(max_size=20).filter(lambda raw: b"\0" not in raw)


@settings(max_examples=60)
@given(
    names=st.lists(FIELDS, max_size=6),
    columns=st.integers(1, 200),
    rows=st.integers(1, 30),
    by=st.sampled_from(GROUPINGS),
)
def test_nothing_leaves_the_screen(names: list[bytes], columns: int, rows: int, by: str) -> None:
    made = [exec_entry(1, b"x", at=1, NEW_COMM=name, UNIT=name, USER_UNIT=name) for name in names]
    view = View(counted(*made, *MISSING), by, last=3, note="sampled")
    lines = top_screen.screen(view, Console(io.StringIO()), columns, rows)
    assert len(lines) == rows
    assert all(line.isprintable() and width(line) <= columns for line in lines)


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    """An hour after EPOCH, so that a minute of it is known."""
    monkeypatch.setattr(time, "time_ns", lambda: (EPOCH + 30 * SECOND) * 1000)
    return Rig(journal=FakeJournal([*EXECS, *MISSING]))


def test_without_a_terminal_it_is_printed_once(rig: Rig) -> None:
    assert rig.run("top") == 0
    assert rig.lines[0] == "by user  0.1/s  12 lost  7 held back  5 execs  1 failed"
    assert [line.split()[-2:] for line in rig.lines[2:]] == [["root", "ls"], [f"{NOBODY}", "ls"]]
    (query,) = rig.journal.queries
    assert (query.since, query.until) == (EPOCH - 30 * SECOND, EPOCH + 30 * SECOND)


def test_as_json(rig: Rig) -> None:
    assert rig.run("top", "--json", "--by", "unit", "--since", "@1700000002") == 0
    assert json.loads(rig.out) == {
        "by": "unit",
        "sort": "rate",
        "since": "2023-11-14T22:13:22.000000+00:00",
        "until": "2023-11-14T22:13:50.000000+00:00",
        "execs": 4,
        "failed": 1,
        "lost": 12,
        "suppressed": 7,
        "groups": [
            {
                "unit": "",
                "user_unit": "",
                "execs": 3,
                "failed": 1,
                "rate": 3 / 28,
                "mostly": {"command": "ls"},
            },
            {
                "unit": "nginx.service",
                "user_unit": "",
                "execs": 1,
                "failed": 0,
                "rate": 1 / 28,
                "mostly": {"command": "sh"},
            },
        ],
    }


def test_the_first_of_the_sorted(rig: Rig) -> None:
    for arguments, names in (
        (("-n", "1"), ["root"]),
        (("--sort", "name", "--lines", "1"), [str(NOBODY)]),
        (("--sort", "execs"), ["root", str(NOBODY)]),
    ):
        assert rig.run("top", *arguments) == 0
        assert [line.split()[-2] for line in rig.lines[2:]] == names
        assert rig.run("top", "--json", *arguments) == 0
        assert [group["user"] for group in json.loads(rig.out)["groups"]] == names


def test_names_that_are_no_text_are_bytes_in_json(rig: Rig) -> None:
    rig.journal.stored = [exec_entry(1, b"\xff", at=1)]
    rig.run("top", "--json", "--by", "command")
    assert json.loads(rig.out)["groups"][0]["command"] == [255]


def test_what_cannot_be(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    assert rig.run("top", "--since", "tomorrow") == 2
    assert "--since tomorrow is yet to come" in capsys.readouterr().err
    assert rig.run("top", "--interval", "0.1") == 2
    assert "shorter than 0.2 s: 0.1" in capsys.readouterr().err
    rig.journal.may_read = False
    assert rig.run("top") == 0  # something is there
    rig.journal.stored.clear()
    assert rig.run("top") == 1


class FakeScreen:
    """Types what it is told to, a word a look; then nobody is there any more."""

    size = (60, 8)

    def __init__(self, *typed: str) -> None:
        self.typed = list(typed)
        self.drawn: list[list[str]] = []

    def draw(self, lines: list[str]) -> None:
        self.drawn.append(lines)

    def wait(self, _seconds: float) -> str | None:
        return self.typed.pop(0) if self.typed else None


def live(journal: FakeJournal, screen: FakeScreen, since: str | None = None, interval: float = 2.0) -> None:
    options = Namespace(by="user", interval=interval, since=since, sort="rate", lines=None)
    options.any_sender, options.directory = False, None
    top.Live(options, journal, Console(io.StringIO()), screen).run()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: (EPOCH + 4 * SECOND) * 1000)


@pytest.mark.usefixtures("clock")
def test_keys_choose_the_grouping_and_end_it() -> None:
    screen = FakeScreen("c", "n", "", "q", "u")
    live(FakeJournal(EXECS), screen)
    assert [lines[0].split()[1] for lines in screen.drawn] == ["user", "command", "unit", "unit"]
    assert screen.typed == ["u"]
    assert screen.drawn[0][0].startswith("by user")
    assert [line.split()[1] for line in screen.drawn[0][2:4]] == ["3", "2"]


@pytest.mark.usefixtures("clock")
def test_groups_are_sorted_by_what_is_shown_and_the_column_is_marked() -> None:
    """The most execs were before the last interval, whose rates are shown."""
    made = [exec_entry(i, b"a", at=1, UID=NOBODY - 1) for i in range(5)]
    made += [exec_entry(i, b"b", at=3, UID=NOBODY) for i in range(3)]
    made += [exec_entry(9, b"c", at=2, UID=NOBODY - 2)]
    screen = FakeScreen("s", "s", "s", "q")
    live(FakeJournal(made), screen)
    by_rate, by_execs, by_name, again = screen.drawn
    assert [line.split()[-1] for line in by_rate[2:5]] == [str(NOBODY - n) for n in (0, 2, 1)]
    assert [line.split()[-1] for line in by_execs[2:5]] == [str(NOBODY - n) for n in (1, 0, 2)]
    assert [line.split()[-1] for line in by_name[2:5]] == [str(NOBODY - n) for n in (2, 1, 0)]
    titles = [next(title for title in lines[1].split() if "↓" in title) for lines in screen.drawn]
    assert titles == ["RATE/s↓", "EXECS↓", "USER↓", "RATE/s↓"]
    assert again == by_rate


@pytest.mark.usefixtures("clock")
def test_it_ends_when_nobody_is_there() -> None:
    screen = FakeScreen()
    live(FakeJournal(EXECS), screen)
    assert len(screen.drawn) == 1


@pytest.mark.usefixtures("clock")
def test_a_storm_is_read_in_part_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(top.Live, "_until_the_next", lambda _self: 0.0)
    storm = [exec_entry(i, b"storm", at=1) for i in range(5000)]
    journal = FakeJournal(storm[:10])

    class Growing(FakeScreen):
        def draw(self, lines: list[str]) -> None:
            super().draw(lines)
            if len(self.drawn) == 1:
                journal.stored.extend(storm)

    screen = Growing("", "", "p", "", "q")
    live(journal, screen)
    first, second, third, paused, still = (lines[0] for lines in screen.drawn)
    assert first.split()[3:] == ["10", "execs"]
    assert second.split()[3:] == ["sampled", "4010", "execs"]
    assert third == second  # what was left out stays left out
    assert paused.split()[3:] == ["paused,", "sampled", "4010", "execs"]
    assert still == paused


@pytest.mark.usefixtures("clock")
def test_since_is_counted_whole_however_much_it_is() -> None:
    journal = FakeJournal([exec_entry(i, b"ls", at=1) for i in range(9000)])
    screen = FakeScreen("", "", "", "q")
    live(journal, screen, since="@1700000000")
    assert [lines[0].split()[3:] for lines in screen.drawn] == [
        ["reading", "4000", "execs"],
        ["reading", "8000", "execs"],
        ["9000", "execs"],
        ["9000", "execs"],
    ]


@pytest.mark.usefixtures("clock")
def test_what_comes_while_it_reads_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(top.Live, "_until_the_next", lambda _self: 0.0)
    journal = FakeJournal(EXECS)

    class Growing(FakeScreen):
        def draw(self, lines: list[str]) -> None:
            super().draw(lines)
            if len(self.drawn) == 1:
                journal.stored.extend(exec_entry(i, b"x", at=1 if i < 3990 else 5) for i in range(4020))

    screen = Growing("", "", "q")
    live(journal, screen)
    heads = [lines[0].split()[3:] for lines in screen.drawn]
    assert heads == [[count, "execs", "1", "failed"] for count in ("5", "4005", "4025")]


@pytest.mark.usefixtures("clock")
def test_paused_it_waits_although_there_is_more_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1.0)
    monkeypatch.setattr(time, "monotonic", lambda: 1.0)
    journal = FakeJournal([exec_entry(i, b"ls", at=1) for i in range(9000)])
    waits = []

    class Waiting(FakeScreen):
        def wait(self, seconds: float) -> str | None:
            waits.append(seconds > 0)
            return super().wait(seconds)

    screen = Waiting("", "p", "", "p", "q")
    live(journal, screen, since="@1700000000")
    assert waits == [False, False, True, True, True]
    assert screen.drawn[2][0].split()[3:] == ["paused,", "reading", "8000", "execs"]


@pytest.mark.usefixtures("clock")
def test_a_long_interval_is_read_in_pieces() -> None:
    journal = FakeJournal(EXECS)
    live(journal, FakeScreen(), interval=3600.0)
    assert [query.lines for query in journal.queries] == [4000]


@pytest.mark.usefixtures("clock")
def test_a_time_to_come_is_no_beginning() -> None:
    with pytest.raises(Failure, match="is yet to come"):
        live(FakeJournal(EXECS), FakeScreen(), since="@1700000005")

# SPDX-License-Identifier: GPL-2.0-or-later
"""`execwatchctl top`: what is counted, how it looks at any width, and the terminal it is given."""

import io
import json
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import ioctl
from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execwatchd.ctl import tally, top, topview
from execwatchd.ctl.ports import Entry
from execwatchd.ctl.screen import Screen
from execwatchd.ctl.tally import GROUPINGS, OTHERS, Tally
from execwatchd.ctl.terminal import Console, width
from execwatchd.ctl.topview import View
from execwatchd.kinds import Kind
from tests.fakes.ctl import EPOCH, FakeJournal, Rig, entry, exec_entry, failed_entry

SECOND = 1_000_000
NOBODY = 3_999_999_999  # has no name anywhere
UNIT = {"UNIT": "nginx.service"}
HOUR = [
    exec_entry(1, b"/bin/ls", at=1, UID=0, **UNIT),
    exec_entry(2, b"/bin/ls", at=2, UID=0),
    exec_entry(3, b"sh", at=2, UID=0, **UNIT),
    exec_entry(4, b"ls", at=3, UID=NOBODY),
    failed_entry(5, b"nosuch", at=3, UID=NOBODY),
]
TOLD = [
    entry(Kind.EVENTS_LOST, at=3, LOST=12),
    entry(Kind.STORM_BEGAN, at=3, HELD_BACK=7),
    entry(Kind.ATTACHED, at=3),
]

pytestmark = pytest.mark.usefixtures("utc")


def counted(*entries: Entry, span: int = SECOND) -> Tally:
    found = Tally(span, EPOCH)
    for one in entries:
        found.add(one)
    return found


def groups(of: Tally, by: str) -> list[tuple[str, int, int, str | None]]:
    other = "user" if by == "command" else "command"
    return [
        (topview.name(one.who, by), one.execs, one.failed, one.mostly and topview.name(one.mostly, other))
        for one in of.groups(by)
    ]


@pytest.mark.parametrize(
    ("by", "found"),
    [
        ("user", [("root", 3, 0, "ls"), (f"{NOBODY}", 2, 1, "ls")]),
        ("unit", [("-", 3, 1, "ls"), ("nginx.service", 2, 0, "ls")]),
        ("command", [("ls", 3, 0, "root"), ("nosuch", 1, 1, f"{NOBODY}"), ("sh", 1, 0, "root")]),
    ],
)
def test_each_exec_counts_once_in_each_grouping(by: str, found: list[tuple[str, int, int, str]]) -> None:
    assert groups(counted(*HOUR), by) == found


def test_losses_and_what_was_held_back_are_counted_apart() -> None:
    found = counted(*HOUR, *TOLD)
    assert (found.total.execs, found.total.failed, found.lost, found.held_back) == (5, 1, 12, 7)


def test_the_rate_is_of_the_part_that_is_known() -> None:
    found = counted(*HOUR)
    assert [found.rate(found.total, n) for n in range(5)] == [0, 1, 2, 2, 0]
    found.skip(EPOCH + 2_500_000, EPOCH + 3_000_000)
    assert found.rate(found.total, 2) == 4
    found.skip(EPOCH + 3_000_000, EPOCH + 9_000_000)
    assert found.rate(found.total, 3) is None


def test_old_intervals_are_forgotten_and_totals_are_not() -> None:
    found = counted(*HOUR)
    found.forget(3)
    assert (found.total.execs, found.total.recent) == (5, 2)


def test_memory_is_bounded_whatever_is_executed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "LIMIT", 10)
    often = [exec_entry(1, b"often") for _ in range(5)]
    found = counted(*often, *(exec_entry(i, b"x%d" % i) for i in range(1000)), *often)
    assert len(found._counts) <= 11
    by_name = {one.who: one.execs for one in found.groups("command")}
    assert by_name[OTHERS] >= 900
    assert sum(by_name.values()) == 1010
    assert groups(found, "command")[1][:2] == ("often", 10)


def test_a_snapshot() -> None:
    view = View(counted(*HOUR, *TOLD), "user", last=19, seconds=5)
    assert list(topview.snapshot(view, Console(io.StringIO()))) == [
        "by user  1.0/s  5 execs  12 lost  7 held back  1 failed",
        "RATE/s   EXECS TREND                USER       COMMAND",
        "   0.6       3  ▄█                  root       ls",
        f"   0.4       2    █                 {NOBODY} ls",
    ]


class Ascii(io.StringIO):
    encoding = "ascii"


def test_a_terminal_without_block_characters() -> None:
    view = View(counted(*HOUR), "command", last=19, seconds=5)
    lines = list(topview.snapshot(view, Console(Ascii())))
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
    view = View(counted(*made, *TOLD), by, last=3, note="sampled")
    lines = topview.screen(view, Console(io.StringIO()), columns, rows)
    assert len(lines) == rows
    assert all(line.isprintable() and width(line) <= columns for line in lines)


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    """An hour after EPOCH, so that a minute of it is known."""
    monkeypatch.setattr(time, "time_ns", lambda: (EPOCH + 30 * SECOND) * 1000)
    return Rig(journal=FakeJournal([*HOUR, *TOLD]))


def test_without_a_terminal_it_is_printed_once(rig: Rig) -> None:
    assert rig.run("top") == 0
    assert rig.lines[0] == "by user  0.1/s  5 execs  12 lost  7 held back  1 failed"
    assert [line.split()[-2:] for line in rig.lines[2:]] == [["root", "ls"], [f"{NOBODY}", "ls"]]
    (query,) = rig.journal.queries
    assert (query.since, query.until) == (EPOCH - 30 * SECOND, EPOCH + 30 * SECOND)


def test_as_json(rig: Rig) -> None:
    assert rig.run("top", "--json", "--by", "unit", "--since", "@1700000002") == 0
    assert json.loads(rig.out) == {
        "by": "unit",
        "since": EPOCH + 2 * SECOND,
        "until": EPOCH + 30 * SECOND,
        "execs": 4,
        "failed": 1,
        "lost": 12,
        "held_back": 7,
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
    options = Namespace(by="user", interval=interval, since=since, any_sender=False, directory=None)
    top.Live(options, journal, Console(io.StringIO()), screen).run()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: (EPOCH + 4 * SECOND) * 1000)


@pytest.mark.usefixtures("clock")
def test_keys_choose_the_grouping_and_end_it() -> None:
    screen = FakeScreen("c", "n", "", "q", "u")
    live(FakeJournal(HOUR), screen)
    assert [lines[0].split()[1] for lines in screen.drawn] == ["user", "command", "unit", "unit"]
    assert screen.typed == ["u"]
    assert screen.drawn[0][0].startswith("by user")
    assert [line.split()[1] for line in screen.drawn[0][2:4]] == ["3", "2"]


@pytest.mark.usefixtures("clock")
def test_it_ends_when_nobody_is_there() -> None:
    screen = FakeScreen()
    live(FakeJournal(HOUR), screen)
    assert len(screen.drawn) == 1


@pytest.mark.usefixtures("clock")
def test_a_storm_is_read_in_part_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(top.Live, "_until_the_next", lambda _self: 0.0)
    storm = [exec_entry(i, b"storm", at=1) for i in range(5000)]
    journal = FakeJournal(storm[:10])
    screen = FakeScreen("", "", "p", "q")

    class Growing(FakeScreen):
        def draw(self, lines: list[str]) -> None:
            super().draw(lines)
            if len(self.drawn) == 1:
                journal.stored.extend(storm)

    screen = Growing("", "", "p", "", "q")
    live(journal, screen)
    first, second, third, paused, still = (lines[0] for lines in screen.drawn)
    assert first.split()[3:] == ["10", "execs"]
    assert second.split()[3:] == ["4010", "execs", "sampled"]
    assert third == second  # what was left out stays left out
    assert paused.split()[3:] == ["4010", "execs", "paused,", "sampled"]
    assert still == paused


@pytest.mark.usefixtures("clock")
def test_since_is_counted_whole_however_much_it_is() -> None:
    journal = FakeJournal([exec_entry(i, b"ls", at=1) for i in range(9000)])
    screen = FakeScreen("", "", "", "q")
    live(journal, screen, since="@1700000000")
    assert [lines[0].split()[3:] for lines in screen.drawn] == [
        ["4000", "execs", "reading"],
        ["8000", "execs", "reading"],
        ["9000", "execs"],
        ["9000", "execs"],
    ]


class Terminal:
    """A pseudo terminal; `read` what was written to it."""

    def __init__(self) -> None:
        self.ours, self.theirs = pty.openpty()
        self.out = os.fdopen(os.dup(self.theirs), "w", encoding="utf-8")

    def resize(self, columns: int, rows: int) -> None:
        ioctl(self.theirs, termios.TIOCSWINSZ, pack("4H", rows, columns, 0, 0))

    def read(self, until: str) -> str:
        """All that is written to it up to this."""
        text = ""
        while until not in text:
            text += os.read(self.ours, 65536).decode()
        return text

    def is_plain(self) -> bool:
        return bool(termios.tcgetattr(self.theirs)[3] & termios.ICANON)

    def close(self) -> None:
        self.out.close()
        os.close(self.theirs)
        os.close(self.ours)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    one = Terminal()
    one.resize(100, 30)
    yield one
    one.close()


@contextmanager
def shown(terminal: Terminal) -> Iterator[Screen]:
    with Screen(terminal.theirs, terminal.out) as screen:
        assert not terminal.is_plain()
        yield screen
    assert terminal.is_plain()


ENTER, LEAVE = "\033[?1049h", "\033[?1049l"


def test_the_terminal_is_given_back(terminal: Terminal) -> None:
    with shown(terminal) as screen:
        screen.draw(["one", "two"])
    text = terminal.read(LEAVE)
    assert text.startswith(ENTER)
    assert "\033[H\033[2Kone\r\r\n\033[2Ktwo" in text  # the terminal itself makes \n of \r\n


def test_the_terminal_is_given_back_after_an_error(terminal: Terminal) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGWINCH)}
    with pytest.raises(ZeroDivisionError), shown(terminal):
        raise ZeroDivisionError
    assert terminal.read(LEAVE)
    assert {number: signal.getsignal(number) for number in before} == before


def test_typed_keys_and_none_for_arrows(terminal: Terminal) -> None:
    with shown(terminal) as screen:
        os.write(terminal.ours, b"c")
        assert screen.wait(20) == "c"
        os.write(terminal.ours, b"\033[A")
        assert screen.wait(20) == ""
        assert screen.wait(0) == ""


def test_a_new_size_is_looked_at_at_once(terminal: Terminal) -> None:
    with shown(terminal) as screen:
        assert screen.size == (100, 30)
        terminal.resize(1, 1)
        os.kill(os.getpid(), signal.SIGWINCH)
        assert screen.wait(60) == ""
        assert screen.size == (1, 1)
        terminal.resize(0, 0)
        assert screen.size == (80, 24)


SCRIPT = """
import sys
from execwatchd.ctl.screen import Screen
with Screen(0, sys.stdout) as screen:
    screen.draw(["here"])
    while screen.wait(60) is not None:
        screen.draw(["again"])
print("nobody")
"""


@contextmanager
def running(terminal: Terminal) -> Iterator[subprocess.Popen[bytes]]:
    program = [sys.executable, "-c", SCRIPT]
    process = subprocess.Popen(
        program,
        stdin=terminal.theirs,
        stdout=terminal.theirs,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
        start_new_session=True,
    )
    try:
        terminal.read("here")
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_that_ends_it_gives_the_terminal_back(terminal: Terminal, number: int, code: int) -> None:
    with running(terminal) as process:
        assert not terminal.is_plain()
        process.send_signal(number)
        assert process.wait(20) == code
    assert terminal.is_plain()
    assert terminal.read(LEAVE)


def test_suspended_it_lends_the_terminal(terminal: Terminal) -> None:
    with running(terminal) as process:
        process.send_signal(signal.SIGTSTP)
        assert os.waitid(os.P_PID, process.pid, os.WSTOPPED) is not None
        assert terminal.is_plain()
        assert terminal.read(LEAVE)
        process.send_signal(signal.SIGCONT)
        assert terminal.read("again").startswith(ENTER)
        assert not terminal.is_plain()

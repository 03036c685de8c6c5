# SPDX-License-Identifier: GPL-2.0-or-later
"""`execwatchctl top`: what is counted, how it looks at any width, and the terminal it is given."""

import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from argparse import Namespace
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from fcntl import ioctl
from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execwatchd.ctl.commands import top
from execwatchd.ctl.journal import tally
from execwatchd.ctl.journal.tally import GROUPINGS, OTHERS, Tally
from execwatchd.ctl.ports import Entry
from execwatchd.ctl.view import top_screen
from execwatchd.ctl.view.screen import Screen
from execwatchd.ctl.view.terminal import Console, width
from execwatchd.ctl.view.top_screen import View
from execwatchd.shared.errors import Failure
from execwatchd.shared.message_ids import Kind
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
        (
            top_screen.name(one.who, by),
            one.execs,
            one.failed,
            one.mostly and top_screen.name(one.mostly, other),
        )
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


def test_a_gap_is_kept_as_long_as_what_it_is_in() -> None:
    found = counted(*HOUR)
    found.skip(0, EPOCH + 1_500_000)  # since ever
    assert [found.rate(found.total, n) for n in range(3)] == [None, 2, 2]
    found.forget(1000)
    assert found._unknown == {}


@pytest.mark.parametrize("at", [0, 10_000])  # a host whose clock is ahead
def test_other_intervals_are_forgotten_and_totals_are_not(at: int) -> None:
    found = counted(*HOUR, exec_entry(6, b"ls", at=at))
    found.forget(3)
    assert (found.total.execs, found.total.recent) == (6, 2)


def test_memory_is_bounded_whatever_is_executed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "LIMIT", 10)
    often = [exec_entry(1, b"often") for _ in range(5)]
    found = counted(*often, *(exec_entry(i, b"x%d" % i) for i in range(1000)), *often)
    assert len(found._counts) <= 11
    by_name = {one.who: one.execs for one in found.groups("command")}
    assert by_name[OTHERS] >= 900
    assert sum(by_name.values()) == 1010
    assert groups(found, "command")[1][:2] == ("often", 10)


def test_names_are_no_longer_than_the_daemon_writes_them() -> None:
    long = b"x" * 9999
    found = counted(exec_entry(1, b"x", NEW_COMM=long, UNIT=long, USER_UNIT=long), failed_entry(2, long))
    assert {name for (name, *_) in groups(found, "command")} == {"x" * 15}
    assert {name for (name, *_) in groups(found, "unit")} == {"-", "/".join(["x" * 255] * 2)}


def test_a_snapshot() -> None:
    view = View(counted(*HOUR, *TOLD), "user", last=19, seconds=5)
    assert list(top_screen.snapshot(view, Console(io.StringIO()))) == [
        "by user  1.0/s  12 lost  7 held back  5 execs  1 failed",
        "RATE/s   EXECS TREND                USER       COMMAND",
        "   0.6       3  ▄█                  root       ls",
        f"   0.4       2    █                 {NOBODY} ls",
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
                "RATE/s UNIT",
                "   2.0 -",
                "   0.0 nginx.service",
                "",
                "u user n unit c com…",
            ],
        ),
        (
            40,
            [
                "by unit  2.0/s  sampled  12 lost  7 hel…",
                "RATE/s   EXECS TREND      UNIT",
                "   2.0       3         ▄█ -",
                "   0.0       2        ██  nginx.service",
                "",
                "u user n unit c command p pause q quit",
            ],
        ),
    ],
)
def test_a_screen_of_few_columns(columns: int, lines: list[str]) -> None:
    view = View(counted(*HOUR, *TOLD), "unit", last=3, note="sampled")
    assert top_screen.screen(view, Console(io.StringIO()), columns, 6) == lines


def test_nothing_that_an_attacker_chose_is_written_raw() -> None:
    name = "\x1b[2J\x9b\u202e".encode() + b"\r\n\xff"
    made = exec_entry(1, b"x", at=1, NEW_COMM=name, UNIT=name)
    for by in GROUPINGS:
        lines = list(top_screen.snapshot(View(counted(made), by, last=19), Console(io.StringIO())))
        assert all(line.isprintable() for line in lines)
        assert r"\033[2J\302\233\342\200\256\015\012\377" in lines[2]


class Ascii(io.StringIO):
    encoding = "ascii"


def test_a_terminal_without_block_characters() -> None:
    view = View(counted(*HOUR), "command", last=19, seconds=5)
    lines = list(top_screen.snapshot(view, Console(Ascii())))
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
    lines = top_screen.screen(view, Console(io.StringIO()), columns, rows)
    assert len(lines) == rows
    assert all(line.isprintable() and width(line) <= columns for line in lines)


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    """An hour after EPOCH, so that a minute of it is known."""
    monkeypatch.setattr(time, "time_ns", lambda: (EPOCH + 30 * SECOND) * 1000)
    return Rig(journal=FakeJournal([*HOUR, *TOLD]))


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
    journal = FakeJournal(HOUR)

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
    journal = FakeJournal(HOUR)
    live(journal, FakeScreen(), interval=3600.0)
    assert [query.lines for query in journal.queries] == [4000]


@pytest.mark.usefixtures("clock")
def test_a_time_to_come_is_no_beginning() -> None:
    with pytest.raises(Failure, match="is yet to come"):
        live(FakeJournal(HOUR), FakeScreen(), since="@1700000005")


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
            assert select.select([self.ours], [], [], 60)[0], f"no {until!r} in {text[-500:]!r}"
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


def test_what_the_terminal_cannot_show_does_not_end_it(terminal: Terminal) -> None:
    terminal.out.reconfigure(encoding="ascii")
    with shown(terminal) as screen:
        screen.draw(["ja…"])
    assert "ja?" in terminal.read(LEAVE)


def test_a_frame_that_has_to_wait_is_written_whole(terminal: Terminal) -> None:
    os.set_blocking(terminal.theirs, False)  # as another program may leave it
    with ThreadPoolExecutor(1) as pool:
        text = pool.submit(terminal.read, LEAVE)
        with shown(terminal) as screen:
            screen.draw(["x" * 200_000])
        assert text.result(60).count("x") == 200_000


def test_it_ends_when_the_terminal_is_gone(terminal: Terminal) -> None:
    with Screen(terminal.theirs, terminal.out) as screen:
        os.close(terminal.ours)
        terminal.ours = os.open(os.devnull, os.O_RDONLY)
        screen.draw(["for nobody"])
        assert screen.wait(60) is None


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
from execwatchd.ctl.view.screen import Screen
with Screen(0, sys.stdout) as screen:
    screen.draw(["here"])
    while screen.wait(60) not in (None, "q"):
        screen.draw(["again"])
"""
SHELL = """
import fcntl, os, signal, subprocess, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
job = subprocess.Popen([sys.executable, "-c", sys.argv[1]], process_group=0)
os.waitid(os.P_PID, job.pid, os.WSTOPPED)
os.tcsetpgrp(0, job.pid)
job.send_signal(signal.SIGCONT)
sys.exit(job.wait())
"""


@contextmanager
def started(terminal: Terminal, *program: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-c", *program],
        stdin=terminal.theirs,
        stdout=terminal.theirs,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def running(terminal: Terminal) -> Iterator[subprocess.Popen[bytes]]:
    with started(terminal, SCRIPT) as process:
        terminal.read("here")
        yield process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_it_gives_the_terminal_back(terminal: Terminal, number: int) -> None:
    with running(terminal) as process:
        assert not terminal.is_plain()
        process.send_signal(number)
        assert process.wait(20) == 128 + number
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


def test_suspended_it_can_be_ended(terminal: Terminal) -> None:
    with running(terminal) as process:
        process.send_signal(signal.SIGTSTP)
        assert os.waitid(os.P_PID, process.pid, os.WSTOPPED) is not None
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)
        assert process.wait(20) == 143
    assert terminal.is_plain()


BOTH = """
import os, signal, sys
from execwatchd.ctl.view.screen import Screen
with Screen(0, sys.stdout) as screen:
    os.kill(os.getpid(), signal.SIGTSTP)
    os.kill(os.getpid(), signal.SIGTERM)
    screen.wait(60)
"""


def test_to_be_suspended_and_ended_it_ends(terminal: Terminal) -> None:
    with started(terminal, BOTH) as process:
        assert process.wait(20) == 143
    assert terminal.is_plain()


def test_begun_in_the_background_it_takes_the_terminal_when_it_gets_it(terminal: Terminal) -> None:
    with started(terminal, SHELL, SCRIPT) as shell:
        assert terminal.read("again").startswith(ENTER)
        assert not terminal.is_plain()
        os.write(terminal.ours, b"q")
        assert shell.wait(20) == 0
    assert terminal.is_plain()

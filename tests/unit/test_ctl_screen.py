# SPDX-License-Identifier: GPL-2.0-or-later
"""The screen of `top` on a pseudo terminal: what it writes, and that it restores the terminal."""

import os
import pty
import select
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from fcntl import ioctl
from struct import pack

import pytest

from execwatchd.ctl.view.screen import Screen


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
    pseudo = Terminal()
    pseudo.resize(100, 30)
    yield pseudo
    pseudo.close()


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

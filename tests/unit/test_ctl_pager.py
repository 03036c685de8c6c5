# SPDX-License-Identifier: GPL-2.0-or-later
"""Which pager is chosen, what it gets, and that reading ends with it."""

import io
import itertools
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from execwatchd.ctl.view import pager
from execwatchd.ctl.view.output import Output
from execwatchd.ctl.view.pager import Pager, chosen
from execwatchd.ctl.view.progress import Progress
from execwatchd.ctl.view.terminal import Console
from tests.fakes.ctl import EPOCH, FakeJournal, Rig, exec_entry

pytestmark = pytest.mark.usefixtures("utc")


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """root has logged in, and there is every pager."""
    (tmp_path / "loginuid").write_text("0")
    monkeypatch.setattr(pager, "_LOGINUID", tmp_path / "loginuid")
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("os.getuid", lambda: 0)


DEFAULTS = [("pager",), ("less",), ("more",)]


@pytest.mark.parametrize(
    ("environ", "commands", "secure"),
    [
        ({}, DEFAULTS, False),
        ({"PAGER": "most -x"}, [("most", "-x"), *DEFAULTS], False),
        ({"PAGER": "most", "SYSTEMD_PAGER": "'my pager'"}, [("my pager",), *DEFAULTS], False),
        ({"PAGER": "it's"}, [("it's",), *DEFAULTS], False),
        # gained privilege: no pager out of the environment, and none but less
        ({"SUDO_UID": "1000"}, [("less",)], True),
        ({"PKEXEC_UID": "1000", "PAGER": "evil"}, [("less",)], True),
        ({"SUDO_UID": "1000", "SYSTEMD_PAGER": "evil"}, [("less",)], True),
        # unless it was said what is wanted
        ({"SUDO_UID": "1000", "PAGER": "most", "SYSTEMD_PAGERSECURE": "1"}, [("most",), ("less",)], True),
        ({"SUDO_UID": "1000", "PAGER": "most", "SYSTEMD_PAGERSECURE": "no"}, [("most",), *DEFAULTS], False),
        ({"SYSTEMD_PAGERSECURE": "perhaps"}, [("less",)], True),
    ],
)
def test_the_pager_of_an_environment(
    environ: dict[str, str], commands: list[tuple[str, ...]], secure: bool
) -> None:
    found = chosen({**environ, "LESSSECURE": "0"})
    assert found is not None
    assert list(found.commands) == commands
    assert found.environ.get("LESSSECURE") == ("1" if secure else None)
    assert (found.environ["LESS"], found.environ["LESSCHARSET"]) == ("FRSXMK", "utf-8")


@pytest.mark.parametrize("login", ["1000", "4294967295", ""])
def test_another_users_login_or_none_is_secure(login: str, tmp_path: Path) -> None:
    (tmp_path / "loginuid").write_text(login)
    found = chosen({})
    assert found is not None
    assert found.environ["LESSSECURE"] == "1"


@pytest.mark.parametrize("name", ["SYSTEMD_PAGER", "PAGER"])
@pytest.mark.parametrize("value", ["", "cat", " "])
def test_no_pager_is_wanted(name: str, value: str) -> None:
    assert chosen({name: value, "SUDO_UID": "1000"}) is None


def test_the_options_of_less() -> None:
    found = chosen({"SYSTEMD_LESS": "FR", "SYSTEMD_LESSCHARSET": "ascii", "LESS": "X"})
    assert found is not None
    assert (found.environ["LESS"], found.environ["LESSCHARSET"]) == ("FR", "ascii")


def by_way_of(*command: str) -> Pager:
    return Pager((("/no/such/pager",), command), {"PATH": "/usr/bin:/bin"})


def test_a_pager_gets_the_lines_and_the_terminal_none(tmp_path: Path) -> None:
    console = Console(io.StringIO())
    output = Output(console, by_way_of("sh", "-c", f"cat >{tmp_path}/seen"))
    output.print(["eins", "zwei ä"])
    assert (tmp_path / "seen").read_text() == "eins\nzwei ä\n"
    assert console.out.getvalue() == ""  # type: ignore[attr-defined]


def test_a_host_without_a_pager() -> None:
    console = Console(io.StringIO())
    Output(console, Pager((), {})).print(["eins"])
    assert console.out.getvalue() == "eins\n"  # type: ignore[attr-defined]


def test_without_a_line_no_pager_starts(tmp_path: Path) -> None:
    Output(Console(io.StringIO()), by_way_of("touch", f"{tmp_path}/started")).print([])
    assert not (tmp_path / "started").exists()


def test_a_pager_that_was_quit_ends_the_printing() -> None:
    Output(Console(io.StringIO()), by_way_of("head", "-n", "1")).print(map(str, itertools.count()))


def test_a_pager_that_was_quit_ends_a_reading_that_prints_nothing_more() -> None:
    output = Output(Console(io.StringIO()), by_way_of("true"))

    def lines() -> Iterator[str]:
        yield "the only match"
        for realtime in itertools.count():
            output.read(realtime)

    output.print(lines())


def test_the_first_line_is_there_while_the_second_is_sought() -> None:
    class Buffered(io.StringIO):
        flushed = ""

        def flush(self) -> None:
            self.flushed = self.getvalue()

    out = Buffered()
    seen = []

    def lines() -> Iterator[str]:
        yield "first"
        seen.append(out.flushed)

    Output(Console(out)).print(lines())
    assert seen == ["first\n"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("arguments", "variables", "paged", "cut"),
    [
        ((), {}, True, False),
        (("--no-pager",), {}, False, True),
        (("--no-pager", "-l"), {}, False, False),
        (("--no-pager", "--tree"), {}, False, True),
        (("--no-pager", "--tree", "--full"), {}, False, False),
        (("-f",), {}, False, True),
        ((), {"TERM": "dumb"}, False, True),
        ((), {"SYSTEMD_PAGER": ""}, False, True),
    ],
)
def test_what_is_paged_is_not_cut(
    arguments: tuple[str, ...],
    variables: dict[str, str],
    paged: bool,
    cut: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = tmp_path / "seen"
    script = tmp_path / "pager"
    script.write_text(f"#!/bin/sh\nexec cat >{seen}\n")
    script.chmod(0o755)
    for name, value in ({"TERM": "xterm", "SYSTEMD_PAGER": str(script)} | variables).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("SUDO_UID", raising=False)
    rig = Rig(journal=FakeJournal([exec_entry(7, b"ls", b"x" * 200)]))
    rig.stream = Terminal
    assert rig.run("log", *arguments, width=80) == 0
    text = seen.read_text() if paged else rig.out
    assert ("x" * 200 in text) is not cut
    assert bool(rig.out) is not paged


def test_progress_is_shown_after_two_seconds_and_erased_for_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: clock)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    out = io.StringIO()
    output = Output(Console(out))

    def read(seconds: float) -> str:
        nonlocal clock
        clock += seconds
        before = len(terminal.getvalue())
        for _ in range(64_000):
            output.read(EPOCH)
        return terminal.getvalue()[before:]

    def lines() -> Iterator[str]:
        assert read(1.9) == ""
        assert read(0.2) == "\r64,064 entries read, at 22:13:20"
        yield "match"
        assert terminal.getvalue().endswith("\r" + " " * 32 + "\r")
        assert read(1.9) == ""
        assert "entries read" in read(0.3)

    output.print(lines())
    assert out.getvalue() == "match\n"


def test_no_progress_where_nobody_sees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, term in ((io.StringIO(), "xterm"), (Terminal(), "dumb")):
        monkeypatch.setenv("TERM", term)
        progress = Progress(stream)
        monkeypatch.setattr(time, "monotonic", lambda: 1e9)
        progress.show(1, EPOCH)
        progress.erase()
        assert stream.getvalue() == ""

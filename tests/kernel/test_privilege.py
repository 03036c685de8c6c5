# SPDX-License-Identifier: GPL-2.0-or-later
"""Privilege is never ignored: neither a process that has another user's, nor an exec that gains some."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from execwatchd.kernel.layout import NO_ID
from execwatchd.shared.rules import Action
from execwatchd.stream.decode import Record
from tests.fakes.rules import rule
from tests.kernel.test_counters import UID, by, emptied, run
from tests.kernel.watch import DEFAULT, Runner, Watch

COUNT = 20
# both kinds of a file's capabilities: those that it always has, and those that the caller may inherit
GAINS = ("u+s", "g+s", "cap_net_raw=p", "cap_net_raw=ep")
NO_GAINS = ("a-s", "own u+s", "cap_net_raw=i")


def run_as(runner: Runner, file: Path, uid: int, euid: int) -> None:
    helper = runner.start("many", file, str(uid), str(COUNT), str(euid)).ready()
    helper.go()
    assert helper.end() == 0


@pytest.fixture
def privileged(public: Path, target: Path) -> Iterator[Callable[[str], Path]]:
    """Makes a copy of the target that gives privilege to whoever executes it, or none."""
    files: list[Path] = []

    def made(privilege: str) -> Path:
        file = Path(shutil.copy(target, public / f"privileged-{len(files)}"))
        files.append(file)
        owner = UID if privilege.startswith("own ") else UID + 7
        os.chown(file, owner, UID + 7)
        command = "setcap" if privilege.startswith("cap_") else "chmod"
        subprocess.run([command, privilege.removeprefix("own "), file], check=True)
        return file

    yield made
    for file in files:
        file.unlink()


def of(watch: Watch, file: Path) -> list[Record]:
    return watch.by(lambda record: record.filename == os.fsencode(file) + b"\0")


def ignoring(watch: Watch, *uids: int) -> None:
    for uid in uids:
        watch.generation.rules.set(uid, rule("ignored", Action.IGNORE))


def test_an_ignored_user_with_the_effective_uid_of_another(runner: Runner, target: Path) -> None:
    """As a shell that an ignored service started with root's effective UID."""
    with emptied() as watch:
        ignoring(watch, UID, UID + 1)
        ignored = watch.generation.counters().ignored
        run_as(runner, target, UID, 0)
        records = by(watch, UID)
        assert [(record.euid, record.message.rstrip(b"\0")) for record in records] == [
            (0, b"ignored")
        ] * COUNT
        assert watch.generation.counters().ignored == ignored
        run_as(runner, target, UID, UID + 1)
        assert len(by(watch, UID)) == COUNT
        assert watch.generation.counters().ignored == ignored + COUNT
        run_as(runner, target, UID, UID + 2)
        assert len(by(watch, UID)) == 2 * COUNT
        assert watch.generation.counters().ignored == ignored + COUNT


@pytest.mark.parametrize("privilege", GAINS)
def test_an_exec_that_gains_privilege_is_recorded(
    privilege: str, runner: Runner, privileged: Callable[[str], Path]
) -> None:
    """Also where everybody is ignored: the new effective UID too."""
    file = privileged(privilege)
    with emptied() as watch:
        watch.generation.rules.set_default(rule("", Action.IGNORE))
        run(runner, file, UID, COUNT)
        assert len(of(watch, file)) == COUNT


@pytest.mark.parametrize("privilege", NO_GAINS)
def test_an_exec_that_gains_none_is_ignored(
    privilege: str, runner: Runner, privileged: Callable[[str], Path]
) -> None:
    file = privileged(privilege)
    with emptied() as watch:
        ignoring(watch, UID)
        ignored = watch.generation.counters().ignored
        run(runner, file, UID, COUNT)
        assert of(watch, file) == []
        assert watch.generation.counters().ignored == ignored + COUNT


def test_a_gain_that_only_the_second_program_sees(runner: Runner, privileged: Callable[[str], Path]) -> None:
    file = privileged("u+s")
    with emptied() as watch:
        watch.generation.rules.set_default(rule("", Action.IGNORE))
        os.close(watch.generation.fds.pop("link.sched_process_exec"))
        run(runner, file, UID, COUNT)
        assert len(of(watch, file)) == COUNT


def test_an_exec_whose_gain_nobody_can_tell_is_recorded(runner: Runner, target: Path) -> None:
    """As where the kernel skips on_task_rename, which here isn't attached."""
    with emptied() as watch:
        ignoring(watch, UID)
        os.close(watch.generation.fds.pop("link.task_rename"))
        run(runner, target, UID, COUNT)
        assert [record.comm for record in by(watch, UID)] == [bytes(16)] * COUNT


def test_a_gain_without_a_terminal_or_a_session(target: Path, privileged: Callable[[str], Path]) -> None:
    file = privileged("u+s")
    with emptied(replace(DEFAULT, interactive=True)) as watch:
        for program in (file, target):
            inner = f'echo {NO_ID} >/proc/self/loginuid; exec setpriv --reuid {UID} --clear-groups "$0"'
            subprocess.run(["setsid", "sh", "-c", inner, program], stdin=subprocess.DEVNULL, check=True)
        assert len(of(watch, file)) == 1
        assert of(watch, target) == []


def test_a_failed_exec_gains_nothing(runner: Runner, tracepoint_ids: Path) -> None:
    with emptied(replace(DEFAULT, failures=True)) as watch:
        ignoring(watch, UID)
        for euid, recorded in ((UID, 0), (0, 1)):
            helper = runner.start("many", "/nonexistent", str(UID), "1", str(euid)).ready()
            helper.go()
            assert helper.end() == 2
            assert len(watch.by(lambda record: record.uid == UID)) == recorded

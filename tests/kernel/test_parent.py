# SPDX-License-Identifier: GPL-2.0-or-later
"""PARENT_ID is the exec that the parent's program comes from, or is left out; it is never another one."""

import os
import subprocess
from pathlib import Path

from execwatchd.kernel.layout import EXEC_ID, NO_EXEC
from execwatchd.stream.decode import Record
from tests.kernel import facts
from tests.kernel.watch import Helper, Runner, Watch

FAMILIES = 8
EXECS = int(os.environ.get("EXECWATCHD_FAMILY", "4000"))


def execs_of(watch: Watch, helper: Helper) -> list[Record]:
    return watch.of(helper.pid)


def test_the_id_of_the_parent_is_that_of_its_own_record(watch: Watch, runner: Runner, target: Path) -> None:
    helper = runner.start("vfork", target, "x").ready()
    helper.go()
    record = watch.first(lambda record: record.ppid == helper.pid)
    (parent,) = execs_of(watch, helper)
    assert (record.parent_pid, record.parent_id) == (helper.pid, parent.exec_id)
    assert record.parent_exe == parent.exe == facts.components(facts.exe(helper.pid))
    assert helper.end() == 0


def test_the_next_exec_in_a_process_has_the_next_number(watch: Watch, runner: Runner, target: Path) -> None:
    helper = runner.start("execve", target, "x").ready()
    helper.go()
    assert helper.end() == 0
    first, second = (EXEC_ID.unpack(record.exec_id) for record in execs_of(watch, helper))
    assert second == (first[0], first[1] + 1)


def test_a_thread_that_executes_something_is_its_process(watch: Watch, runner: Runner, target: Path) -> None:
    helper = runner.start("thread", target, "x").ready()
    helper.go()
    assert helper.end() == 0
    first, second = (EXEC_ID.unpack(record.exec_id) for record in execs_of(watch, helper))
    assert second == (first[0], first[1] + 1)


def shell(script: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(["bash", "-c", script], stdin=subprocess.DEVNULL)


def executed_by(watch: Watch, argument: bytes) -> Record:
    return watch.first(lambda record: record.argv == b"/bin/true\0%b\0" % argument)


def test_a_subshell_is_its_shell(watch: Watch) -> None:
    with shell("(:; (:; (:; /bin/true nested; :); :); :); :") as process:
        process.wait()
    record = executed_by(watch, b"nested")
    assert record.parent_pid == process.pid != record.ppid
    (parent,) = watch.of(process.pid)
    assert record.parent_id == parent.exec_id
    assert record.parent_exe == parent.exe


def test_too_many_forks(watch: Watch) -> None:
    with shell("(:; " * 9 + "/bin/true too-deep; :" + "; :)" * 9) as process:
        process.wait()
    record = executed_by(watch, b"too-deep")
    assert (record.parent_pid, record.parent_id) == (0, NO_EXEC)
    assert record.parent_exe == watch.of(process.pid)[0].exe


def test_a_subshell_whose_shell_has_ended(watch: Watch) -> None:
    """Who has it since isn't where its program comes from; the program itself is still to be seen."""
    with shell("(sleep 0.2; /bin/true left; :) & exit") as process:
        process.wait()
    record = executed_by(watch, b"left")
    assert record.ppid != process.pid
    assert (record.parent_pid, record.parent_id) == (0, NO_EXEC)
    assert record.parent_exe == watch.of(process.pid)[0].exe


def test_a_subshell_whose_shell_became_another_program(watch: Watch) -> None:
    with shell("(sleep 0.2; /bin/true behind; :) & exec sleep 1") as process:
        process.wait()
    record = executed_by(watch, b"behind")
    assert (record.parent_pid, record.parent_id) == (0, NO_EXEC)


def test_random_families(watch: Watch, ways: Path) -> None:
    each = EXECS // FAMILIES // 2
    start = len(watch.records)
    members = [
        subprocess.Popen([ways, "family", ways, f"root{i}", "none", str(i + 1), str(each), "0"])
        for i in range(FAMILIES)
    ]
    while any(member.poll() is None for member in members):
        watch.read()
    own = [record for record in watch.by(is_member) if record.timestamp]
    assert start < len(watch.records)
    names = {name_of(record): record for record in own}
    pids = {record.pid for record in own}
    right = absent = left = 0
    for record in own:
        parent = names.get(record.argv.split(b"\0")[4])
        if parent is None:
            continue
        if not record.parent_pid:
            absent += 1
        elif record.parent_pid not in pids:  # who has it since its parent ended, as PPID says
            assert record.parent_pid == record.ppid
            left += 1
        else:
            assert (record.parent_pid, record.parent_id) == (parent.pid, parent.exec_id)
            assert record.parent_exe == parent.exe
            right += 1
    print(f"{len(own)} execs: {right} parents right, {absent} absent, {left} left to others")
    assert right > len(own) // 2


def is_member(record: Record) -> bool:
    return record.argv.startswith(b"ways\0family\0") or b"/ways\0family\0" in record.argv


def name_of(record: Record) -> bytes:
    return record.argv.split(b"\0")[3]

# SPDX-License-Identifier: GPL-2.0-or-later
"""Every recorded process has one end, with what wait(2) says of it; one that isn't recorded has none."""

import mmap
import os
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from execwatchd.kernel import attach, layout
from execwatchd.kernel.libbpf import Map
from execwatchd.shared.rules import Action
from execwatchd.stream.decode import Decoder, Record
from execwatchd.stream.journal_fields import string
from tests.fakes.rules import rule
from tests.kernel.conftest import built
from tests.kernel.test_counters import UID, emptied, run, skipped
from tests.kernel.watch import DEFAULT, Runner, Watch, linux, watching

EXITS = replace(DEFAULT, exits=True)


@pytest.fixture(scope="module")
def ends(public: Path) -> Path:
    return built("ends.c", public / "ends")


@pytest.fixture(scope="module")
def watch() -> Iterator[Watch]:
    with watching(EXITS) as attached:
        yield attached


class End:
    """A record of an end, its parts unpacked."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.began, self.peak, self.status, _ = layout.END.unpack(record.end)


def start(ends: Path, *arguments: str, cwd: Path | None = None) -> subprocess.Popen[bytes]:
    def unlimited() -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    return subprocess.Popen([ends, *arguments], cwd=cwd, preexec_fn=unlimited)  # noqa: PLW1509


def waited(process: subprocess.Popen[bytes]) -> int:
    """Its status as wait(2) has it."""
    pid, status = os.waitpid(process.pid, 0)
    assert pid == process.pid
    process.returncode = status
    return status


def execs_and_end(watch: Watch, pid: int) -> tuple[list[Record], End]:
    """Waits for the end, of which there must be one."""
    watch.first(lambda one: one.pid == pid and bool(one.end))
    found = watch.of(pid)
    (end,) = [one for one in found if one.end]
    assert found[-1] is end
    return found[:-1], End(end)


def check(watch: Watch, process: subprocess.Popen[bytes]) -> End:
    """That a process which executed once ended as its parent was told; its end."""
    status = waited(process)
    (begin,), end = execs_and_end(watch, process.pid)
    assert end.status == status
    assert end.record.exec_id == begin.exec_id != b""
    assert end.began == begin.timestamp < end.record.timestamp
    assert begin.end == b""
    same = ("pid", "ppid", "uid", "gid", "loginuid", "session", "pidns", "mntns", "nspid", "cgroup", "tty")
    assert [getattr(end.record, name) for name in same] == [getattr(begin, name) for name in same]
    assert string(end.record.comm) == string(begin.new_comm)
    assert end.record.argv == end.record.filename == end.record.cwd == b""
    return end


@pytest.mark.parametrize("code", [0, 1, 255])
def test_exit_codes(code: int, watch: Watch, ends: Path) -> None:
    assert check(watch, start(ends, "code", str(code))).status == code << 8


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGRTMIN + 3])
def test_signals(number: int, watch: Watch, ends: Path) -> None:
    assert check(watch, start(ends, "signal", str(int(number)))).status == number


def test_a_core_dump(watch: Watch, ends: Path, tmp_path: Path) -> None:
    end = check(watch, start(ends, "signal", str(int(signal.SIGSEGV)), cwd=tmp_path))
    assert os.WTERMSIG(end.status) == signal.SIGSEGV
    assert os.WCOREDUMP(end.status)


def test_killed_by_another(watch: Watch) -> None:
    process = subprocess.Popen(["sleep", "60"])
    watch.first(lambda one: one.pid == process.pid and one.new_comm.startswith(b"sleep"))
    process.kill()
    assert check(watch, process).status == signal.SIGKILL


@pytest.mark.parametrize(
    ("way", "number", "code"),
    [
        ("leader-first", 5, 5),
        ("other-thread", 6, 6),
        ("fork", 9, 0),
    ],
)
def test_threads(way: str, number: int, code: int, watch: Watch, ends: Path) -> None:
    assert check(watch, start(ends, way, str(number))).status == code << 8


def test_threads_that_end_one_by_one(watch: Watch, ends: Path) -> None:
    """Which of their codes is the process's differs between kernels; the parent's word is compared."""
    check(watch, start(ends, "each-alone", "40"))


def test_a_crowd_of_threads_ends_once(watch: Watch, ends: Path) -> None:
    for _ in range(30):
        assert check(watch, start(ends, "crowd", "16")).status == 0


@pytest.mark.parametrize("way", ["chain", "exec-thread"])
def test_an_exec_after_an_exec(way: str, watch: Watch, ends: Path) -> None:
    """The end is that of the last exec: the process, not the program, ends."""
    process = start(ends, way, "7", str(ends))
    assert waited(process) == 7 << 8
    (first, last), end = execs_and_end(watch, process.pid)
    assert end.status == 7 << 8
    assert end.record.exec_id == last.exec_id
    assert end.began == last.timestamp
    (start1, n1), (start2, n2) = (layout.EXEC_ID.unpack(one.exec_id) for one in (first, last))
    assert (start1, n1 + 1) == (start2, n2)


def test_the_peak_is_the_programs_own(watch: Watch, ends: Path) -> None:
    """Not that of the one which started it, which is what getrusage(2) says."""
    memory = mmap.mmap(-1, 200 << 20)
    memory.write(b"\1" * len(memory))
    large, small = (check(watch, start(ends, "touch", size)).peak * mmap.PAGESIZE for size in ("64", "0"))
    memory.close()
    assert 64 << 20 <= large < 128 << 20
    assert small < 32 << 20
    # before that, what did not exceed the one which started it is not known
    assert small > 0 or linux() < (6, 16)


def test_no_exec_no_end(watch: Watch) -> None:
    child = os.fork()
    if not child:
        os._exit(3)
    os.waitpid(child, 0)
    check(watch, subprocess.Popen(["true"]))
    assert watch.of(child) == []


def pairs(watch: Watch, uid: int) -> tuple[Counter[bytes], Counter[bytes]]:
    """How often each id is in an exec, and in an end, of this user."""
    found = watch.by(lambda one: one.uid == uid and not one.result)
    return (
        Counter(one.exec_id for one in found if not one.end),
        Counter(one.exec_id for one in found if one.end),
    )


@contextmanager
def only(*uids: int, ring_size: int = DEFAULT.ring_size) -> Iterator[Watch]:
    """Records these users alone, and the sum of all counts is checked in the end."""
    with emptied(replace(EXITS, ring_size=ring_size)) as watch:
        for uid in uids:
            watch.generation.rules.set(uid, rule("", Action.RECORD))
        watch.generation.rules.set_default(rule("", Action.IGNORE))
        yield watch


def test_thousands_pair_exactly_once(runner: Runner, target: Path) -> None:
    uids = [UID + i for i in range(5)]
    with only(*uids) as watch:
        helpers = [runner.start("many", target, str(uid), "1000").ready() for uid in uids]
        for helper in helpers:
            helper.go()
            assert helper.process.stdin
            helper.process.stdin.close()  # or each of them waits
        while any(helper.process.poll() is None for helper in helpers):
            watch.read()
            time.sleep(0.01)
        lost, found = skipped(watch), [pairs(watch, uid) for uid in uids]
        assert sum(len(execs) for execs, _ in found) == 5000 - lost
        assert sum(execs.total() for execs, _ in found) == 5000 - lost
        if not lost:
            assert all(execs == ended for execs, ended in found)
            assert waiting(watch) == set()


def waiting(watch: Watch) -> set[bytes]:
    """The processes whose end is awaited."""
    return set(Map(watch.generation.fds["map.running"]).keys())


def test_an_ignored_user_has_no_ends(runner: Runner, target: Path) -> None:
    with only(UID) as watch:
        run(runner, target, UID + 1, 20)
        run(runner, target, UID, 10)
        assert pairs(watch, UID + 1) == (Counter(), Counter())
        execs, ended = pairs(watch, UID)
        assert execs == ended
        assert execs.total() == 10
        counted = watch.generation.counters()
        assert counted.seen - counted.ignored == 20
        assert waiting(watch) == set()


def test_an_exec_that_is_not_recorded_leaves_the_end_of_the_one_before(ends: Path) -> None:
    with only(0) as watch:
        process = subprocess.Popen([ends, "signal", str(int(signal.SIGSTOP))])
        os.waitpid(process.pid, os.WUNTRACED)
        watch.generation.rules.set(0, rule("", Action.IGNORE))
        process.kill()
        assert waited(process) == signal.SIGKILL
        (begin,), end = execs_and_end(watch, process.pid)
        assert end.record.exec_id == begin.exec_id


def test_a_lost_exec_has_no_end_and_a_lost_end_is_counted(runner: Runner, target: Path) -> None:
    with only(UID, ring_size=16 << 10) as watch:
        run(runner, target, UID, 200)
        execs, ended = pairs(watch, UID)
        assert execs.keys() >= ended.keys()
        assert len(execs) == execs.total() < 200
        counted = watch.generation.counters()
        # each exec, and the end of each that was recorded
        assert counted.seen - counted.ignored == 200 + len(execs)
        assert counted.lost == 200 + len(execs) - execs.total() - ended.total()
        assert watch.generation.unended() == 0
        assert waiting(watch) == set()


def test_more_processes_than_can_be_awaited(runner: Runner, target: Path) -> None:
    with only(UID) as watch:
        running = Map(watch.generation.fds["map.running"])
        filler = layout.RUNNING.pack(1, 1, 1, 1, 1, 0)
        for i in range(layout.MAX_RUNNING):
            running.set((1 << 30 | i).to_bytes(4, "little"), filler)
        run(runner, target, UID, 10)
        execs, ended = pairs(watch, UID)
        assert (len(execs), ended) == (10, Counter())
        assert watch.generation.unended() == watch.generation.counters().lost == 10
        running.delete((1 << 30).to_bytes(4, "little"))
        run(runner, target, UID, 3)
        assert pairs(watch, UID)[1].total() == 3
        assert watch.generation.unended() == 10


@pytest.mark.parametrize("how", ["exec", "end"])
def test_an_end_that_was_not_noticed_is_counted_when_its_pid_comes_again(how: str, ends: Path) -> None:
    with only(0) as watch:
        running = Map(watch.generation.fds["map.running"])
        former = layout.RUNNING.pack(1, 1, 1, 1, 0, 0)
        process = subprocess.Popen(["sh", "-c", f"kill -STOP $$; exec {ends} code 0"])
        os.waitpid(process.pid, os.WUNTRACED)
        running.set(process.pid.to_bytes(4, "little"), former)
        if how == "end":
            watch.generation.rules.set(0, rule("", Action.IGNORE))
        process.send_signal(signal.SIGCONT)
        waited(process)
        assert watch.generation.unended() == watch.generation.counters().lost == 1
        found = [End(one) for one in watch.of(process.pid) if one.end]
        assert [end.status for end in found] == ([0] if how == "exec" else [])


def test_without_the_option_nothing_of_it_is_there() -> None:
    with watching() as watch:
        assert watch.generation.attached == ["task_rename", "sched_process_exec"]
        assert not any("running" in name or "process_exit" in name for name in watch.generation.fds)
        subprocess.run(["true"], check=True)
        watch.read()
        assert not any(record.end for record in map(Decoder(), watch.records))


def test_ends_that_the_first_program_did_not_see(runner: Runner, target: Path) -> None:
    with only(UID) as watch:
        os.close(watch.generation.fds.pop("link.sched_process_exit"))
        time.sleep(0.1)  # until the kernel has let go of it
        run(runner, target, UID, 30)
        execs, ended = pairs(watch, UID)
        assert execs == ended
        assert execs.total() == 30
        assert watch.generation.counters().lost == 0


def test_whoever_ends_while_it_is_being_attached(
    monkeypatch: pytest.MonkeyPatch, tracepoint_ids: Path
) -> None:
    """Between any two hooks: whatever is recorded as running already has its end recorded, too."""
    as_ever = attach._attach

    def slowly(name: str, fds: dict[str, int]) -> int:
        link = as_ever(name, fds)
        subprocess.run(["true"], check=True)
        return link

    monkeypatch.setattr(attach, "_attach", slowly)
    with watching(replace(EXITS, failures=True)) as watch:
        before = waiting(watch)
        gone = {pid for pid in before if not Path(f"/proc/{int.from_bytes(pid, sys.byteorder)}").exists()}
        assert gone & waiting(watch) == set()  # others of the host end all the time
        ended = watch.by(lambda one: bool(one.end) and one.comm.startswith(b"true\0"))
        assert len(ended) >= 4

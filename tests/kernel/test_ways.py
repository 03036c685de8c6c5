# SPDX-License-Identifier: GPL-2.0-or-later
"""Every way to exec gives exactly one record, and all of it is what /proc said of the process."""

import os
import pty
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from execwatchd.kernel.layout import NO_ID, Flag
from execwatchd.shared.rules import Action
from execwatchd.stream.decode import Record
from tests.fakes.rules import rule
from tests.kernel import facts
from tests.kernel.watch import (
    CGROUPS,
    HAS,
    Helper,
    Runner,
    Watch,
    after,
    as_dict,
    before,
    comm_of,
    status,
)

ARGV_BYTES = 4096


class Case:
    """One exec that a test makes and compares with its record."""

    def __init__(self, watch: Watch, helper: Helper, file: Path) -> None:
        self._watch = watch
        self.helper = helper.ready()
        self.pid = helper.pid
        self._status = status(self.pid)
        self.expected: dict[str, object] = {**before(self.pid), "filename": os.fsencode(file) + b"\0"}
        self._file = file

    def go(self) -> Record:
        """Lets it happen; the record. What was executed is still there."""
        begin = time.monotonic_ns()
        self.helper.go()
        # `ways` itself was executed by this process, and is its first record
        record = self._watch.first(
            lambda one: one.pid == self.pid and one.timestamp >= begin and not one.result
        )
        assert record.timestamp <= time.monotonic_ns()
        self.expected.update(after(self.pid))
        self.expected["flags"] = int(
            HAS | facts.flags(self.pid) | facts.gained(self._status, status(self.pid))
        )
        return record

    def check(self, **differs: object) -> None:
        """The whole record, and that there is no other."""
        record = self.go()
        assert as_dict(record) == {**self.expected, **differs}
        assert self.helper.end() == 0
        own = [one for one in self._watch.of(self.pid) if not is_start(one, self.helper)]
        assert own == [record]


def is_start(record: Record, helper: Helper) -> bool:
    """The exec of `ways` by the test."""
    return record.pid == helper.pid and record.filename.endswith(b"/ways\0")


@pytest.mark.parametrize("way", ["execve", "execveat"])
@pytest.mark.parametrize(
    "arguments", [("target",), ("a b", "", "it's", "x\ny\x1b[31m"), ("",), ("", ""), (b"\xff\xfe", b"=\n=")]
)
def test_execve(
    way: str, arguments: tuple[str | bytes, ...], watch: Watch, runner: Runner, target: Path
) -> None:
    joined = b"".join(os.fsencode(argument) + b"\0" for argument in arguments)
    case = Case(watch, runner.start(way, target, *arguments), target)
    case.check(argv=joined, argc=len(arguments), argv_total=len(joined), new_comm=b"target", comm=b"ways")


def test_execveat_of_a_directory(watch: Watch, runner: Runner, target: Path) -> None:
    name = f"{target.parent}//{target.name}"
    case = Case(watch, runner.start("execveat-directory", name, "x", "y"), target)
    case.check(filename=b"/dev/fd/77/target\0", argv=b"x\0y\0", argc=2)


@pytest.mark.parametrize("way", ["execveat-empty-path", "fexecve", "memfd"])
def test_exec_of_a_descriptor(way: str, watch: Watch, runner: Runner, target: Path) -> None:
    case = Case(watch, runner.start(way, target, "x", "y"), target)
    case.check(filename=b"/dev/fd/77\0", argv=b"x\0y\0")


if os.uname().machine == "x86_64":  # no other has this call

    def test_the_call_of_a_32_bit_process(watch: Watch, runner: Runner, target: Path) -> None:
        Case(watch, runner.start("int80", target, "x", "y z"), target).check(argv=b"x\0y z\0")


@pytest.mark.parametrize("way", ["posix_spawn", "vfork"])
def test_a_child_that_shares_its_parents_memory(way: str, watch: Watch, runner: Runner, target: Path) -> None:
    helper = runner.start(way, target, "x", "y").ready()
    expected = before(helper.pid)
    helper.go()
    record = watch.first(lambda one: one.ppid == helper.pid)
    child = helper.child()
    expected |= {"pid": child, "ppid": helper.pid, "comm": b"ways", "parent_comm": b"ways"}
    expected |= {"filename": bytes(target) + b"\0", **after(child), **facts.parent(helper.pid)}
    assert as_dict(record) == expected
    assert helper.end() == 0
    assert watch.of(child) == [record]


def test_a_script(watch: Watch, runner: Runner, target: Path, public: Path) -> None:
    script = public / "script"
    script.write_text(f"#!{target} an option\n")
    script.chmod(0o755)
    case = Case(watch, runner.start("execve", script, "name", "x"), script)
    argv = b"%b\0an option\0%b\0x\0" % (bytes(target), bytes(script))
    case.check(interp=bytes(target) + b"\0", argv=argv, argc=4, new_comm=b"script")


def test_a_script_of_a_script(watch: Watch, runner: Runner, target: Path, public: Path) -> None:
    inner, outer = public / "inner", public / "outer"
    inner.write_text(f"#!{target}\n")
    outer.write_text(f"#! {inner}\n")
    for script in (inner, outer):
        script.chmod(0o755)
    case = Case(watch, runner.start("execve", outer, "name"), outer)
    case.check(interp=bytes(target) + b"\0", argv=b"%b\0%b\0%b\0" % tuple(map(bytes, (target, inner, outer))))


def test_a_thread_that_is_not_the_leader(watch: Watch, runner: Runner, target: Path) -> None:
    case = Case(watch, runner.start("thread", target, "x"), target)
    assert len(list(Path(f"/proc/{case.pid}/task").iterdir())) == 5
    assert case.helper.thread(b"a worker") != case.pid
    case.check(comm=b"a worker", argv=b"x\0")


def test_no_arguments(watch: Watch, runner: Runner, target: Path) -> None:
    """Since Linux 5.18 such a program gets one, the empty one."""
    Case(watch, runner.start("no-arguments", target), target).check()


def test_3000_arguments(watch: Watch, runner: Runner, target: Path) -> None:
    arguments = [str(i) for i in range(3000)]
    joined = b"".join(b"%d\0" % i for i in range(3000))
    case = Case(watch, runner.start("execve", target, *arguments), target)
    case.check(
        argc=3000,
        argv=joined[:ARGV_BYTES],
        argv_total=len(joined),
        flags=int(HAS | Flag.TRUNCATED_ARGV),
    )


def test_an_argument_of_128_kilobytes(watch: Watch, runner: Runner, target: Path) -> None:
    case = Case(watch, runner.start("argument-of-128k", target, "name", "replaced"), target)
    argv = (b"name\0" + b"x" * ARGV_BYTES)[:ARGV_BYTES]
    total = 5 + 128 * 1024
    case.check(argc=2, argv=argv, argv_total=total, flags=int(HAS | Flag.TRUNCATED_ARGV))


@pytest.mark.parametrize("spare", [-1, 0, 1])
def test_as_many_bytes_as_are_kept(spare: int, watch: Watch, runner: Runner, target: Path) -> None:
    argument = "x" * (ARGV_BYTES - 1 - spare)
    case = Case(watch, runner.start("execve", target, argument), target)
    cut = Flag.TRUNCATED_ARGV if spare < 0 else Flag(0)
    joined = argument.encode() + b"\0"
    case.check(flags=int(HAS | cut), argv=joined[:ARGV_BYTES], argv_total=len(joined))


def test_another_pid_namespace(watch: Watch, runner: Runner, target: Path) -> None:
    helper = runner.start("pid-namespace", target, "x").ready()
    child = helper.child()
    expected = before(child)
    assert (expected["nspid"], expected["ppid"], expected["parent_comm"]) == (1, helper.pid, b"ways")
    assert expected["pidns"] != os.stat("/proc/self/ns/pid").st_ino
    helper.go()
    record = watch.first(lambda one: one.pid == child)
    assert as_dict(record) == {**expected, **after(child), "filename": bytes(target) + b"\0"}
    assert helper.end() == 0
    assert watch.of(child) == [record]


def test_a_user_namespace(watch: Watch, runner: Runner, target: Path) -> None:
    case = Case(watch, runner.start("user-namespace", target, "x"), target)
    assert os.stat(f"/proc/{case.pid}/ns/user").st_ino != os.stat("/proc/self/ns/user").st_ino
    case.check(uid=54321, euid=54321, gid=65534)


def test_a_mount_namespace(watch: Watch, runner: Runner, target: Path) -> None:
    case = Case(watch, runner.start("mount-namespace", target, "x"), target)
    assert case.expected["mntns"] != os.stat("/proc/self/ns/mnt").st_ino
    case.check()


def test_a_set_uid_program(watch: Watch, runner: Runner, target: Path, public: Path) -> None:
    program = public / "set-uid"
    shutil.copy(target, program)
    program.chmod(0o4755)
    case = Case(watch, runner.start("other-user", program, "x"), program)
    assert case.expected["euid"] == 65534
    case.check(uid=65534, euid=0, gid=65534, new_comm=b"set-uid")


def test_the_users_own_message(watch: Watch, runner: Runner, target: Path) -> None:
    message = "Grüße" + "x" * 56
    watch.generation.rules.set(65534, rule(message, Action.RECORD))
    try:
        Case(watch, runner.start("other-user", target), target).check(message=message.encode())
    finally:
        watch.generation.rules.remove(65534)
    Case(watch, runner.start("other-user", target), target).check(message=b"Hello World")


@pytest.fixture
def core_pattern() -> Iterator[Path]:
    setting = Path("/proc/sys/kernel/core_pattern")
    old = setting.read_text()
    yield setting
    setting.write_text(old)


def test_the_kernel_itself(
    watch: Watch, runner: Runner, target: Path, public: Path, core_pattern: Path
) -> None:
    handler = public / "handler"
    shutil.copy(target, handler)
    helper = runner.start("crash", "-").ready()
    core_pattern.write_text(f"|{handler} stop %P")
    helper.go()
    record = watch.first(
        lambda one: one.filename == bytes(handler) + b"\0" and b"\0%d\0" % helper.pid in one.argv
    )
    core_pattern.write_text("core")
    while status_letter(record.pid) != "T":
        time.sleep(0.01)
    expected = {**before(record.pid), **after(record.pid), "filename": bytes(handler) + b"\0"}
    expected["flags"] = int(HAS | Flag.BY_KERNEL)
    os.kill(record.pid, signal.SIGCONT)
    assert helper.process.wait() == -signal.SIGABRT
    assert record.comm.startswith(b"kworker/")
    assert as_dict(record) == {**expected, "comm": record.comm.rstrip(b"\0"), "uid": 0, "euid": 0}
    assert record.argv == b"%b\0stop\0%d\0" % (bytes(handler), helper.pid)
    assert watch.of(record.pid) == [record]


def status_letter(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


def test_a_path_that_is_deleted_afterwards(watch: Watch, runner: Runner, target: Path, public: Path) -> None:
    program = public / "short-lived"
    shutil.copy(target, program)
    helper = runner.start("execve", program, "x").ready()
    expected = {**before(helper.pid), "filename": bytes(program) + b"\0", "new_comm": b"short-lived"}
    expected |= {"exec_id": facts.start(helper.pid), **facts.of_file(program)}
    helper.go()
    assert helper.end() == 0
    program.unlink()
    (record,) = [one for one in watch.of(helper.pid) if not is_start(one, helper)]
    assert as_dict(record) == {**expected, "argv": b"x\0", "argv_total": 2, "argc": 1}


def test_a_name_of_any_bytes(watch: Watch, runner: Runner, target: Path, public: Path) -> None:
    name = bytes(set(range(1, 256)) - {ord("/")})
    program = Path(os.fsdecode(bytes(public) + b"/" + name))
    shutil.copy(target, program)
    case = Case(watch, runner.start("execve", program, name), program)
    case.check(filename=bytes(program) + b"\0", new_comm=name[:15], argv=name + b"\0")


def test_the_longest_path(watch: Watch, runner: Runner, target: Path, public: Path) -> None:
    """PATH_MAX is 4096, the NUL included."""
    directory = public
    while (room := 4094 - len(bytes(directory))) > 255:
        directory /= "d" * min(250, room - 2)
    directory.mkdir(parents=True)
    program = directory / ("p" * room)
    shutil.copy(target, program)
    case = Case(watch, runner.start("execve", program, "x"), program)
    assert len(bytes(program)) == 4095
    record = case.go()
    exe = case.expected["exe"]
    assert isinstance(exe, bytes)
    assert exe.startswith(record.exe)
    assert len(record.exe) > 4095 - 2 * 256
    flags = int(HAS | Flag.TRUNCATED_EXE)
    assert as_dict(record) == {**case.expected, "new_comm": b"p" * 15, "flags": flags, "exe": record.exe}
    assert case.helper.end() == 0


def test_a_renamed_caller(watch: Watch, runner: Runner, target: Path) -> None:
    Case(watch, runner.start("renamed", target), target).check(comm=b"re\nnamed \xff=\x1b")


def test_a_caller_without_a_name(watch: Watch, runner: Runner, target: Path) -> None:
    Case(watch, runner.start("nameless", target), target).check(comm=b"")


def test_a_terminal(watch: Watch, runner: Runner, target: Path) -> None:
    master, slave = pty.openpty()
    name = os.ttyname(slave)
    case = Case(watch, runner.start("terminal", target, TERMINAL=name), target)
    case.check(tty=b"pts" + name.removeprefix("/dev/pts/").encode())
    os.close(slave)
    os.close(master)


def test_who_logged_in(watch: Watch, runner: Runner, target: Path) -> None:
    """LOGINUID and SESSION stay what they were, whoever the process has become since."""
    case = Case(watch, runner.start("logged-in", target), target)
    assert case.expected["loginuid"] == 54321
    assert case.expected["session"] not in (0, NO_ID)
    case.check(uid=65534)


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A cgroup for the test; what it makes below it goes with it."""
    top = CGROUPS / f"execwatchd-test-{os.getpid()}"
    top.mkdir()
    yield top
    for _, names, _, directory in os.fwalk(top, topdown=False):  # the paths may be too long for os.walk()
        for name in names:
            os.rmdir(name, dir_fd=directory)
    top.rmdir()


@pytest.mark.parametrize("depth", [0, 1, 30])
def test_a_cgroup(depth: int, cgroup: Path, watch: Watch, runner: Runner, target: Path) -> None:
    path = cgroup.joinpath(*(f"group {i}" for i in range(depth)))
    path.mkdir(parents=True, exist_ok=True)
    helper = runner.start("execve", target, "x")
    (path / "cgroup.procs").write_text(str(helper.pid))
    names = [cgroup.name, *(f"group {i}" for i in range(depth))]
    Case(watch, helper, target).check(cgroup="".join(f"{name}\0" for name in reversed(names)).encode())


def test_a_cgroup_that_is_removed_afterwards(
    cgroup: Path, watch: Watch, runner: Runner, target: Path
) -> None:
    path = cgroup / "x.slice" / "y.service"
    path.mkdir(parents=True)
    helper = runner.start("execve", target, "x").ready()
    (path / "cgroup.procs").write_text(str(helper.pid))
    helper.go()
    assert helper.end() == 0
    path.rmdir()
    path.parent.rmdir()
    (record,) = [one for one in watch.of(helper.pid) if not is_start(one, helper)]
    assert record.cgroup == b"y.service\0x.slice\0" + cgroup.name.encode() + b"\0"


@pytest.mark.parametrize(("name", "depth"), [("x", 80), ("y" * 255, 20)])
def test_a_cgroup_that_is_too_deep(
    name: str, depth: int, cgroup: Path, watch: Watch, runner: Runner, target: Path
) -> None:
    group = os.open(cgroup, os.O_DIRECTORY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=group)
        above, group = group, os.open(name, os.O_DIRECTORY, dir_fd=group)
        os.close(above)
    case = Case(watch, runner.start("execve", target, "x"), target)
    with open(os.open("cgroup.procs", os.O_WRONLY, dir_fd=group), "w") as procs:
        procs.write(str(case.pid))
    os.close(group)
    record = case.go()
    whole = f"{name}\0".encode() * depth
    assert whole.startswith(record.cgroup)
    assert len(record.cgroup) > 100
    expected = {**case.expected, "flags": int(HAS | Flag.TRUNCATED_CGROUP), "cgroup": record.cgroup}
    assert as_dict(record) == expected
    assert case.helper.end() == 0


def test_the_parent_is_the_one_that_forked(watch: Watch, runner: Runner, target: Path) -> None:
    case = Case(watch, runner.start("execve", target), target)
    assert case.expected["ppid"] == os.getpid()
    case.check(parent_comm=comm_of(os.getpid()))

# SPDX-License-Identifier: GPL-2.0-or-later
"""The real program in the real kernel, its ring read in this process; and processes that exec for a test."""

import os
import re
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from execwatchd.kernel.c_source import directory
from execwatchd.kernel.generation import Generation
from execwatchd.kernel.layout import NO_ID, Flag
from execwatchd.kernel.ledger import Page
from execwatchd.kernel.libbpf import Pointer
from execwatchd.kernel.loader import FAILURE_TRACEPOINTS
from execwatchd.kernel.options import MIB, Options
from execwatchd.shared.rules import Action
from execwatchd.stream.decode import Decoder, Record
from tests.fakes.rules import rule
from tests.kernel import facts
from tests.kernel.facts import components

DEFAULT = Options(ring_size=8 * MIB)
MESSAGE = b"Hello World"
_PATIENCE = 20  # s, before a test that waits for what never comes is failed
_CGROUPS = Path("/sys/fs/cgroup")
CGROUPS = _CGROUPS if (_CGROUPS / "cgroup.procs").exists() else _CGROUPS / "unified"
HAS = Flag.HAS_COMM | Flag.HAS_CGROUP


def linux() -> tuple[int, ...]:
    """The running kernel's version: what a test expects may be a fact of some."""
    return tuple(int(part) for part in re.findall(r"\d+", os.uname().release)[:2])


class NoStore:
    """Nobody keeps our descriptors."""

    def put(self, name: str, fd: int) -> None: ...

    def remove(self, name: str) -> None: ...

    def has_room(self) -> Callable[[], bool | None]:
        return lambda: True

    def barrier(self) -> Callable[[], bool]:
        return lambda: True


class Watch:
    """An attached program and all that it recorded. The machine has other execs: look for those you made."""

    def __init__(self, options: Options = DEFAULT) -> None:
        self.generation = Generation.load(1, directory(), options, Page(settled=1))
        self.generation.rules.set_default(rule(MESSAGE.decode(), Action.RECORD))
        self.options = options
        self.records: list[bytes] = []
        self._decode = Decoder()
        self._ring = self.generation.open_ring(self._record)
        self.generation.attach(options)

    def _record(self, _context: object, pointer: Pointer, size: int) -> int:
        self.records.append(pointer[:size])
        return 0

    def read(self) -> None:
        """All that is in the ring now."""
        while self._ring.consume() > 0:
            pass

    def by(self, wanted: Callable[[Record], bool]) -> list[Record]:
        """Such records so far."""
        self.read()
        return [one for one in map(self._decode, self.records) if wanted(one)]

    def of(self, *pids: int) -> list[Record]:
        """The records of these processes so far."""
        return self.by(lambda one: one.pid in pids)

    def first(self, wanted: Callable[[Record], bool]) -> Record:
        """The first such record; waits for it."""
        end = time.monotonic() + _PATIENCE
        done = 0
        while time.monotonic() < end:
            self.read()
            for data in self.records[done:]:
                record = self._decode(data)
                if wanted(record):
                    return record
            done = len(self.records)
            select.select([self._ring.epoll_fd], [], [], 0.1)
        raise AssertionError("no such record")

    def detach(self) -> None:
        """Nothing is seen from here on, and what was seen is in the ring."""
        self.generation.detach(NoStore())
        end = time.monotonic() + _PATIENCE
        while not self.generation.is_final():
            assert time.monotonic() < end
            time.sleep(0.05)

    def close(self) -> None:
        self._ring.close()
        self.generation.discard(NoStore())


@contextmanager
def watching(options: Options = DEFAULT) -> Iterator[Watch]:
    """Nothing of it is left in the kernel in the end."""
    watch = Watch(options)
    try:
        kept = objects(watch.generation.fds.values())
        yield watch
    finally:
        watch.close()
    end = time.monotonic() + _PATIENCE
    while left := [one for one in kept if exists(*one)]:
        assert time.monotonic() < end, left
        time.sleep(0.05)


def hand_over(directory: Path) -> None:
    """The ids of the system calls' tracepoints; this host may not have mounted the tracing file system."""
    mounted = directory / "tracefs"
    mounted.mkdir()
    subprocess.run(["mount", "-t", "tracefs", "tracefs", mounted], check=True)
    try:
        for name in FAILURE_TRACEPOINTS:
            shutil.copyfile(mounted / "events/syscalls" / name / "id", directory / name)
    finally:
        subprocess.run(["umount", mounted], check=True)


def objects(fds: Iterable[int]) -> set[tuple[str, int]]:
    """Kind (prog, map, link) and id of the kernel's objects behind these descriptors."""
    found = set()
    for fd in fds:
        info = dict(re.findall(r"^(\w+):\t(\d+)$", Path(f"/proc/self/fdinfo/{fd}").read_text(), re.MULTILINE))
        kind = next(kind for kind in ("link", "map", "prog") if f"{kind}_id" in info)
        found.add((kind, int(info[f"{kind}_id"])))
    return found


def exists(kind: str, number: int) -> bool:
    shown = subprocess.run(
        ["bpftool", "-j", kind, "show", "id", str(number)], capture_output=True, check=False
    )
    return shown.returncode == 0


def status(pid: int) -> dict[str, list[str]]:
    """/proc/PID/status"""
    lines = Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
    return {name: rest.split() for name, _, rest in (line.partition(":") for line in lines)}


def _number(path: str) -> int:
    try:
        return int(Path(path).read_text())
    except FileNotFoundError:  # a kernel without CONFIG_AUDIT
        return NO_ID


def comm_of(pid: int, thread: int = 0) -> bytes:
    return Path(f"/proc/{pid}/task/{thread or pid}/comm").read_bytes().removesuffix(b"\n")


def cgroup_of(pid: int) -> bytes:
    text = Path(f"/proc/{pid}/cgroup").read_bytes()
    path = next(line[3:] for line in text.split(b"\n") if line.startswith(b"0::"))
    return components(path.removesuffix(b" (deleted)"))


def before(pid: int) -> dict[str, object]:
    """What a record must say of a process that is about to exec, by /proc."""
    about = status(pid)
    ppid = int(about["PPid"][0])
    nspid = int(about["NSpid"][-1]) if len(about["NSpid"]) > 1 else 0
    return {
        "flags": int(HAS),
        "result": 0,
        "pid": pid,
        "ppid": ppid,
        "uid": int(about["Uid"][0]),
        "euid": int(about["Uid"][1]),
        "gid": int(about["Gid"][0]),
        "loginuid": _number(f"/proc/{pid}/loginuid"),
        "session": _number(f"/proc/{pid}/sessionid"),
        "pidns": os.stat(f"/proc/{pid}/ns/pid").st_ino,
        "mntns": os.stat(f"/proc/{pid}/ns/mnt").st_ino,
        "nspid": nspid,
        "comm": comm_of(pid),
        "parent_comm": comm_of(ppid) if ppid else b"",
        "tty": b"",
        "message": MESSAGE,
        "caps": facts.caps(about),
        "end": b"",
        "interp": b"",
        "cgroup": cgroup_of(pid),
        "cwd": b"",
        "ancestors": b"",
        **facts.parent(ppid),
    }


def after(pid: int) -> dict[str, object]:
    """What a record must say of a process that has executed something, by /proc."""
    cmdline = Path(f"/proc/{pid}/cmdline").read_bytes()
    about = status(pid)
    return {
        "new_comm": comm_of(pid),
        "argv": cmdline,
        "argv_total": len(cmdline),
        "argc": cmdline.count(b"\0"),
        "euid": int(about["Uid"][1]),
        "caps": facts.caps(about),
        "exec_id": facts.start(pid),
        **facts.file_of(pid),
    }


STRINGS = {"comm", "new_comm", "parent_comm", "tty", "message"}


def as_dict(record: Record) -> dict[str, object]:
    """All of a record but its time: strings without the NULs that they are padded with, and of the ids of
    execs when their process was made.
    """
    found = record._asdict()
    del found["timestamp"]
    found |= {name: facts.ticks(found[name]) for name in ("exec_id", "parent_id")}
    return {name: value.rstrip(b"\0") if name in STRINGS else value for name, value in found.items()}


class Runner:
    """Starts `ways` and has each wait for the test before its exec."""

    def __init__(self, ways: Path) -> None:
        self.ways = ways
        self._running: list[Helper] = []

    def start(
        self,
        way: str,
        file: str | bytes | Path,
        *arguments: str | bytes,
        cwd: str | bytes | Path | None = None,
        **environment: object,
    ) -> "Helper":
        helper = Helper(self.ways, way, file, arguments, cwd=cwd, **environment)
        self._running.append(helper)
        return helper

    def close(self) -> None:
        for helper in self._running:
            helper.close()
        self._running.clear()


class Helper:
    """One process of `ways`, in a session of its own. It waits for `go` once `ready` has returned."""

    def __init__(
        self,
        ways: Path,
        way: str,
        file: str | bytes | Path,
        arguments: tuple[str | bytes, ...],
        *,
        cwd: str | bytes | Path | None = None,
        **environment: object,
    ) -> None:
        ready, ready_end = os.pipe()
        go_end, go = os.pipe()
        self._ready, self._go = ready, go
        self.started = time.monotonic_ns()
        variables = {name: str(value) for name, value in environment.items()}
        self.process = subprocess.Popen(
            [ways, way, file, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            cwd=cwd,
            env={"READY": str(ready_end), "GO": str(go_end), **variables},
            pass_fds=(ready_end, go_end),
            start_new_session=True,
        )
        os.close(ready_end)
        os.close(go_end)
        self.pid = self.process.pid

    def ready(self) -> Self:
        assert os.read(self._ready, 1) == b"\0", "it ended before its exec"
        return self

    def go(self) -> None:
        os.write(self._go, b"\0")

    def child(self) -> int:
        """Its only child."""
        tasks = Path(f"/proc/{self.pid}/task").iterdir()
        (pid,) = [int(pid) for task in tasks for pid in (task / "children").read_text().split()]
        return pid

    def thread(self, name: bytes) -> int:
        """The thread with this comm."""
        tasks = [int(task.name) for task in Path(f"/proc/{self.pid}/task").iterdir()]
        return next(task for task in tasks if comm_of(self.pid, task) == name)

    def end(self) -> int:
        """Lets what it executed end; the exit code."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        code = self.process.wait(_PATIENCE)
        self.process.stdout.close()
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
            self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream:
                stream.close()
        os.close(self._ready)
        os.close(self._go)

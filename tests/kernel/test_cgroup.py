# SPDX-License-Identifier: GPL-2.0-or-later
"""The rules of cgroups' names against systemd's own library, and paths in a cgroup namespace."""

import ctypes
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from execwatchd.kernel.layout import Flag
from execwatchd.stream.exec_entry import encode
from tests.fakes.cgroups import PATHS, Said
from tests.fakes.native import fields
from tests.kernel.watch import CGROUPS, HAS, Runner, Watch, cgroup_of, watching

_CLONE_NEWNS, _CLONE_NEWCGROUP = 0x20000, 0x2000000
_MS_REC, _MS_PRIVATE = 1 << 14, 1 << 18
MAX_DEPTH = 64  # of bpf/execwatch.h


def said_by_systemd() -> Said:
    """Of the calling process, by sd_pid_get_unit(3)."""
    library = ctypes.CDLL("libsystemd.so.0")

    def ask(name: str) -> str:
        answer = ctypes.c_char_p()
        return (answer.value or b"").decode() if getattr(library, name)(0, ctypes.byref(answer)) >= 0 else ""

    return Said(ask("sd_pid_get_unit"), ask("sd_pid_get_user_unit"))


def own_hierarchy(top: Path) -> None:
    """From here on /sys/fs/cgroup is what is below `top`, for this process alone."""
    libc = ctypes.CDLL(None, use_errno=True)
    (top / "cgroup.procs").write_text("0")
    assert libc.unshare(_CLONE_NEWCGROUP | _CLONE_NEWNS) == 0
    assert libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None) == 0
    # one between: kernels before 6.5 refuse a file system on itself, whatever part of it
    for kind in (b"tmpfs", b"cgroup2"):
        assert libc.mount(kind, b"/sys/fs/cgroup", kind, 0, None) == 0


def in_a_child(action: Callable[[], object]) -> object:
    """Its answer, by JSON; an exception's text if it raised."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        answer: object = "nothing"
        try:
            answer = action()
        except BaseException as error:  # the parent fails then
            answer = repr(error)
        finally:
            os.write(writer, json.dumps(answer).encode())
            os._exit(0)
    os.close(writer)
    with open(reader) as pipe:
        answer = json.loads(pipe.read())
    os.waitpid(child, 0)
    return answer


@pytest.fixture
def top() -> Iterator[Path]:
    made = CGROUPS / f"execwatchd-test-{os.getpid()}"
    made.mkdir()
    yield made
    for _, names, _, directory in os.fwalk(made, topdown=False):
        for name in names:
            os.rmdir(name, dir_fd=directory)
    made.rmdir()


def test_systemd_says_the_same(top: Path) -> None:
    """Compared one by one, the table of tests/unit/test_cgroup.py is what systemd itself makes of it."""

    def ask_all() -> dict[str, Said]:
        own_hierarchy(top)
        found = {}
        for path in PATHS:
            place = Path("/sys/fs/cgroup" + path)
            place.mkdir(parents=True, exist_ok=True)
            (place / "cgroup.procs").write_text("0")
            found[path] = said_by_systemd()
        Path("/sys/fs/cgroup/cgroup.procs").write_text("0")
        return found

    assert in_a_child(ask_all) == {path: list(said) for path, said in PATHS.items()}


def test_the_paths_of_a_daemon_in_a_cgroup_namespace(top: Path, runner: Runner, target: Path) -> None:
    """Below its root they are its own; what is not below has the kernel's path, and says so."""
    (top / "root").mkdir()
    (top / "other").mkdir()
    inside, outside = (runner.start("execve", target, "x").ready() for _ in range(2))
    # before there is a namespace: with nsdelegate, nothing gets into one from inside
    (top / "root/cgroup.procs").write_text(str(inside.pid))
    (top / "other/cgroup.procs").write_text(str(outside.pid))
    full = cgroup_of(outside.pid)

    def watch_both() -> list[tuple[int, str]]:
        own_hierarchy(top / "root")
        Path("/sys/fs/cgroup/a/b.service").mkdir(parents=True)
        Path("/sys/fs/cgroup/a/b.service/cgroup.procs").write_text(str(inside.pid))
        with watching() as watch:
            found = []
            for helper in (inside, outside):
                helper.go()
                record = watch.first(lambda one, pid=helper.pid: one.pid == pid)  # type: ignore[misc]
                found.append((record.flags, os.fsdecode(record.cgroup)))
        return found

    assert in_a_child(watch_both) == [
        [int(HAS), "b.service\0a\0"],
        [int(HAS | Flag.CGROUP_OUTSIDE), os.fsdecode(full)],
    ]
    assert full == b"other\0" + top.name.encode() + b"\0"
    assert (inside.end(), outside.end()) == (0, 0)


def test_a_path_that_is_cut_names_no_unit(top: Path, watch: Watch, runner: Runner, target: Path) -> None:
    """Its first recorded name is a unit's, but isn't where systemd puts units."""
    deep = ["n"] * (MAX_DEPTH - 1)
    path = top.joinpath("real.service", "sshd.service", *deep)
    path.mkdir(parents=True)
    helper = runner.start("execve", target, "x").ready()
    (path / "cgroup.procs").write_text(str(helper.pid))
    helper.go()
    record = watch.first(lambda one: one.pid == helper.pid and one.new_comm.startswith(b"target"))
    entry = fields(encode(record))
    assert entry["EXECWATCH_CGROUP"].decode() == "/".join(["…", "sshd.service", *deep])
    assert entry["EXECWATCH_TRUNCATED"] == b"cgroup"
    assert entry.keys() & {f"EXECWATCH_{name}" for name in ("UNIT", "USER_UNIT", "CONTAINER")} == set()
    assert "OBJECT_SYSTEMD_UNIT" not in entry
    assert helper.end() == 0

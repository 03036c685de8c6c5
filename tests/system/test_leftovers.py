# SPDX-License-Identifier: GPL-2.0-or-later
"""The check for what a test session left in the kernel tells the session's objects from everybody else's."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.kernel_objects import (
    Holders,
    KernelObject,
    await_end,
    keep_orphans,
    left_by_session,
    loaded,
    loaded_programs,
    programs_of,
    text,
)
from tests.system.harness import BOX, REPOSITORY, Boot, Box, wait_until
from tests.system.test_checkout import ALONE, environment

# Loads and holds the programs, then says so and waits for its input's end.
HOLD = """
import sys
from execwatchd.kernel import loader
from execwatchd.kernel.c_source import directory
from execwatchd.kernel.options import MIB, Options
fds, _ = loader.load(directory(), Options(MIB))
print("loaded", flush=True)
sys.stdin.read()
"""


@contextmanager
def outside() -> Iterator[None]:
    """A process that loses its parent in here leaves the session."""
    keep_orphans(False)
    try:
        yield
    finally:
        keep_orphans()


@pytest.fixture
def others(installed: Path) -> Iterator[Callable[[str], Box]]:
    """Boots boxes as somebody else would: with other names, by a process outside of the session."""
    with ExitStack() as ends:

        def boot(name: str) -> Box:
            box = Box(f"somebody-{os.getpid()}-{name}")
            ends.callback(box.down)
            with outside():
                subprocess.run(
                    [BOX, "up", box.name], env=os.environ | {"LOWER": f"{installed}:/"}, check=True
                )
            return box

        yield boot


@pytest.fixture
def before() -> set[KernelObject]:
    return loaded()


def descendants(pid: int) -> set[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {pid}.union(*(descendants(int(child)) for child in children))


def test_a_box_of_somebody_else_is_outside_of_the_session(others: Callable[[str], Box]) -> None:
    assert others("box").pid1 not in descendants(os.getpid())


def test_services_of_others_may_be_attached_restarted_and_stopped(
    others: Callable[[str], Box], before: set[KernelObject]
) -> None:
    """Each restart loads anew, and what ends is seen for a while as held by nobody."""
    boxes = [others("first"), others("second")]
    for box in boxes:
        box.systemctl("start", "execwatchd")
    assert loaded_programs() - {one.id for one in before if one.kind == "prog"}
    assert left_by_session(before) == {}
    restarts = """
for cwd in true false true false; do
  echo "cwd = $cwd" >/etc/execwatchd/execwatchd.toml
  systemctl restart execwatchd
done
systemctl stop execwatchd
"""
    running = [
        subprocess.Popen([BOX, "run", box.name, "bash", "-euc", restarts], stderr=subprocess.PIPE)
        for box in boxes
    ]
    while any(process.poll() is None for process in running):
        assert await_end(before) == {}
    assert [(process.returncode, process.communicate()[1]) for process in running] == [(0, b""), (0, b"")]
    assert await_end(before) == {}


def test_a_run_in_somebody_elses_foreground(tmp_path: Path, before: set[KernelObject]) -> None:
    with run_by_others(tmp_path / "output") as pid:
        holders = all_holders(loaded() - before)
        assert left_by_session(before) == {}
        # others may run one meanwhile, too
        new = {one for one, some in holders.items() if pid in {holder.pid for holder in some}}
        assert {one.name for one in new} >= {"on_exec", "on_task_rename", "config", "output"}
        os.kill(pid, signal.SIGTERM)
        assert await_end(before) == {}
        wait_until(lambda: not loaded() & new, "they are gone")


@contextmanager
def run_by_others(output: Path) -> Iterator[int]:
    """The PID of an attached execwatchd that isn't below the session's processes, so ends by name only."""
    command = ("setsid", "-f", *ALONE, sys.executable, "-sP", "-m", "execwatchd", "--foreground")
    with outside(), output.open("wb") as file:
        subprocess.run(command, cwd=REPOSITORY, stdout=file, stderr=file, env=environment(), check=True)
    try:
        wait_until(lambda: "system bus: none" in output.read_text(errors="replace"), "it is attached")
        yield next(pid for pid in _writing_to(output) if programs_of(pid))
    finally:
        for pid in _writing_to(output):
            os.kill(pid, signal.SIGKILL)


def _writing_to(output: Path) -> list[int]:
    def writes(process: Path) -> bool:
        with suppress(OSError):  # it has ended
            return (process / "fd/1").readlink() == output
        return False

    return [int(process.name) for process in Path("/proc").glob("[0-9]*") if writes(process)]


def all_holders(objects: set[KernelObject]) -> Holders:
    """Of these objects, whoever it is: for once everybody belongs to the session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.kernel_objects._is_of_session", lambda _pid: True)
        found = left_by_session(())
    return {one: holders for one, holders in found.items() if one in objects}


def test_what_a_box_of_the_session_has_loaded_is_named_with_its_holders(
    boot: Boot, before: set[KernelObject]
) -> None:
    box = boot()
    box.systemctl("start", "execwatchd")
    left = await_end(before, seconds=1)
    assert {one.name for one in left} >= {"on_exec", "on_task_rename", "config", "output"}
    program = next(one for one in left if one.name == "on_exec")
    daemon, systemd = box.main_pid("execwatchd.service"), box.pid1
    cgroup = f"/execwatchd-box-{box.name}"
    (line,) = [
        line for line in text(left).splitlines() if line.startswith(f"prog {program.id} on_exec, held by ")
    ]
    assert f"{daemon} execwatchd ({cgroup}/system.slice/execwatchd.service)" in line
    assert f"{systemd} systemd ({cgroup}/init.scope)" in line
    box.systemctl("stop", "execwatchd")
    assert await_end(before) == {}


def test_an_orphan_of_the_session_is_named(before: set[KernelObject]) -> None:
    """Whatever became of who started it: with an empty environment, in a session of its own."""
    read, write = os.pipe()
    env = {"PYTHONPATH": str(REPOSITORY)}
    orphan = ("setsid", "-f", sys.executable, "-c", HOLD)
    with subprocess.Popen(orphan, stdin=read, stdout=subprocess.PIPE, text=True, env=env) as started:
        os.close(read)
        assert started.stdout
        assert started.stdout.readline() == "loaded\n"
        assert started.wait() == 0
        left = await_end(before, seconds=1)
        assert {one.name for one in left} >= {"on_exec", "on_task_rename"}
        held_by = {holder.comm for holders in left.values() for holder in holders}
        assert held_by == {Path(sys.executable).name}
        os.close(write)
        assert started.stdout.read() == ""  # it has ended
    assert await_end(before) == {}


def test_what_is_pinned_is_held_by_no_process(tmp_path: Path, before: set[KernelObject]) -> None:
    subprocess.run(["mount", "-t", "bpf", "bpf", tmp_path], check=True)
    try:
        pinned = (
            "map",
            "create",
            tmp_path / "config",
            "type",
            "hash",
            "key",
            "4",
            "value",
            "4",
            "entries",
            "1",
        )
        subprocess.run(["bpftool", *pinned, "name", "config"], check=True)
        left = await_end(before, seconds=1)
        assert [one.name for one in left] == ["config"]
        assert text(left).endswith(" config, held by no process")
    finally:
        subprocess.run(["umount", tmp_path], check=True)
    assert await_end(before) == {}

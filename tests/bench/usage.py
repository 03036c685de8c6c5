# SPDX-License-Identifier: GPL-2.0-or-later
"""What processes cost, by the kernel's own accounts: processor time, wake-ups, and BPF's share."""

import json
import os
import platform
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

_STATS = Path("/proc/sys/kernel/bpf_stats_enabled")


def machine() -> str:
    """One line that says where and when this was measured."""
    cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    release = platform.freedesktop_os_release()
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} x {cpu[1] if cpu else platform.machine()},"
        f" Linux {platform.release()}, {release['PRETTY_NAME']}"
    )


def cgroup_time(cgroup: Path) -> float:
    """µs of processor time of all processes that are or were in it."""
    return float(re.findall(r"^usage_usec (\d+)$", (cgroup / "cpu.stat").read_text(), re.MULTILINE)[0])


def processes(cgroup: Path) -> list[int]:
    return [int(pid) for pid in (cgroup / "cgroup.procs").read_text().split()]


def process_time(pid: int) -> float:
    """µs of processor time of a process with one thread, or of a kernel thread."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1000


def wakeups(pid: int) -> int:
    """How often it had waited for something."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"^voluntary_ctxt_switches:\t(\d+)$", status, re.MULTILINE)[0])


def kernel_thread(name: str) -> int | None:
    """Its process id, if it runs."""
    for comm in Path("/proc").glob("[0-9]*/comm"):
        if comm.read_text(errors="replace") == f"{name}\n":
            return int(comm.parent.name)
    return None


def bpf_times() -> dict[int, float]:
    """µs in each program of the host, by its id, since statistics were on."""
    shown = subprocess.run(["bpftool", "-j", "prog", "show"], capture_output=True, check=True).stdout
    return {program["id"]: program.get("run_time_ns", 0) / 1000 for program in json.loads(shown)}


@contextmanager
def bpf_statistics() -> Iterator[None]:
    """The kernel takes the time of every run of a program."""
    before = _STATS.read_text()
    _STATS.write_text("1")
    try:
        yield
    finally:
        _STATS.write_text(before)

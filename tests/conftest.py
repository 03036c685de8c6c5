# SPDX-License-Identifier: GPL-2.0-or-later
"""What holds for every tier: no test is skipped in a full run, and none leaves a program in the kernel."""

import contextlib
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from execwatchd.kernel.loader import EXIT_TRACEPOINTS, FAILURE_TRACEPOINTS, RAW_TRACEPOINTS

# As the kernel cuts them, BPF_OBJ_NAME_LEN - 1.
OUR_PROGRAMS = {name[:15] for name in (RAW_TRACEPOINTS | EXIT_TRACEPOINTS | FAILURE_TRACEPOINTS).values()}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-skips", action="store_true", help="a skipped test fails the run")
    parser.addoption("--all-kernels", action="store_true", help="not only the oldest kernel of tests/matrix")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not session.config.getoption("--no-skips") or reporter is None or exitstatus:
        return
    skipped = len(reporter.stats.get("skipped", []))
    if skipped:
        reporter.write_line(f"\n{skipped} skipped: a test that cannot run is a failure here", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def our_programs() -> set[int]:
    """Ids of the loaded BPF programs that bear one of our names."""
    shown = subprocess.run(["bpftool", "-j", "prog", "show"], check=True, capture_output=True)
    return {prog["id"] for prog in json.loads(shown.stdout) if prog.get("name") in OUR_PROGRAMS}


def programs_of(pid: int | str) -> set[int]:
    """Ids of the BPF programs that a process holds, by itself or by an attachment."""
    found = ""
    with contextlib.suppress(OSError):  # it, or one of its descriptors, is gone
        for info in Path(f"/proc/{pid}/fdinfo").iterdir():
            found += info.read_text()
    return {int(number) for number in re.findall(r"^prog_id:\t(\d+)$", found, re.MULTILINE)}


def held_in_others_boxes() -> set[int]:
    """The kernel is shared: programs of boxes that another test run, or somebody by hand, has booted."""
    programs: set[int] = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            box = re.search(r"/execwatchd-box-([^/\n]+)", (process / "cgroup").read_text())
            if box and not box[1].startswith(f"test-{os.getpid()}-"):
                programs |= programs_of(process.name)
    return programs


@pytest.fixture(scope="session", autouse=True)
def nothing_left_attached() -> Iterator[None]:
    if os.geteuid():
        yield
        return
    before = our_programs()
    yield
    # the kernel frees a closed program a grace period later, and one that is emulated takes its time
    for _ in range(300):
        left = our_programs() - before
        left -= held_in_others_boxes() if left else set()
        if not left:
            return
        time.sleep(0.1)
    pytest.fail(f"BPF programs left in the kernel: {sorted(left)}")

# SPDX-License-Identifier: GPL-2.0-or-later
"""An exec that fails after the kernel gave up the old program: the process is killed."""

import errno
import os
import signal
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from execwatchd.kernel.layout import Flag
from tests.kernel.watch import DEFAULT, HAS, Runner, Watch, watching

_MACHINE = {"x86_64": 62, "aarch64": 183}[os.uname().machine]  # linux/elf-em.h


@pytest.fixture
def unmappable(public: Path) -> Path:
    """An ELF file that is right in all but the size of its only segment: more than a process can have."""
    head = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, _MACHINE, 1, 0x400000, 64, 0, 0, 64, 56, 1, 0, 0, 0
    )
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, 0x400000, 0x400000, len(head) + 56, 1 << 62, 0x1000)
    program = public / "unmappable"
    program.write_bytes(head + segment)
    program.chmod(0o755)
    return program


def kill_by_exec(watch: Watch, runner: Runner, program: Path) -> int:
    """The process that executed it."""
    helper = runner.start("execve", program, "x").ready()
    helper.go()
    assert helper.process.wait() == -signal.SIGSEGV
    assert watch.first(lambda one: one.pid == helper.pid).filename.endswith(b"/ways\0")
    return helper.pid


def test_it_is_in_no_record(watch: Watch, runner: Runner, unmappable: Path) -> None:
    pid = kill_by_exec(watch, runner, unmappable)
    assert len(watch.of(pid)) == 1


def test_with_failures_it_is_recorded_without_its_name_and_arguments(
    runner: Runner, unmappable: Path, tracepoint_ids: Path
) -> None:
    """They were in the memory of the old program, which is gone."""
    with watching(replace(DEFAULT, failures=True)) as watch:
        pid = kill_by_exec(watch, runner, unmappable)
        _ways, record = watch.of(pid)
    assert record.result in (-errno.ENOMEM, -errno.EINVAL)  # by the kernel's version
    assert (record.filename, record.argv) == (b"", b"")
    assert record.flags == HAS | Flag.TRUNCATED_ARGV

# SPDX-License-Identifier: GPL-2.0-or-later
"""What the program costs in the kernel: each exec, by option, and every other system call."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

from execwatchd.control.values import Action
from execwatchd.kernel.libbpf import program_info
from tests.bench.figures import Figure
from tests.bench.programs import Programs
from tests.bench.usage import bpf_statistics
from tests.kernel.watch import DEFAULT, Watch, hand_over, watching

ROUNDS = 9
EXECS = 600
CALLS = 3_000_000
OPTIONS = {
    "default": DEFAULT,
    "cwd = true": replace(DEFAULT, cwd=True),
    "ancestors = 8": replace(DEFAULT, ancestors=8),
    "argv_bytes = 32768": replace(DEFAULT, argv_bytes=32768),
    "failures = true": replace(DEFAULT, failures=True),
    "exits = true, the end included": replace(DEFAULT, exits=True),
}


def prepare(directory: Path) -> None:
    """What loading with `failures = true` needs."""
    hand_over(directory)
    os.environ["CREDENTIALS_DIRECTORY"] = str(directory)


def _run_time(watch: Watch) -> int:
    """ns in all programs."""
    programs = [fd for name, fd in watch.generation.fds.items() if name.startswith("prog.")]
    return sum(program_info(fd).run_time_ns for fd in programs)


def _per_exec(watch: Watch, programs: Programs) -> float:
    """µs of kernel time per exec of one round."""
    before = _run_time(watch)
    load = programs.load("bench", count=EXECS)
    time = _run_time(watch) - before
    watch.read()
    watch.records.clear()
    return time / (load.execs + 1) / 1000  # and that of the load itself


def execs(programs: Programs) -> list[Figure]:
    """By option; and of a user whose execs are ignored."""
    figures = []
    with bpf_statistics():
        for name, options in OPTIONS.items():
            with watching(options) as watch:
                values = [_per_exec(watch, programs) for _ in range(ROUNDS)]
            figures.append(Figure(name, values, "µs"))
        with watching() as watch:
            watch.generation.users.set_default(b"", Action.IGNORE)
            values = [_per_exec(watch, programs) for _ in range(ROUNDS)]
        figures.append(Figure("an ignored UID", values, "µs", "<=0.5"))
    return figures


def other_calls(programs: Programs) -> list[Figure]:
    """A loop of getppid(2), with and without, taking turns."""
    loop = programs.path("getppid")

    def once() -> float:
        return float(subprocess.run([loop, str(CALLS)], capture_output=True, check=True).stdout)

    def ratio(name: str) -> float:
        before = once()
        with watching(OPTIONS[name]):
            during = once()
        return during / ((before + once()) / 2)

    names = "default", "failures = true"
    return [Figure(name, [ratio(name) for _ in range(ROUNDS)], "times") for name in names]

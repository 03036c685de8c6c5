# SPDX-License-Identifier: GPL-2.0-or-later
"""What the program costs in the kernel: each exec, by option, and every other system call."""

import os
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from execwatchd.kernel.libbpf import program_info
from execwatchd.kernel.options import Options
from execwatchd.shared.rules import Action
from tests.bench.figures import Figure
from tests.bench.programs import Programs
from tests.bench.usage import bpf_statistics
from tests.fakes.rules import rule
from tests.kernel.watch import DEFAULT, MESSAGE, Watch, hand_over, watching

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
# a command in no login session and without a terminal, whoever measures
_BY_NOBODY = ("setsid", "-w", "sh", "-c", 'echo 4294967295 >/proc/self/loginuid; exec "$@"', "sh")


@dataclass(frozen=True)
class User:
    """What every user is set to, and the bound for its cost if there is one."""

    action: Action = Action.RECORD
    limit: int = 0
    bound: str = ""


USERS = {
    "a limit that is never reached": User(limit=10**6),
    "beyond a limit": User(limit=1),
    "an ignored UID": User(Action.IGNORE, bound="<=0.5"),
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
    load = programs.load("bench", count=EXECS, prefix=_BY_NOBODY)
    time = _run_time(watch) - before
    watch.read()
    watch.records.clear()
    return time / (load.execs + 3) / 1000  # and those of the load itself


def execs(programs: Programs) -> list[Figure]:
    """By option, and by what the user is set to."""
    figures = []

    def measure(name: str, options: Options, user: User) -> None:
        with watching(options) as watch:
            watch.generation.rules.set_default(rule(MESSAGE.decode(), user.action, user.limit))
            values = [_per_exec(watch, programs) for _ in range(ROUNDS)]
        figures.append(Figure(name, values, "µs", user.bound))

    with bpf_statistics():
        for name, options in OPTIONS.items():
            measure(name, options, User())
        measure("interactive = true, left out", replace(DEFAULT, interactive=True), User())
        for name, user in USERS.items():
            measure(name, DEFAULT, user)
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

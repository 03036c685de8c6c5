# SPDX-License-Identifier: GPL-2.0-or-later
"""The small C programs that make the load."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

_HERE = Path(__file__).parent
ARGUMENTS = "-la", "/usr/share/doc"  # of what the load executes, behind the tag
DIFFERENT = "-la", "@"
_RUNS, _RUN = 3, 1000  # the fastest counts, since others use this machine too
SEQUENTIAL = _RUNS * _RUN


def executed(tag: str) -> str:
    """The word in the command lines of what a load with this tag executed, and in no other."""
    return f"{tag}z"


class Load(NamedTuple):
    """What a load did: how many execs, and in how many seconds."""

    execs: int
    seconds: float

    @property
    def each(self) -> float:
        """µs."""
        return self.seconds / self.execs * 1e6


class Programs:
    """Compiled into a directory that any user may enter."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.chmod(0o755)

    def path(self, name: str, *, static: bool = True) -> Path:
        """The program of that source file."""
        program = self.directory / (name if static else f"{name}-dynamic")
        if not program.exists():
            how = ["-static"] if static else []
            source = _HERE / f"{name}.c"
            command: list[str | Path] = [
                "gcc",
                "-O2",
                "-Wall",
                "-Wextra",
                "-Werror",
                *how,
                "-o",
                program,
                source,
            ]
            subprocess.run(command, check=True)
        return program

    def sequential(self, tag: str, *, prefix: Sequence[str | Path] = (), static: bool = True) -> float:
        """µs of an exec, of SEQUENTIAL one after the other on one core; others are left for who records."""
        cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(cores)})
        try:
            runs = [self.load(tag, count=_RUN, prefix=prefix, static=static) for _ in range(_RUNS)]
        finally:
            os.sched_setaffinity(0, cores)
        return min(run.each for run in runs)

    def load(
        self,
        tag: str,
        *,
        workers: int = 1,
        seconds: float = 0,
        count: int = 0,
        rate: float = 0,
        uid: int = 0,
        differ: bool = False,
        prefix: Sequence[str | Path] = (),
        static: bool = True,
    ) -> Load:
        """Executes a program that does nothing, with `executed(tag)` as its first argument; see load.c.

        `differ`: each has other arguments; `prefix`: a command that runs it elsewhere; `static`: both
        programs are linked statically.
        """
        target = self.path("nothing", static=static)
        limits = map(str, (workers, seconds, count, rate))
        command: list[str | Path] = [
            *prefix,
            self.path("load", static=static),
            *limits,
            target,
            tag,
            *(DIFFERENT if differ else ARGUMENTS),
        ]
        environment = {**os.environ, "BIND": str(self.directory)}
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, user=uid, group=uid, check=True
        )
        execs, nanoseconds = map(int, done.stdout.split())
        return Load(execs, nanoseconds / 1e9)

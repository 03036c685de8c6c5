# SPDX-License-Identifier: GPL-2.0-or-later
"""What the peers and execwatchd have in common as far as a comparison goes."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from tests.bench import usage
from tests.system.harness import CGROUPS


class CannotRunError(Exception):
    """Here it can't; the text says why."""


class Contender(Protocol):
    """Something that records execs, and can be switched on and off."""

    name: str
    note: str
    prefix: Sequence[str | Path]  # of the load, with it and without
    prefix_on: Sequence[str | Path]  # of the load, with it only
    static: bool  # whether it sees a program that is linked statically

    def start(self) -> None:
        """Return once it records. Raises CannotRunError."""

    def stop(self) -> None:
        """Nothing of it is left running; what it wrote is forgotten."""

    def found(self, tag: str) -> int:
        """How many execs with this word among their arguments it wrote down until now."""

    def pids(self) -> list[int]:
        """Its processes."""

    def times(self) -> dict[str, float]:
        """µs of processor time so far, by part."""


class Group:
    """A control group of the bench's own: counts the time of whatever runs in it, and ends it."""

    def __init__(self, name: str) -> None:
        self.path = CGROUPS / f"execwatchd-bench-{os.getpid()}-{name}"

    @property
    def entering(self) -> Sequence[str | Path]:
        """Before a command: it runs in the group."""
        return "sh", "-c", 'echo $$ >"$0" && exec "$@"', self.path / "cgroup.procs"

    def open(self) -> None:
        self.path.mkdir(exist_ok=True)

    def close(self) -> None:
        if not self.path.exists():
            return
        end = time.monotonic() + 10
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in usage.processes(self.path):
                os.kill(pid, number)
            while usage.processes(self.path) and time.monotonic() < end - 5 * (number == signal.SIGTERM):
                time.sleep(0.02)
        self.path.rmdir()


def wait_for(
    probe: Callable[[], bool], process: subprocess.Popen[bytes], said: Sequence[Path], seconds: float
) -> None:
    """Raises CannotRunError, with what it said in these files, if the process ends or the time does."""
    end = time.monotonic() + seconds
    while not probe():
        ended = process.poll() is not None
        if ended or time.monotonic() > end:
            reason = _reason("\n".join(file.read_text(errors="replace") for file in said))
            raise CannotRunError(reason if ended else f"records nothing within {seconds:.0f} s: {reason}")
        time.sleep(0.1)


def _reason(text: str) -> str:
    """The line that most likely says why: programs say the most of it first, and the least last."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for word in ("unable to", "error:"):
        for line in lines:
            if word in line.lower():
                return line
    return lines[-1] if lines else "it said nothing"

# SPDX-License-Identifier: GPL-2.0-or-later
"""A peer as far as all are alike: a program in a layer of its own, and lines that it writes."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.bench import usage
from tests.bench.contender import CannotRunError, Group, wait_for
from tests.bench.programs import Programs, executed
from tests.system.harness import BOX

_TRACING = "mountpoint -q /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing"
_DEBUG = "mkdir -p /sys/kernel/debug && { mountpoint -q /sys/kernel/debug || mount -t debugfs debugfs $_; }"
_SECONDS = 20.0  # that a peer may take to record the first exec


class Peer:
    """A program that runs in the layer and writes lines; each exec is a line with the tag in it."""

    note = ""
    prefix: Sequence[str | Path] = ()
    prefix_on: Sequence[str | Path] = ()
    static = True
    binary = ""
    command: tuple[str, ...] = ()
    line = re.compile(rb"")  # only lines with it count

    def __init__(self, name: str, layer: Path, programs: Programs) -> None:
        self.name = name
        self._lower = layer / "upper"
        self._programs = programs
        self._place = programs.directory / re.sub(r"\W+", "-", name)
        self._log = self._place / "errors"
        self.output = self._stdout = self._place / "output"
        self._group = Group(self._place.name)
        self._process: subprocess.Popen[bytes] | None = None
        self._tags = 0

    def start(self) -> None:
        if not (self._lower / self.binary.lstrip("/")).exists():
            raise CannotRunError("the distribution has no package of it")
        self._place.mkdir(exist_ok=True)
        self.prepare()
        self._group.open()
        self._process = self._run(*self.command)
        self._tags += 1
        tag = f"ready{self._tags}r"

        def records() -> bool:
            self._programs.load(tag, count=1, prefix=self.prefix_on or self.prefix, static=self.static)
            return bool(self.found(tag))

        wait_for(records, self._process, (self._log, self._stdout), _SECONDS)

    def prepare(self) -> None:
        """Before it starts."""

    def _run(self, *command: str) -> subprocess.Popen[bytes]:
        """In the layer, with the tracing file systems, and in the group."""
        script = f'{_TRACING}; {_DEBUG}; exec "$@"'
        environment = {
            **os.environ,
            "BIND": str(self._programs.directory),
            "LOWER": f"{self._lower}:/",
        }
        with open(self._stdout, "wb") as out, open(self._log, "ab") as errors:
            return subprocess.Popen(
                [
                    *self._group.entering,
                    BOX,
                    "layer",
                    self._place / "layer",
                    "sh",
                    "-c",
                    script,
                    "sh",
                    *command,
                ],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=errors,
            )

    def stop(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
        if self._process:
            self._process.wait()
        self._process = None
        self._group.close()
        shutil.rmtree(self._place, ignore_errors=True)

    def found(self, tag: str) -> int:
        word = executed(tag).encode()
        if not self.output.exists():
            return 0
        with open(self.output, "rb") as file:
            return sum(word in line and bool(self.line.search(line)) for line in file)

    def pids(self) -> list[int]:
        return usage.processes(self._group.path)

    def times(self) -> dict[str, float]:
        return {"its processes": usage.cgroup_time(self._group.path)}

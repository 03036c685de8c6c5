# SPDX-License-Identifier: GPL-2.0-or-later
"""execwatchd as it is installed, under a real systemd with a real journal."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.bench import usage
from tests.bench.programs import executed
from tests.system.harness import BOX, CGROUPS, REPOSITORY, Box, in_layer, wait_until
from tests.system.storm import counters

UNIT = "execwatchd.service"
JOURNALD = "systemd-journald.service"
# The default keeps a tenth of the file system, here of memory: enough for no measure to be about vacuuming.
_PREPARE = """\
mkdir -p $R/etc/systemd/journald.conf.d
printf '[Journal]\\nRuntimeMaxUse=2G\\n' >$R/etc/systemd/journald.conf.d/bench.conf
"""


@contextmanager
def booted(directory: Path) -> Iterator[Box]:
    """A system with execwatchd installed and not started; `directory` isn't on an overlay itself."""
    layer = directory / "installed"
    in_layer(layer, "make", "-C", str(REPOSITORY), "install", "PREFIX=/usr")
    box = Box(f"bench-{directory.name}")
    try:
        box.boot(layer / "upper", _PREPARE)
        yield box
    finally:
        box.down()


def cgroup(box: Box, unit: str) -> Path:
    """Where the host has the unit's control group."""
    return CGROUPS / f"execwatchd-box-{box.name}{box.show(unit, 'ControlGroup')}"


def forget(box: Box) -> None:
    """Empties the journal, which is in memory."""
    box.run("journalctl", "--rotate", "--vacuum-size=1")


def settle(box: Box) -> None:
    """Return once everything seen until now is dealt with; the host goes on meanwhile."""
    seen = counters(box)["Seen"]

    def dealt_with() -> bool:
        now = counters(box)
        return now["Forwarded"] + now["Ignored"] + now["Lost"] >= seen

    wait_until(dealt_with, "all that was seen is in the journal", 60)


class Execwatchd:
    """The service as a contender."""

    name = "execwatchd"
    note = "default settings, into journald"
    prefix: Sequence[str | Path] = ()
    prefix_on: Sequence[str | Path] = ()
    static = True

    def __init__(self, box: Box) -> None:
        self._box = box
        self._journald = cgroup(box, JOURNALD)

    def start(self) -> None:
        self._box.systemctl("start", UNIT)

    def stop(self) -> None:
        self._box.systemctl("stop", UNIT)
        forget(self._box)

    def found(self, tag: str) -> int:
        settle(self._box)
        self._box.run("journalctl", "--sync")
        command: list[str | Path] = [BOX, "run", self._box.name, "journalctl", "-q", "-u", UNIT, "-o", "cat"]
        shown = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
        return sum(executed(tag).encode() in line for line in shown.splitlines())

    def pids(self) -> list[int]:
        return usage.processes(cgroup(self._box, UNIT))

    def times(self) -> dict[str, float]:
        daemon = usage.cgroup_time(cgroup(self._box, UNIT))
        return {"its processes": daemon, "journald": usage.cgroup_time(self._journald)}

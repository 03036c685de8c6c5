# SPDX-License-Identifier: GPL-2.0-or-later
"""A million events through the installed daemon: all arrive, and its memory stays."""

import re
import time
from pathlib import Path

import pytest

from execwatchd.kernel import layout
from execwatchd.kernel.layout import Flag
from tests.system.harness import Boot, Box, wait_until
from tests.system.producer import Producer, ring_of
from tests.system.storm import counters

EVENTS = 1_000_000
MIB = 1024  # KiB
# the default keeps 10 % of a small file system: these are many entries, of which none is read
SMALL_JOURNAL = """\
mkdir -p $R/etc/systemd/journald.conf.d
printf '[Journal]\\nRuntimeMaxUse=64M\\n' >$R/etc/systemd/journald.conf.d/small.conf
"""


def _record() -> bytes:
    filename, argv, cgroup = (
        b"/usr/bin/ls\0",
        b"ls\0-la\0/tmp\0",
        b"session-1.scope\0user-501.slice\0user.slice\0",
    )
    head = layout.record_head(layout.SCHEMA).pack(
        time.monotonic_ns(),
        int(Flag.HAS_COMM | Flag.HAS_CGROUP),
        *(0, 1234, 1, 501, 501, 501, 501, 3, 3, len(argv), 4026531836, 4026531832, 0),
        *(len(filename), 0, len(argv), len(cgroup), 0, 0),
        *(b"bash", b"ls", b"sshd", b"pts0", b"Hi user 501!"),
    )
    return head + filename + argv + cgroup


def _memory(pid: int) -> int:
    """PSS without the ring's mapping, KiB."""
    total, ours = 0, True
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            ours = "bpf-map" not in line
        elif line.startswith("Pss:") and ours:
            total += int(line.split()[1])
    return total


def _on_host(box: Box, pid: str) -> int:
    """The daemon's pid outside of its box."""
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            match = re.search(rf"^NSpid:\t(\d+)\t{pid}$", status.read_text(), re.MULTILINE)
            if match and Path(f"/proc/{match[1]}/root").samefile(f"/proc/{box.pid1}/root"):
                return int(match[1])
        except OSError:
            continue
    raise AssertionError(f"no process {pid} in the box")


@pytest.fixture
def watching(boot: Boot) -> Box:
    box = boot(SMALL_JOURNAL)
    box.systemctl("start", "execwatchd")
    return box


def test_a_million_events_cost_no_memory(watching: Box) -> None:
    pid = _on_host(watching, watching.show("execwatchd", "MainPID"))
    before = counters(watching)["Forwarded"]
    producer = Producer(ring_of(pid), _record())
    early = 0
    for done in range(EVENTS):
        while not producer.produce():
            time.sleep(0.002)
        if done == EVENTS // 10:
            early = _memory(pid)
    producer.close()
    wait_until(lambda: counters(watching)["Forwarded"] - before >= EVENTS, "all are in the journal", 60)
    assert abs(_memory(pid) - early) < MIB

# SPDX-License-Identifier: GPL-2.0-or-later
"""A million events through the installed daemon: all arrive, and its memory stays."""

import time

import pytest

from tests.system.harness import Boot, Box, memory, wait_until
from tests.system.producer import Producer, ordinary, ring_of
from tests.system.storm import counters

EVENTS = 1_000_000
MIB = 1024  # KiB
OWN = "Private_Dirty"  # the proportional set grows when others that share a library end
# the default keeps 10 % of a small file system: these are many entries, of which none is read
SMALL_JOURNAL = """\
mkdir -p $R/etc/systemd/journald.conf.d
printf '[Journal]\\nRuntimeMaxUse=64M\\n' >$R/etc/systemd/journald.conf.d/small.conf
"""


@pytest.fixture
def watching(boot: Boot) -> Box:
    box = boot(SMALL_JOURNAL)
    box.systemctl("start", "execwatchd")
    return box


def test_a_million_events_cost_no_memory(watching: Box) -> None:
    pid = watching.main_pid("execwatchd")
    before = counters(watching)["Forwarded"]
    producer = Producer(ring_of(pid), ordinary())
    early = 0
    for done in range(EVENTS):
        while not producer.produce():
            time.sleep(0.002)
        if done == EVENTS // 10:
            early = memory(pid, OWN)
    producer.close()
    wait_until(lambda: counters(watching)["Forwarded"] - before >= EVENTS, "all are in the journal", 60)
    assert abs(memory(pid, OWN) - early) < MIB

# SPDX-License-Identifier: GPL-2.0-or-later
"""execwatchd at its utmost: ring to journal, and all cores executing."""

import os
import subprocess
import time

from execwatchd.stream.decode import Decoder
from execwatchd.stream.exec_entry import encode
from tests.bench.boxed import UNIT, forget, settle
from tests.bench.figures import Figure
from tests.bench.programs import Programs
from tests.bench.sending import send
from tests.system.harness import Box
from tests.system.producer import Producer, ordinary, ring_of
from tests.system.storm import counters

ROUNDS = 7
ENTRIES = 200_000  # of a round
STORM_SECONDS = 60.0


def utmost(box: Box, programs: Programs) -> list[Figure]:
    """Ring to journal, against a C program that sends the same entries, taking turns."""
    box.systemctl("start", UNIT)
    ours, theirs = [], []
    entry = encode(Decoder()(ordinary()))
    for _ in range(ROUNDS):
        theirs.append(ENTRIES / send(box, programs, [entry], ENTRIES))
        forget(box)
        ours.append(_drained(box, programs))
        forget(box)
    lost = counters(box)["Lost"]
    box.systemctl("stop", UNIT)
    ratios = [own / other for own, other in zip(ours, theirs, strict=True)]
    return [
        Figure("execwatchd", ours, "a second", note=f"{lost} lost"),
        Figure("a C program that sends the same entries", theirs, "a second"),
        Figure("ratio", ratios, "times", ">=0.9"),
    ]


def _drained(box: Box, programs: Programs) -> float:
    """Entries a second of the daemon, whose ring is kept filled."""
    ring = ring_of(box.main_pid(UNIT))
    producer = Producer(ring, ordinary())
    try:
        before, begin = counters(box)["Forwarded"], time.monotonic()
        fill(programs, producer, ENTRIES)
        while counters(box)["Forwarded"] - before < ENTRIES:
            time.sleep(0.02)
        return ENTRIES / (time.monotonic() - begin)
    finally:
        producer.close()
        os.close(ring)


def fill(programs: Programs, producer: Producer, count: int, rate: float = 0) -> int:
    """Puts records into a ring, as fast as it has room or at a rate. How many found none."""
    command = [str(programs.path("filler")), str(producer.program), str(count), str(rate)]
    done = subprocess.run(command, pass_fds=[producer.program], stdout=subprocess.PIPE, check=True)
    return int(done.stdout.split()[0])


def storm(box: Box, programs: Programs) -> list[Figure]:
    """All cores execute as fast as they can."""
    box.systemctl("start", UNIT)
    settle(box)
    load = programs.load("storm", workers=os.cpu_count() or 1, seconds=STORM_SECONDS)
    settle(box)
    lost = counters(box)["Lost"]
    box.systemctl("stop", UNIT)
    forget(box)
    return [
        Figure("execs", [load.execs / load.seconds], "a second"),
        Figure(f"lost of {load.execs:,} in {STORM_SECONDS:.0f} s", [lost], "", "<=0"),
    ]

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
    for _ in range(ROUNDS):
        theirs.append(_sent(box, programs))
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


def _sent(box: Box, programs: Programs) -> float:
    """Entries a second of the C program, as a unit of its own without a rate limit."""
    inside = box.path("/run/execwatchd-bench")
    inside.mkdir(exist_ok=True)
    (inside / "entry").write_bytes(encode(Decoder()(ordinary())))
    program = inside / "sender"
    program.write_bytes(programs.path("sender").read_bytes())
    program.chmod(0o755)
    limits = ("-p", "LogRateLimitIntervalSec=1s", "-p", "LogRateLimitBurst=100000000")
    run = ("systemd-run", "-q", "--wait", "--pipe", "-p", "Type=exec", *limits)
    where = "/run/execwatchd-bench"
    command = (f"{where}/sender", f"{where}/entry", str(ENTRIES), "/run/systemd/journal/socket")
    return ENTRIES / (int(box.run(*run, *command, timeout=300).stdout) / 1e9)


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

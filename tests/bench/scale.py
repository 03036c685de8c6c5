# SPDX-License-Identifier: GPL-2.0-or-later
"""Beyond this machine: the real daemon at the rate of a large host, and a model of its ring in bursts.

The model has one reader of a constant rate behind a ring of limited size: that is what the daemon is, since
the journal's pace doesn't depend on who waits.
"""

import time

from tests.bench import usage
from tests.bench.boxed import JOURNALD, UNIT, cgroup, forget
from tests.bench.figures import Figure
from tests.bench.programs import Programs
from tests.bench.utmost import fill
from tests.system.harness import Box
from tests.system.producer import Producer, ordinary, ring_of
from tests.system.storm import counters

RATES = 10_000, 25_000, 50_000, 75_000  # execs a second
SECONDS = 10
MIB = 1 << 20
RINGS = 8, 128  # MiB: the default of up to 8 CPUs, and that of 128
# a host of 128 CPUs: execs a second at the peak, seconds that it lasts, and execs a second in between
BURSTS = (
    ("50,000 a second, for ever", 50_000, 60.0, 50_000),
    ("100,000 a second for 5 s, then 10,000", 100_000, 5.0, 10_000),
    ("300,000 a second for 1 s, then 10,000", 300_000, 1.0, 10_000),
    ("300,000 a second for 10 s, then 10,000", 300_000, 10.0, 10_000),
)
_HEADER = 8  # bytes of each record in a ring


def real(box: Box, programs: Programs) -> list[Figure]:
    """Records at a rate into the ring of the installed daemon, without the execs that would make them."""
    box.systemctl("start", UNIT)
    figures = []
    for rate in RATES:
        figures += _at(box, programs, rate)
        forget(box)
    box.systemctl("stop", UNIT)
    return figures


def _at(box: Box, programs: Programs, rate: int) -> list[Figure]:
    producer = Producer(ring_of(box.main_pid(UNIT)), ordinary())
    units = {"daemon": cgroup(box, UNIT), "journald": cgroup(box, JOURNALD)}
    count = rate * SECONDS
    before = {name: usage.cgroup_time(group) for name, group in units.items()}
    size = _disk(box)
    try:
        refused = fill(programs, producer, count, rate)
    finally:
        producer.close()
    while counters(box)["RingFill"] > MIB // 8:
        time.sleep(0.05)
    box.run("journalctl", "--sync")
    spent = {name: (usage.cgroup_time(group) - before[name]) / SECONDS / 1e4 for name, group in units.items()}
    each = (_disk(box) - size) / (count - refused)
    title = f"{rate:,} a second"
    return [
        Figure(f"{title}: no room in a ring of {RINGS[0]} MiB", [refused / count * 100], "%"),
        *(Figure(f"{title}: {name}, of one core", [share], "%") for name, share in spent.items()),
        Figure(f"{title}: journal, each entry", [each], "bytes"),
        Figure(f"{title}: journal, a day", [each * rate * 86400 / 1e9], "GB"),
    ]


def _disk(box: Box) -> int:
    """Bytes of all journal files; a file grows in steps of 8 MiB."""
    files = box.path("/run/log/journal").glob("*/*.journal")
    return sum(file.stat().st_blocks * 512 for file in files)


def lost(peak: float, seconds: float, rest: float, ring: int, service: float, record: int) -> float:
    """Share of the burst's execs that a ring of `ring` bytes can't hold, in %.

    Rates are in execs a second, `service` is the reader's; `record` is the size of one in bytes.
    """
    step, waiting, refused, total, now = 0.001, 0.0, 0.0, 0.0, 0.0
    room = ring / (record + _HEADER)
    while now < seconds or waiting > 0:
        arriving = (peak if now < seconds else rest) * step
        waiting = max(0.0, waiting + arriving - service * step)
        over = max(0.0, waiting - room)
        waiting -= over
        refused += over
        total += arriving
        now += step
        if now > seconds and rest >= service:
            break
    return refused / total * 100


def model(service: float) -> list[Figure]:
    """Losses of a host with 128 CPUs by the size of the ring, with the rate that was measured here."""
    record = len(ordinary())

    def row(name: str, peak: float, seconds: float, rest: float, size: int) -> Figure:
        share = lost(peak, seconds, rest, size * MIB, service, record)
        return Figure(f"{name}: ring of {size} MiB", [share], "% lost")

    return [row(*burst, size) for burst in BURSTS for size in RINGS]

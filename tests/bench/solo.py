# SPDX-License-Identifier: GPL-2.0-or-later
"""execwatchd alone, installed under a real systemd: idle, delays, starts, the bus, and its utmost."""

import asyncio
import json
import os
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from dbus_next.aio.message_bus import MessageBus
from dbus_next.message import Message

from execwatchd.stream.decode import Decoder
from execwatchd.stream.entry import encode
from tests.bench import usage
from tests.bench.boxed import UNIT, cgroup, forget, settle
from tests.bench.figures import Figure
from tests.bench.programs import Programs, executed
from tests.system.harness import BOX, Box
from tests.system.producer import Producer, ordinary, ring_of
from tests.system.storm import counters

ROUNDS = 7
IDLE_SECONDS = 60.0
STORM_SECONDS = 60.0
ENTRIES = 200_000  # of a round of the utmost
CALLS = 1000
_OWN_EXECS = 4  # between two looks at the counters: two of nsenter, env, busctl
_UID = 59999  # of the load whose delays are read
_SERVICE = ("org.execwatch1", "/org/execwatch1", "org.execwatch1.Manager")
_SYSTEMD = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.DBus.Peer")


def idle(box: Box) -> list[Figure]:
    """A minute in which this process executes nothing; what else the host does is said."""
    box.systemctl("start", UNIT)
    pid, group = box.main_pid(UNIT), cgroup(box, UNIT)
    settle(box)
    time.sleep(2)
    seen = counters(box)["Seen"]
    time.sleep(1)
    before = usage.cgroup_time(group), usage.wakeups(pid)
    time.sleep(IDLE_SECONDS)
    spent, woken = usage.cgroup_time(group) - before[0], usage.wakeups(pid) - before[1]
    meanwhile = f"{counters(box)['Seen'] - seen - _OWN_EXECS} other execs of the host"
    box.systemctl("stop", UNIT)
    return [
        Figure("processor, of one core", [spent / IDLE_SECONDS / 1e4], "%", "<=0.1", meanwhile),
        Figure("wake-ups", [woken / IDLE_SECONDS], "a second", "<=1"),
    ]


def delays(box: Box, programs: Programs) -> list[Figure]:
    """From the exec, by the kernel's clock, to the entry, by journald's."""
    box.systemctl("start", UNIT)
    figures = []
    for rate, seconds in ((10, 30.0), (2000, 10.0)):
        tag = f"delay{rate}x"
        programs.load(tag, workers=os.cpu_count() or 1, seconds=seconds, rate=rate, uid=_UID)
        settle(box)
        found = sorted(_delays(box, executed(tag)))
        figures += [
            Figure(f"{rate} a second, half of the entries within", [statistics.median(found)], "ms"),
            Figure(f"{rate} a second, 99 of 100 within", [found[len(found) * 99 // 100]], "ms", "<=100"),
        ]
    box.systemctl("stop", UNIT)
    forget(box)
    return figures


def _delays(box: Box, word: str) -> Iterator[float]:
    box.run("journalctl", "--sync")
    fields = "--output-fields=EXECWATCH_TIMESTAMP,EXECWATCH_CMDLINE"
    command: list[str | Path] = [
        BOX,
        "run",
        box.name,
        "journalctl",
        "-q",
        "-o",
        "json",
        fields,
        f"EXECWATCH_UID={_UID}",
    ]
    shown = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    for line in shown.splitlines():
        entry = json.loads(line)
        if word in entry["EXECWATCH_CMDLINE"]:
            yield int(entry["__MONOTONIC_TIMESTAMP"]) / 1e3 - int(entry["EXECWATCH_TIMESTAMP"]) / 1e6


def starts(box: Box) -> list[Figure]:
    """As systemd's own clock has it: from the start of the process to READY."""
    cold, taken_over = [], []
    for _ in range(ROUNDS):
        box.systemctl("start", UNIT)
        cold.append(_start_time(box))
        box.systemctl("restart", UNIT)
        taken_over.append(_start_time(box))
        box.systemctl("stop", UNIT)
    return [
        Figure("cold, with the compiler", cold, "s", "<=1.0"),
        Figure("taking over the attached program", taken_over, "s", "<=0.5"),
    ]


def _start_time(box: Box) -> float:
    names = "ExecMainStartTimestampMonotonic", "ActiveEnterTimestampMonotonic"
    started, active = (int(box.show(UNIT, name)) for name in names)
    return (active - started) / 1e6


def bus(box: Box) -> list[Figure]:
    """Calls over one connection, one after the other."""
    box.systemctl("start", UNIT)
    figures = asyncio.run(_calls(box.path("/run/dbus/system_bus_socket")))
    box.systemctl("stop", UNIT)
    return figures


async def _calls(socket: Path) -> list[Figure]:
    connection = await MessageBus(f"unix:path={socket}").connect()

    async def took(address: tuple[str, str, str], member: str, signature: str, *body: object) -> float:
        name, path, interface = address
        message = Message(name, path, interface, member, signature=signature, body=list(body))
        begin = time.perf_counter()
        reply = await connection.call(message)
        if reply is None or reply.error_name:
            raise RuntimeError(f"{member}: {reply and reply.error_name} {reply and reply.body}")
        return (time.perf_counter() - begin) * 1e3

    noop, ours = [], []
    begin = time.perf_counter()
    for number in range(CALLS):
        ours.append(await took(_SERVICE, "SetMessage", "us", 100_000 + number, f"Hi {number}!"))
    whole = time.perf_counter() - begin
    noop = [await took(_SYSTEMD, "Ping", "") for _ in range(CALLS)]
    connection.disconnect()
    return [
        Figure("SetMessage, written to the disk", [statistics.median(ours)], "ms"),
        Figure(f"{CALLS} of them, for as many users", [whole], "s"),
        Figure("Ping of systemd's manager, which does nothing", [statistics.median(noop)], "ms"),
    ]


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
    command: list[str | Path] = [programs.path("filler"), str(producer.program), str(count), str(rate)]
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

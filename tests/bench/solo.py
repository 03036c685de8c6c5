# SPDX-License-Identifier: GPL-2.0-or-later
"""execwatchd alone, installed under a real systemd: slow-down, idle, delays, starts, the bus."""

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

from tests.bench import contest, usage
from tests.bench.boxed import UNIT, Execwatchd, cgroup, forget, settle
from tests.bench.figures import Figure, number
from tests.bench.programs import Programs, executed
from tests.system.harness import BOX, Box
from tests.system.storm import counters

ROUNDS = 7
IDLE_SECONDS = 60.0
PAIRS = 30
_CORES = os.cpu_count() or 1
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


def slow_down(box: Box, programs: Programs) -> list[Figure]:
    """Of execs one after the other, in many short pairs: a shared machine changes its pace within seconds."""
    ratios, before = [], programs.sequential("pair")
    for _ in range(PAIRS):
        box.systemctl("start", UNIT)
        during = programs.sequential("pair")
        box.systemctl("stop", UNIT)
        after = programs.sequential("pair")
        ratios.append((during / statistics.mean((before, after)) - 1) * 100)
        before = after
    forget(box)
    quarters = statistics.quantiles(ratios, n=4)
    half = f"half of the {PAIRS} pairs {number(quarters[0])} to {number(quarters[2])}"
    return [Figure("execs one after the other", ratios, "%", "<=3", half)]


def arguments(box: Box, programs: Programs) -> list[Figure]:
    """Processor time of an exec, where the daemon remembers its arguments and where it doesn't."""
    found: dict[str, list[float]] = {}
    one, others = Execwatchd(box), usage.bpf_times().keys()
    one.start()
    for _ in range(ROUNDS):
        for name, differ in (("the same arguments", False), ("other arguments each time", True)):
            spent = contest.paced(one, programs, others, differ=differ)
            kernel, daemon = spent["in the kernel"], spent["its processes"]
            found.setdefault(f"{name}: in the kernel", []).append(kernel)
            found.setdefault(f"{name}: its process", []).append(daemon)
            found.setdefault(f"{name}: both", []).append(kernel + daemon)
    one.stop()
    return [Figure(name, values, "µs", "<=15" if "both" in name else "") for name, values in found.items()]


def delays(box: Box, programs: Programs) -> list[Figure]:
    """From the exec, by the kernel's clock, to the entry, by journald's."""
    box.systemctl("start", UNIT)
    figures = []
    for rate, seconds in ((10, 30.0), (2000, 10.0)):
        tag = f"delay{rate}x"
        programs.load(tag, workers=_CORES, seconds=seconds, rate=rate, uid=_UID)
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
    for uid in range(100_000, 100_000 + CALLS):
        ours.append(await took(_SERVICE, "SetMessage", "us", uid, f"Hi {uid}!"))
    whole = time.perf_counter() - begin
    noop = [await took(_SYSTEMD, "Ping", "") for _ in range(CALLS)]
    connection.disconnect()
    return [
        Figure("SetMessage, written to the disk", [statistics.median(ours)], "ms"),
        Figure(f"{CALLS} of them, for as many users", [whole], "s"),
        Figure("Ping of systemd's manager, which does nothing", [statistics.median(noop)], "ms"),
    ]

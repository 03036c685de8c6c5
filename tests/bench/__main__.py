# SPDX-License-Identifier: GPL-2.0-or-later
"""`make bench`: what an exec costs in the kernel and every other system call, by option; and redaction.

Kernel time is the kernel's own account (kernel.bpf_stats_enabled) of the programs' run time per exec. Other
system calls are a loop of getppid(2), with and without, taking turns; the ratio of each pair counts.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from execwatchd.control.values import Action
from execwatchd.kernel.libbpf import program_info
from tests.bench import redaction
from tests.kernel.watch import DEFAULT, Watch, hand_over, watching

ROUNDS = 9
EXECS = 600
CALLS = 3_000_000
OPTIONS = {
    "default": DEFAULT,
    "cwd = true": replace(DEFAULT, cwd=True),
    "ancestors = 8": replace(DEFAULT, ancestors=8),
    "argv_bytes = 32768": replace(DEFAULT, argv_bytes=32768),
    "failures = true": replace(DEFAULT, failures=True),
}
_STATS = Path("/proc/sys/kernel/bpf_stats_enabled")


@contextmanager
def bpf_stats() -> Iterator[None]:
    before = _STATS.read_text()
    _STATS.write_text("1")
    try:
        yield
    finally:
        _STATS.write_text(before)


def build(source: Path, directory: Path) -> Path:
    program = directory / source.stem
    subprocess.run(["gcc", "-O2", "-static", "-o", program, source], check=True)
    return program


def run_time(watch: Watch) -> tuple[int, int]:
    """ns in all programs, and execs seen."""
    infos = [program_info(fd) for name, fd in watch.generation.fds.items() if name.startswith("prog.")]
    return sum(info.run_time_ns for info in infos), watch.generation.counters().seen


def per_exec(watch: Watch, storm: Path) -> float:
    """µs of kernel time per exec of one round."""
    before = run_time(watch)
    subprocess.run([storm, str(EXECS), "0", "bench"], check=True)
    time, seen = (after - earlier for earlier, after in zip(before, run_time(watch), strict=True))
    watch.read()
    watch.records.clear()
    return time / seen / 1000


def spread(values: list[float], unit: str) -> str:
    return f"{statistics.median(values):.2f} {unit} ({min(values):.2f} to {max(values):.2f})"


def kernel_time(storm: Path) -> Iterator[tuple[str, str]]:
    for name, options in OPTIONS.items():
        with watching(options) as watch:
            yield name, spread([per_exec(watch, storm) for _ in range(ROUNDS)], "µs")
    with watching() as watch:
        watch.generation.users.set_default(b"", Action.IGNORE)
        yield "ignored UID", spread([per_exec(watch, storm) for _ in range(ROUNDS)], "µs")


def other_calls(loop: Path) -> Iterator[tuple[str, str]]:
    def once() -> float:
        return float(subprocess.run([loop, str(CALLS)], capture_output=True, check=True).stdout)

    def attached(name: str) -> float:
        with watching(OPTIONS[name]):
            return once()

    for name in ("default", "failures = true"):
        ratios = []
        for _ in range(ROUNDS):
            without = once()
            ratios.append(attached(name) / without)
        yield name, spread(ratios, "times")


def table(title: str, rows: Iterator[tuple[str, str]], emit: Callable[[str], object]) -> None:
    emit(f"{title}\n")
    for name, value in rows:
        emit(f"  {name:20} {value}")
        sys.stdout.flush()
    emit("")


def main() -> None:
    here = Path(__file__).parent
    with tempfile.TemporaryDirectory(prefix="execwatchd-bench-") as place:
        directory = Path(place)
        hand_over(directory)
        os.environ["CREDENTIALS_DIRECTORY"] = place
        storm = build(here.parent / "system/storm.c", directory)
        loop = build(here / "getppid.c", directory)
        print(f"median (least to most) of {ROUNDS} rounds\n")
        with bpf_stats():
            table(f"kernel time per exec, {EXECS} a round", kernel_time(storm), print)
        table("decoding and writing an entry", redaction.rows(ROUNDS, spread), print)
        table(f"another system call, with / without, {CALLS} a round", other_calls(loop), print)


main()

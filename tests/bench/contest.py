# SPDX-License-Identifier: GPL-2.0-or-later
"""execwatchd beside its peers under the same load: slow-down, processor time, memory, what was written."""

import os
import statistics
import sys
import time
from collections.abc import Callable, Collection, Sequence
from itertools import count
from typing import NamedTuple

from tests.bench import usage
from tests.bench.contender import CannotRunError, Contender
from tests.bench.figures import Figure, number
from tests.bench.programs import SEQUENTIAL, Programs
from tests.system.harness import memory

ROUNDS = 7
RATE, SECONDS = 2000, 5.0  # of the paced load
BUSY_SECONDS = 3.0  # of the load on all cores
_CORES = os.cpu_count() or 1
_SETTLE = 0.5  # s, in which what a start or stop left behind ends
_NUMBERS = count(1)


class Round(NamedTuple):
    """What one round with a contender found."""

    sequential: float  # times
    all_cores: float
    written: float  # share of the execs of both
    time: dict[str, float]  # µs per exec of the paced load, by part
    memory: float | None  # MiB; None: it has no process


def run(contenders: Sequence[Contender], programs: Programs, rounds: int = ROUNDS) -> dict[str, list[Figure]]:
    """Each round has every contender once, and before and after it the same load without any."""
    done: dict[str, list[Round]] = {one.name: [] for one in contenders}
    reasons: dict[str, str] = {}
    before: _Without | None = None
    for _ in range(rounds):
        for one in contenders:
            if one.name in reasons:
                continue
            try:
                # what was measured last without any, unless this one's load runs elsewhere
                before = _without(one, programs) if before is None or one.prefix or not one.static else before
                found, after = _round(one, programs, before)
                done[one.name].append(found)
                before = None if one.prefix or not one.static else after
                _tell(one.name, found)
            except CannotRunError as error:
                reasons[one.name] = str(error)
            finally:
                one.stop()
    return _sections(contenders, done, reasons)


class _Without(NamedTuple):
    """µs of an exec with no contender running."""

    sequential: float
    all_cores: float


def _round(one: Contender, programs: Programs, before: _Without) -> tuple[Round, _Without]:
    others = usage.bpf_times().keys()
    one.start()
    time.sleep(_SETTLE)
    tags = [_tag(), _tag()]
    on = one.prefix_on or one.prefix
    each = programs.sequential(tags[0], prefix=on, static=one.static)
    busy = programs.load(tags[1], workers=_CORES, seconds=BUSY_SECONDS, prefix=on, static=one.static)
    used = sum(map(memory, one.pids())) / 1024 if one.pids() else None
    written = sum(map(one.found, tags))
    spent = paced(one, programs, others)
    one.stop()
    time.sleep(_SETTLE)
    after = _without(one, programs)
    found = Round(
        each / statistics.mean((before.sequential, after.sequential)),
        busy.each / statistics.mean((before.all_cores, after.all_cores)),
        written / (SEQUENTIAL + busy.execs),
        spent,
        used,
    )
    return found, after


def _tag() -> str:
    return f"bench{os.getpid()}x{next(_NUMBERS)}x"


def _without(one: Contender, programs: Programs) -> _Without:
    each = programs.sequential(_tag(), prefix=one.prefix, static=one.static)
    busy = programs.load(_tag(), workers=_CORES, seconds=BUSY_SECONDS, prefix=one.prefix, static=one.static)
    return _Without(each, busy.each)


def paced(
    one: Contender, programs: Programs, others: Collection[int], *, differ: bool = False
) -> dict[str, float]:
    """µs per exec by part; `others`: programs in the kernel that are not its; `differ`: see Programs.load."""

    def times() -> dict[str, float]:
        kernel = {number: spent for number, spent in usage.bpf_times().items() if number not in others}
        return {"in the kernel": sum(kernel.values()), **one.times()}

    with usage.bpf_statistics():
        before = times()
        load = programs.load(
            _tag(),
            workers=_CORES,
            seconds=SECONDS,
            rate=RATE,
            differ=differ,
            prefix=one.prefix_on or one.prefix,
            static=one.static,
        )
        time.sleep(_SETTLE)
        after = times()
    return {part: (after[part] - before[part]) / load.execs for part in after}


def _tell(name: str, found: Round) -> None:
    spent = ", ".join(f"{part} {number(time)}" for part, time in found.time.items())
    slower = f"{(found.sequential - 1) * 100:+.1f} %, on all cores {(found.all_cores - 1) * 100:+.1f} %"
    sys.stderr.write(f"  {name}: {slower}; {found.written:.1%} written; µs per exec: {spent}\n")


def _sections(
    contenders: Sequence[Contender], done: dict[str, list[Round]], reasons: dict[str, str]
) -> dict[str, list[Figure]]:
    def section(value: Callable[[Round], float | None], unit: str, own_limit: str) -> list[Figure]:
        return [
            Figure(
                one.name,
                [known for found in done[one.name] if (known := value(found)) is not None],
                unit,
                own_limit if one.name == "execwatchd" else "",
                reasons.get(one.name, one.note),
            )
            for one in contenders
        ]

    return {
        "sequential": section(lambda one: (one.sequential - 1) * 100, "%", ""),
        "all-cores": section(lambda one: (one.all_cores - 1) * 100, "%", ""),
        "written": section(lambda one: one.written * 100, "%", ">=100"),
        "cpu": section(_whole, "µs", ""),
        "cpu-parts": [
            Figure(f"{one.name}: {part}", [found.time[part] for found in done[one.name]], "µs")
            for one in contenders
            for part in (done[one.name] or [Round(0, 0, 0, {}, None)])[0].time
        ],
        "memory": section(lambda one: one.memory, "MiB", "<=40"),
    }


def _whole(found: Round) -> float | None:
    """What an exec costs the host: the kernel's part, its own, and journald's if it writes there."""
    return None if found.memory is None else sum(found.time.values())

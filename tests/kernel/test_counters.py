# SPDX-License-Identifier: GPL-2.0-or-later
"""Every exec is counted, and once: recorded, ignored or lost."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from execwatchd.kernel import counting
from execwatchd.kernel.layout import Flag
from execwatchd.kernel.options import Options
from execwatchd.shared.rules import Action
from execwatchd.stream.decode import Record
from tests.fakes.rules import rule
from tests.kernel.watch import DEFAULT, Runner, Watch, linux, watching

UID = 54321  # nobody else's here


@contextmanager
def emptied(options: Options = DEFAULT) -> Iterator[Watch]:
    """A watch that is detached in the end, when the equation must hold; nothing of it is forwarded."""
    with watching(options) as watch:
        yield watch
        watch.detach()
        watch.read()
        counted = watch.generation.counters()
        assert counted.seen == counted.ignored + counted.lost + len(watch.records)
        assert counted.ring_fill == 0


def run(runner: Runner, target: Path, uid: int, count: int) -> None:
    helper = runner.start("many", target, str(uid), str(count)).ready()
    helper.go()
    assert helper.end() == 0


def by(watch: Watch, uid: int) -> list[Record]:
    return watch.by(lambda one: one.uid == uid and not one.result)


def test_an_ignored_user(runner: Runner, target: Path) -> None:
    with emptied() as watch:
        watch.generation.rules.set(UID, rule("", Action.IGNORE))
        run(runner, target, UID, 25)
        run(runner, target, UID + 1, 5)
        assert by(watch, UID) == []
        assert len(by(watch, UID + 1)) == 5
        assert watch.generation.counters().ignored == 25
        watch.generation.rules.remove(UID)
        run(runner, target, UID, 3)
        assert len(by(watch, UID)) == 3
        assert watch.generation.counters().ignored == 25


def test_only_some_users(runner: Runner, target: Path) -> None:
    with emptied() as watch:
        watch.generation.rules.set(UID, rule("this one", Action.RECORD))
        watch.generation.rules.set_default(rule("", Action.IGNORE))
        watch.read()
        before = len(watch.records)
        run(runner, target, UID + 1, 10)
        run(runner, target, UID, 4)
        watch.read()
        assert {record.uid for record in watch.by(lambda _: True)[before:]} == {UID}
        assert [record.message.rstrip(b"\0") for record in by(watch, UID)] == [b"this one"] * 4
        assert watch.generation.counters().ignored >= 10


def test_ignored_failures(runner: Runner, tracepoint_ids: Path) -> None:
    with emptied(replace(DEFAULT, failures=True)) as watch:
        watch.generation.rules.set(UID, rule("", Action.IGNORE))
        helper = runner.start("many", "/nonexistent", str(UID), "1").ready()
        helper.go()
        assert helper.end() == 2
        assert watch.generation.counters().ignored == 1
        assert watch.by(lambda one: one.uid == UID) == []


def test_a_full_ring(runner: Runner, target: Path) -> None:
    with emptied(replace(DEFAULT, ring_size=16 << 10)) as watch:
        run(runner, target, UID, 200)
        counted = watch.generation.counters()
        assert counted.lost >= 100
        assert 0 < counted.ring_fill <= 16 << 10
        assert 0 < len(by(watch, UID)) < 100


def test_after_a_full_ring_was_read_there_is_room(runner: Runner, target: Path) -> None:
    with emptied(replace(DEFAULT, ring_size=16 << 10)) as watch:
        run(runner, target, UID, 200)
        watch.read()
        full = len(by(watch, UID))
        lost = watch.generation.counters().lost
        run(runner, target, UID, 3)
        assert len(by(watch, UID)) == full + 3
        assert watch.generation.counters().lost == lost


@pytest.mark.parametrize("failures", [False, True])
def test_execs_on_all_cpus_at_once(
    failures: bool, runner: Runner, target: Path, tracepoint_ids: Path
) -> None:
    """Programs that interrupt each other lose no count."""
    with emptied(replace(DEFAULT, failures=failures)) as watch:
        for i in range(6):
            watch.generation.rules.set(UID + i, rule("", Action.RECORD))
        watch.generation.rules.set_default(rule("", Action.IGNORE))  # others may be busy too
        helpers = [runner.start("many", target, str(UID + i), "100").ready() for i in range(6)]
        for helper in helpers:
            helper.go()
        for helper in helpers:
            assert helper.end() == 0
        assert sum(len(by(watch, UID + i)) for i in range(6)) == 600 - skipped(watch)


def test_what_the_first_program_did_not_see_the_second_does(runner: Runner, target: Path) -> None:
    """As where the kernel preempts the first, and another exec finds it running; here it isn't attached."""
    with emptied() as watch:
        rules = watch.generation.rules
        rules.set_default(rule("", Action.IGNORE))
        rules.set(UID, rule("this one", Action.RECORD))
        rules.set(UID + 2, rule("", Action.RECORD, 1))
        run(runner, target, UID, 30)
        assert retried(watch) == 0  # nothing is seen twice
        os.close(watch.generation.fds.pop("link.sched_process_exec"))
        time.sleep(0.1)  # until the kernel has let go of it
        before = retried(watch)
        run(runner, target, UID, 30)
        run(runner, target, UID + 1, 40)
        run(runner, target, UID + 2, 20)
        assert retried(watch) - before >= 90
        found = by(watch, UID)
        assert len(found) == 60
        (same,) = {(one.flags, one.comm, one.new_comm, one.message, one.argv) for one in found}
        assert same[0] & Flag.HAS_COMM
        assert by(watch, UID + 1) == []
        assert len(by(watch, UID + 2)) + watch.generation.suppressed() == 20
        assert watch.generation.counters().lost == 0


def skipped(watch: Watch) -> int:
    """Execs that are lost since the kernel preempted all programs: none, where it never does."""
    watch.generation.counters()
    time.sleep(1.5 * counting._IN_FLIGHT)
    lost = watch.generation.counters().lost
    assert lost == watch.generation.missed()
    assert lost == 0 or linux() >= (7, 0)
    return lost


def retried(watch: Watch) -> int:
    """Execs that the second program saw."""
    return watch.generation._counting.now().retried

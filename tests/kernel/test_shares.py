# SPDX-License-Identifier: GPL-2.0-or-later
"""A flood of execs takes no more than its share of a ring that nobody reads: what others execute finds room.

The default rule ignores, so that the machine's other execs take none. Each flood is larger than the ring.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from execwatchd.kernel.buckets import CONTAINERS, SHARED
from execwatchd.kernel.layout import SCHEMA, record_head
from execwatchd.kernel.libbpf import Pointer
from execwatchd.kernel.options import MIB, Options
from execwatchd.shared.rules import Action
from execwatchd.stream.decode import Record
from tests.fakes.rules import rule
from tests.kernel.test_counters import UID, emptied, run
from tests.kernel.watch import DEFAULT, Runner, Watch

RING = 2 * MIB
OPTIONS = replace(DEFAULT, ring_size=RING)
LONG = "\x01" * 4000  # an argument
SIZE = record_head(SCHEMA).size + len(LONG)  # of a record with it, at least
FLOOD = 600  # execs with it
COUNT = 60  # ordinary execs of another user
OTHER = UID + 100
FIRST = 300000  # of subordinate UIDs
FLOODERS = [UID + i for i in range(4)]
ROOT = 0

Flood = Callable[..., None]


@contextmanager
def recording(*uids: int, options: Options = OPTIONS) -> Iterator[Watch]:
    """Only what these users and the other one execute. In the end each loss is some user's."""
    with emptied(options) as watch:
        watch.generation.rules.set_default(rule("", Action.IGNORE))
        for uid in (*uids, OTHER):
            watch.generation.rules.set(uid, rule("", Action.RECORD))
        yield watch
        counted = watch.generation.counters().lost - watch.generation.missed()
        assert counted == sum(lost(watch).values())


def lost(watch: Watch) -> dict[int, int]:
    buckets = watch.generation.buckets.buckets()
    return {uid: bucket.lost for uid, bucket in buckets.items() if bucket.lost}


def recorded(watch: Watch, target: Path) -> Callable[[int], list[Record]]:
    """By UID; whatever root's other processes execute doesn't count."""
    records = watch.by(lambda record: record.filename == bytes(target) + b"\0")
    return lambda uid: [record for record in records if record.uid == uid]


@pytest.fixture
def flood(runner: Runner, target: Path) -> Flood:
    """FLOOD execs by each of these users, all at once."""

    def run_all(*uids: int) -> None:
        helpers = [runner.start("many", target, *map(str, (uid, FLOOD, uid)), LONG).ready() for uid in uids]
        for helper in helpers:
            helper.go()
        for helper in helpers:
            assert helper.end() == 0

    return run_all


def subordinates(runner: Runner, target: Path, maker: int, count: int, argument: str) -> None:
    """An exec by each of so many UIDs of a user namespace; inside, the effective UID is 0."""
    arguments = (maker, FIRST, count, 1, 0)
    helper = runner.start("subordinate", target, *map(str, arguments), argument).ready()
    helper.go()
    assert helper.end() == 0


@pytest.mark.parametrize("flooders", [FLOODERS[:1], FLOODERS], ids=["one", "four"])
def test_others_find_room_in_a_flood(flooders: list[int], flood: Flood, runner: Runner, target: Path) -> None:
    with recording(*flooders) as watch:
        flood(*flooders)
        run(runner, target, OTHER, COUNT)
        by_uid = recorded(watch, target)
        assert len(by_uid(OTHER)) == COUNT
        assert {uid: FLOOD - len(by_uid(uid)) for uid in flooders} == lost(watch)
        assert all(by_uid(uid) for uid in flooders)
        assert sum(len(by_uid(uid)) for uid in flooders) * SIZE > RING // 2


def test_subordinate_uids_have_the_share_of_who_made_their_namespace(runner: Runner, target: Path) -> None:
    with recording(UID) as watch:
        subordinates(runner, target, UID, FLOOD, LONG)
        run(runner, target, OTHER, COUNT)
        assert len(recorded(watch, target)(OTHER)) == COUNT
        assert lost(watch).keys() == {UID}
        assert watch.generation.buckets.buckets().keys() == {SHARED, UID, OTHER}


def test_containers_share_a_share(runner: Runner, target: Path) -> None:
    """The UIDs of a user namespace that root made have neither root's nor one each."""
    with recording() as watch:
        for i in range(FLOOD):
            watch.generation.rules.set(FIRST + i, rule("", Action.RECORD))
        subordinates(runner, target, ROOT, FLOOD, LONG)
        run(runner, target, OTHER, COUNT)
        assert len(recorded(watch, target)(OTHER)) == COUNT
        assert lost(watch).keys() == {CONTAINERS}
        assert watch.generation.buckets.buckets().keys() == {SHARED, CONTAINERS, OTHER}


def test_many_uids_that_nobody_is_charged_for(runner: Runner, target: Path) -> None:
    """As by set-UID files of subordinate UIDs. Whatever their number, UIDs below 65,536 find room."""
    flooders = [FIRST + i for i in range(40)]
    with recording(*flooders) as watch:
        for uid in flooders:
            helper = runner.start("many", target, *map(str, (uid, FLOOD // 20, uid)), LONG).ready()
            helper.go()
            assert helper.end() == 0
        run(runner, target, OTHER, COUNT)
        by_uid = recorded(watch, target)
        assert len(by_uid(OTHER)) == COUNT
        assert sum(len(by_uid(uid)) for uid in flooders) * SIZE > RING // 2


def test_a_flood_of_roots(flood: Flood, runner: Runner, target: Path) -> None:
    with recording(ROOT) as watch:
        flood(ROOT)
        run(runner, target, OTHER, COUNT)
        assert len(recorded(watch, target)(OTHER)) == COUNT
        assert lost(watch).keys() == {ROOT}


def test_a_quarter_is_roots(flood: Flood) -> None:
    """Less what root's other processes executed meanwhile."""
    with recording(ROOT, *FLOODERS) as watch:
        flood(*FLOODERS)
        before = watch.generation.ring_fill()
        assert before <= RING * 3 // 4
        flood(ROOT)
        assert (
            RING * 7 // 32 < watch.generation.ring_fill() - before <= RING // 4 + 2 * SIZE
        )  # the last record may exceed it
        assert lost(watch)[ROOT] > 0


def test_below_half_nobody_is_refused(runner: Runner, target: Path) -> None:
    """And nothing is charged."""
    with recording(UID) as watch:
        helper = runner.start("many", target, *map(str, (UID, RING // 2 // 5000, UID)), LONG).ready()
        helper.go()
        assert helper.end() == 0
        assert len(recorded(watch, target)(UID)) == RING // 2 // 5000
        assert watch.generation.buckets.buckets().keys() == {SHARED}


def test_a_ring_that_was_read_is_free(flood: Flood, target: Path) -> None:
    with recording(UID) as watch:
        for _ in range(3):
            before = len(recorded(watch, target)(UID))
            flood(UID)
            assert (len(recorded(watch, target)(UID)) - before) * SIZE > RING // 2


def test_a_slow_reader(runner: Runner, flood: Flood, target: Path) -> None:
    """What is charged is forgotten with what was read: both users go on, and neither is shut out."""
    with recording(UID) as watch:
        flood(UID)
        refused = lost(watch)[UID]
        for _ in range(20):
            read_some(watch, 25)
            helper = runner.start("many", target, *map(str, (UID, 50, UID)), LONG).ready()
            helper.go()
            assert helper.end() == 0
            run(runner, target, OTHER, COUNT // 20)
        by_uid = recorded(watch, target)
        assert len(by_uid(OTHER)) == COUNT
        passed = FLOOD + 20 * 50 - lost(watch)[UID]
        assert len(by_uid(UID)) == passed
        assert passed - (FLOOD - refused) > 300


def read_some(watch: Watch, count: int) -> None:
    """The first records of the ring, which stays open for the others."""
    left = count

    def take(_context: object, pointer: Pointer, size: int) -> int:
        nonlocal left
        watch.records.append(pointer[:size])
        left -= 1
        return 0 if left else -1

    ring = watch.generation.open_ring(take)
    ring.consume()
    ring.close()


def test_failed_execs_and_ends_have_a_share_too(
    flood: Flood, runner: Runner, target: Path, tracepoint_ids: Path
) -> None:
    with recording(UID, options=replace(OPTIONS, failures=True, exits=True)) as watch:
        flood(UID)
        before = lost(watch)[UID]
        for _ in range(10):
            helper = runner.start("many", "/nonexistent", *map(str, (UID, 1, UID)), LONG).ready()
            helper.go()
            assert helper.end() == 2
        assert lost(watch) == {UID: before + 10}
        run(runner, target, OTHER, COUNT)
        assert len(watch.by(lambda record: record.uid == OTHER and not record.end)) == COUNT
        assert len(watch.by(lambda record: record.uid == OTHER and bool(record.end))) == COUNT

# SPDX-License-Identifier: GPL-2.0-or-later
"""A limit holds back what exceeds it, user by user, and counts exactly what it held back.

A limit of one a second, or so, is not reached again while a test runs its execs: so the numbers are exact
whatever the machine's speed. Where a second may go by, the expected numbers come from the records themselves.
"""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from execwatchd.kernel import layout
from execwatchd.kernel.buckets import SHARED, Bucket, Buckets, FormerBuckets, Report
from execwatchd.kernel.c_source import directory
from execwatchd.kernel.generation import Generation
from execwatchd.kernel.ledger import Page
from execwatchd.kernel.libbpf import Map
from execwatchd.shared.rules import Action
from tests.fakes.rules import rule
from tests.kernel.test_counters import UID, by, emptied, run
from tests.kernel.watch import DEFAULT, NoStore, Runner, Watch

SECOND = 10**9


def suppressed(watch: Watch, uid: int) -> int:
    return watch.generation.buckets.buckets().get(uid, Bucket()).suppressed


def admitted(times: list[int], limit: int) -> bool:
    """No token bucket of this limit, full in the beginning, would have refused one of these."""
    return all(
        later - earlier >= (j - i - limit) * (SECOND // limit)
        for i, earlier in enumerate(times)
        for j, later in enumerate(times[i:], i)
    )


def test_a_burst_of_the_limit_passes_and_the_rest_is_suppressed(runner: Runner, target: Path) -> None:
    with emptied() as watch:
        watch.generation.rules.set(UID, rule("", Action.RECORD, 20))
        run(runner, target, UID, 120)
        times = [record.timestamp for record in by(watch, UID)]
        assert admitted(times, 20)
        assert len(times) >= 20
        assert len(times) + suppressed(watch, UID) == 120
        assert (
            watch.generation.counters().ignored == watch.generation.suppressed() == suppressed(watch, UID) > 0
        )
        assert watch.generation.buckets.buckets()[UID].limit == 20


def test_tokens_come_back(runner: Runner, target: Path) -> None:
    """A storm of more than a second: one token comes each tenth of a second, none is taken for nothing."""
    with emptied() as watch:
        watch.generation.rules.set(UID, rule("", Action.RECORD, 10))
        count, times = 0, [0]
        while times[-1] - times[0] < 2 * SECOND:
            run(runner, target, UID, 20)
            count += 20
            times = [record.timestamp for record in by(watch, UID)]
        assert admitted(times, 10)
        assert len(times) >= 10 + 20
        assert len(times) + suppressed(watch, UID) == count


def test_users_have_a_bucket_each(runner: Runner, target: Path) -> None:
    with emptied() as watch:
        rules = watch.generation.rules
        rules.set_default(rule("", Action.IGNORE))
        rules.set(UID, rule("", Action.RECORD, 1))
        rules.set(UID + 1, rule("", Action.RECORD, 100000))
        rules.set(UID + 2, rule("", Action.RECORD))
        for i in range(3):
            run(runner, target, UID + i, 40)
        assert len(by(watch, UID)) + suppressed(watch, UID) == 40
        assert suppressed(watch, UID) > 30
        assert [len(by(watch, UID + i)) for i in (1, 2)] == [40, 40]
        assert watch.generation.buckets.buckets().keys() == {SHARED, UID, UID + 1}


def test_the_default_limit_is_for_each_user_alone(runner: Runner, target: Path) -> None:
    with emptied() as watch:
        watch.generation.rules.set_default(rule("", Action.RECORD, 3))
        for uid in (UID, UID + 1):
            run(runner, target, uid, 30)
        for uid in (UID, UID + 1):
            assert len(by(watch, uid)) >= 3
            assert len(by(watch, uid)) + suppressed(watch, uid) == 30
        before = suppressed(watch, UID)
        watch.generation.rules.set(UID, rule("", Action.RECORD))
        seen = len(by(watch, UID))
        run(runner, target, UID, 30)
        assert (len(by(watch, UID)), suppressed(watch, UID)) == (seen + 30, before)


def test_failures_count_too(runner: Runner, tracepoint_ids: Path) -> None:
    with emptied(replace(DEFAULT, failures=True)) as watch:
        watch.generation.rules.set(UID, rule("", Action.RECORD, 1))
        for _ in range(5):
            helper = runner.start("many", "/nonexistent", str(UID), "1").ready()
            helper.go()
            assert helper.end() == 2
        failed = watch.by(lambda one: one.uid == UID)
        assert {one.result for one in failed} == {-2}
        assert len(failed) + suppressed(watch, UID) == 5
        assert suppressed(watch, UID) > 0


def test_what_is_ignored_takes_no_token(runner: Runner, target: Path) -> None:
    with emptied() as watch:
        watch.generation.rules.set(UID, rule("", Action.IGNORE, 1))
        run(runner, target, UID, 10)
        assert UID not in watch.generation.buckets.buckets()
        assert (watch.generation.suppressed(), watch.generation.counters().ignored) == (0, 10)


@pytest.mark.parametrize("limit", [1, 50])
def test_storms_on_all_cpus_at_once(limit: int, runner: Runner, target: Path) -> None:
    """One user on all CPUs: nothing held back is missed, and hardly one too many passes."""
    storms, each = 6, 150
    with emptied() as watch:
        watch.generation.rules.set_default(rule("", Action.IGNORE))
        watch.generation.rules.set(UID, rule("", Action.RECORD, limit))
        helpers = [runner.start("many", target, str(UID), str(each)).ready() for _ in range(storms)]
        for helper in helpers:
            helper.go()
        for helper in helpers:
            assert helper.end() == 0
        times = sorted(record.timestamp for record in by(watch, UID))
        assert len(times) + suppressed(watch, UID) == storms * each
        assert suppressed(watch, UID) == watch.generation.suppressed()
        lasted = times[-1] - times[0]
        assert len(times) <= limit + lasted * limit // SECOND + 1 + storms


def test_a_bucket_that_is_let_go_says_what_it_suppressed(runner: Runner, target: Path) -> None:
    with emptied() as watch:
        buckets = watch.generation.buckets
        watch.generation.rules.set_default(rule("", Action.IGNORE))
        watch.generation.rules.set(UID, rule("", Action.RECORD, 1))
        run(runner, target, UID, 20)
        passed = len(by(watch, UID))
        assert buckets.remove(UID).suppressed == 20 - passed > 0
        assert UID not in buckets.buckets()
        assert buckets.remove(UID) == Bucket()
        run(runner, target, UID, 1)
        assert len(by(watch, UID)) == passed + 1


def fill(watch: Watch, name: str, first: int, free: int) -> None:
    """All of a map of buckets but these."""
    kernel = Map(watch.generation.fds[name])
    for i in range(layout.MAX_BUCKETS - len(list(kernel.keys())) - free):
        kernel.set((first + i).to_bytes(4, sys.byteorder), layout.BUCKET.pack(*Bucket()))


def test_users_beyond_the_last_bucket_share_one(runner: Runner, target: Path) -> None:
    first = 300000
    with emptied() as watch:
        rules, buckets = watch.generation.rules, watch.generation.buckets
        rules.set_default(rule("", Action.IGNORE))
        for i in range(3):
            rules.set(first + i, rule("", Action.RECORD, 1))
        fill(watch, "map.subuid_buckets", first + 10, free=1)
        for i in range(3):
            run(runner, target, first + i, 10)
        shared = [len(by(watch, first + i)) for i in (1, 2)]
        assert sum(shared) + suppressed(watch, SHARED) == 20
        assert suppressed(watch, SHARED) > 10
        assert suppressed(watch, first) > 0
        assert not {first + 1, first + 2} & buckets.buckets().keys()


def test_who_has_many_uids_takes_no_room_of_others(runner: Runner, target: Path) -> None:
    """Every bucket that subordinate UIDs may have is taken, and the one that they share is empty."""
    first, others = 300000, (UID, 65535)
    with emptied() as watch:
        rules = watch.generation.rules
        rules.set_default(rule("", Action.IGNORE))
        for uid in (first, *others, 0):
            rules.set(uid, rule("", Action.RECORD, 1))
        fill(watch, "map.subuid_buckets", first + 10, free=0)
        run(runner, target, first, 10)
        shared = suppressed(watch, SHARED)
        assert shared > 0
        for uid in others:
            run(runner, target, uid, 10)
            assert len(by(watch, uid)) > 0
            assert len(by(watch, uid)) + suppressed(watch, uid) == 10
        assert suppressed(watch, SHARED) == shared
        assert 0 in watch.generation.buckets.buckets()


@pytest.mark.parametrize("depth", [1, 3])
def test_subordinate_uids_are_charged_to_who_made_the_namespace(
    depth: int, runner: Runner, target: Path
) -> None:
    """Whatever their number, and by the limit of that user: theirs doesn't count."""
    first, count = 300000, 40
    with emptied() as watch:
        rules = watch.generation.rules
        rules.set_default(rule("", Action.RECORD))
        rules.set(UID, rule("", Action.RECORD, 1))
        rules.set(first + 1, rule("", Action.RECORD, 100000))
        helper = runner.start("subordinate", target, str(UID), str(first), str(count), str(depth)).ready()
        helper.go()
        assert helper.end() == 0
        passed = watch.by(lambda one: first <= one.uid < first + count)
        assert len(passed) + suppressed(watch, UID) == count
        assert suppressed(watch, UID) > count // 2
        assert watch.generation.buckets.buckets().keys() == {SHARED, UID}


def test_in_a_namespace_that_root_made_each_uid_counts_alone(runner: Runner, target: Path) -> None:
    first, count = 300000, 20
    with emptied() as watch:
        watch.generation.rules.set_default(rule("", Action.IGNORE))
        for i in range(count):
            watch.generation.rules.set(first + i, rule("", Action.RECORD, 1))
        helper = runner.start("subordinate", target, "0", str(first), str(count), "2").ready()
        helper.go()
        assert helper.end() == 0
        uids = {first + i for i in range(count)}
        assert {one.uid for one in watch.by(lambda one: one.uid in uids)} == uids
        assert watch.generation.suppressed() == 0
        assert watch.generation.buckets.buckets().keys() == {SHARED, *uids}


def test_a_user_in_anothers_namespace_counts_alone(runner: Runner, target: Path) -> None:
    """UIDs that nobody has in numbers are never charged to another, as root's who looks into a container."""
    with emptied() as watch:
        watch.generation.rules.set_default(rule("", Action.IGNORE))
        for uid in (UID, UID + 1):
            watch.generation.rules.set(uid, rule("", Action.RECORD, 1))
        helper = runner.start("subordinate", target, str(UID), str(UID + 1), "1", "1").ready()
        helper.go()
        assert helper.end() == 0
        assert [one.uid for one in watch.by(lambda one: one.uid == UID + 1)] == [UID + 1]
        assert watch.generation.buckets.buckets().keys() == {SHARED, UID + 1}


def test_what_was_not_told_is_carried_to_a_successor() -> None:
    """Over one or two predecessors, the second of which had not settled; and done twice, as after a kill."""
    made = [Generation.load(i, directory(), DEFAULT, Page(settled=int(i == 0))) for i in range(3)]
    try:
        first, second, third = (one.buckets for one in made)
        kernels = [Map(one.fds["map.buckets"]) for one in made]
        key = UID.to_bytes(4, sys.byteorder)
        kernels[0].set(key, layout.BUCKET.pack(*Bucket(suppressed=100, created=5, limit=7, lost=20)))
        assert first.reports() == {}
        report = Report(created=5, reported=60, storm_total=50, draft=10, draft_at=99, draft_kind=2, active=1)
        first.report(UID, report.with_losses(12))
        second.carry([(first, True)])
        carried = report._replace(created=0, reported=0, carried=40, limit=7).with_losses(-8)
        assert second.reports() == {UID: carried}
        kernels[1].set(key, layout.BUCKET.pack(*Bucket(suppressed=3, created=8, limit=9, lost=2)))
        for _ in range(2):
            third.carry([(first, True), (second, False)])
            assert third.reports() == {UID: carried._replace(carried=43, limit=9).with_losses(-10)}
    finally:
        for one in made:
            one.discard(NoStore())


@pytest.mark.parametrize(("reported", "losses"), [(99, -15), (100, -5)])
def test_a_report_of_losses_holds_from_the_ledgers_total_on(reported: int, losses: int) -> None:
    """Whether the entry was sent: a kill came before the ledger had it, or after."""
    made = Generation.load(1, directory(), DEFAULT, Page(settled=1))
    try:
        key = UID.to_bytes(4, sys.byteorder)
        kernel = Map(made.fds["map.buckets"])
        kernel.set(key, layout.BUCKET.pack(*Bucket(created=5, lost=20)))
        made.buckets.report(UID, Report(created=5, lost=5, lost_next=15, lost_from=100))
        former = FormerBuckets(made.fds, reported)
        bucket = former.buckets()[UID]
        assert former.reports()[UID].pending_losses(bucket) == -losses
        assert Buckets(made.fds, reported).reports() == former.reports()
        made.buckets.carry([(former, True)])
        assert made.buckets.reports()[UID] == Report().with_losses(losses)
    finally:
        made.discard(NoStore())

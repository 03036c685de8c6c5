# SPDX-License-Identifier: GPL-2.0-or-later
"""Storms over fake buckets: which entries come when, and that their counts add up whatever happens."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execwatchd.kernel.buckets import KERNEL, SHARED, Bucket, Report
from execwatchd.kernel.layout import FIRST_SUBORDINATE as SUBORDINATE
from execwatchd.shared.message_ids import MessageId
from execwatchd.stream.outbox import Outbox
from execwatchd.stream.storms import Storms
from tests.fakes.buckets import FakeBuckets
from tests.fakes.kernel import FakeJournal, KilledError
from tests.fakes.native import fields

NAMES = {
    MessageId.STORM_STARTED: "began",
    MessageId.STORM_CONTINUES: "goes on",
    MessageId.STORM_ENDED: "ended",
}
KINDS = {kind.value.encode(): name for kind, name in NAMES.items()}


class FakeProgram:
    def __init__(self, buckets: FakeBuckets) -> None:
        self.buckets = buckets
        self.suppressed = buckets.suppressed


class FakePrograms:
    def __init__(self, buckets: FakeBuckets) -> None:
        self.former: list[object] = []
        self.current = FakeProgram(buckets)


class Rig:
    """Storms with a clock of their own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int = 999) -> None:
        self.now = 1000.0
        monkeypatch.setattr("execwatchd.stream.storms.time.monotonic", lambda: self.now)
        monkeypatch.setattr("execwatchd.stream.storms.time.monotonic_ns", lambda: int(self.now * 1e9))
        self.maps = FakeBuckets()
        self.journal = FakeJournal(room)
        self.restart()

    def restart(self) -> None:
        self.programs = FakePrograms(self.maps)
        self.storms = Storms(self.programs, Outbox(self.journal))

    def look(self) -> None:
        self.now += 1
        self.storms.look()

    def report(self) -> None:
        self.now += 10
        self.storms.report()

    def entries(self) -> list[dict[str, Any]]:
        return [fields(datagram) for datagram in self.journal.entries]

    def told(self) -> list[tuple[int | None, str, int, int]]:
        """User, kind, count and the storm's total of each entry."""
        return [
            (
                int(one["EXECWATCH_UID"]) if "EXECWATCH_UID" in one else None,
                KINDS[one["MESSAGE_ID"]],
                int(one["EXECWATCH_SUPPRESSED"]),
                int(one["EXECWATCH_SUPPRESSED_TOTAL"]),
            )
            for one in self.entries()
        ]


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    return Rig(monkeypatch)


def test_nothing_suppressed_nothing_told(rig: Rig) -> None:
    rig.maps.kept[5] = Bucket(full_at=7, created=3)
    rig.look()
    rig.report()
    rig.storms.finish()
    assert (rig.told(), rig.maps.written) == ([], {})


def test_a_storm_from_begin_to_end(rig: Rig) -> None:
    rig.maps.hold_back(5, 3)
    rig.look()
    rig.maps.hold_back(5, 4)
    rig.look()
    rig.report()
    rig.maps.hold_back(5, 2)
    rig.report()
    rig.report()
    rig.report()
    assert rig.told() == [(5, "began", 3, 3), (5, "goes on", 4, 7), (5, "goes on", 2, 9), (5, "ended", 0, 9)]
    rig.maps.hold_back(5, 1)
    rig.look()
    assert rig.told()[4:] == [(5, "began", 1, 1)]


def test_what_an_entry_says(rig: Rig) -> None:
    rig.maps.hold_back(5, 3, limit=200)
    rig.look()
    (began,) = rig.entries()
    assert began["MESSAGE"] == b"UID 5: more than 200 execs a second, 3 were suppressed until now"
    assert (began["PRIORITY"], began["EXECWATCH_LIMIT"]) == (b"4", b"200")
    assert began["EXECWATCH_TIMESTAMP"] == b"1001000000000"


def test_an_entry_of_a_single_exec(rig: Rig) -> None:
    rig.maps.hold_back(5, 1, limit=1)
    rig.look()
    rig.report()
    assert [entry["MESSAGE"].decode() for entry in rig.entries()] == [
        "UID 5: more than 1 exec a second, 1 was suppressed until now",
        "UID 5: no more than 1 exec a second again, 1 was suppressed",
    ]


def test_what_an_entry_says_of_the_kernel(rig: Rig) -> None:
    rig.maps.hold_back(KERNEL, 3, limit=200)
    rig.look()
    (began,) = rig.entries()
    assert began["MESSAGE"].startswith(b"the kernel's own helpers: more than 200 execs a second, 3 were")
    assert began["EXECWATCH_BY_KERNEL"] == b"1"
    assert "EXECWATCH_UID" not in began


def test_users_have_a_storm_each(rig: Rig) -> None:
    rig.maps.hold_back(5, 3)
    rig.maps.hold_back(6, 1)
    rig.look()
    rig.maps.hold_back(6, 2)
    rig.report()
    assert rig.told() == [(5, "began", 3, 3), (6, "began", 1, 1), (5, "ended", 0, 3), (6, "goes on", 2, 3)]


def test_those_who_share_a_bucket_have_no_uid(rig: Rig) -> None:
    rig.maps.hold_back(SHARED, 3)
    rig.look()
    assert rig.told() == [(None, "began", 3, 3)]
    assert rig.entries()[0]["MESSAGE"].startswith(b"users beyond the number that has room: more than 5 ")


def test_looks_are_a_second_apart_and_miss_nothing(rig: Rig) -> None:
    rig.maps.hold_back(5, 1)
    rig.look()
    rig.maps.hold_back(6, 1)
    rig.storms.look()
    assert rig.told() == [(5, "began", 1, 1)]
    rig.look()
    assert rig.told() == [(5, "began", 1, 1), (6, "began", 1, 1)]


def test_a_storm_that_no_look_saw_is_told_all_the_same(rig: Rig) -> None:
    rig.maps.hold_back(5, 7)
    rig.report()
    rig.report()
    assert rig.told() == [(5, "began", 7, 7), (5, "ended", 0, 7)]


def test_the_end_of_the_daemon_tells_all(rig: Rig) -> None:
    rig.maps.hold_back(5, 1)
    rig.look()
    rig.maps.hold_back(5, 2)
    rig.maps.hold_back(6, 3)
    rig.storms.finish()
    assert rig.told() == [(5, "began", 1, 1), (5, "ended", 2, 3), (6, "began", 3, 3), (6, "ended", 0, 3)]


def test_a_stalled_journal_gets_it_later(rig: Rig) -> None:
    rig.journal.room = 0
    rig.maps.hold_back(5, 1)
    rig.look()
    rig.maps.hold_back(5, 2)
    rig.report()
    assert rig.told() == []
    rig.journal.room = 99
    rig.report()
    rig.report()
    rig.report()
    assert rig.told() == [(5, "began", 1, 1), (5, "goes on", 2, 3), (5, "ended", 0, 3)]


def test_predecessors_wait_until_the_books_have_them(rig: Rig) -> None:
    rig.programs.former.append(object())
    rig.maps.hold_back(5, 1)
    rig.look()
    rig.report()
    assert rig.told() == []
    rig.maps.written[5] = Report(carried=4, limit=9)  # settled
    rig.maps.written[7] = Report(carried=2, storm_total=8, active=1, limit=9)
    rig.programs.former.clear()
    rig.look()
    rig.report()
    assert rig.told() == [(5, "began", 5, 5), (5, "ended", 0, 5), (7, "goes on", 2, 10)]
    rig.report()
    assert rig.told()[3:] == [(7, "ended", 0, 10)]
    rig.report()
    assert rig.maps.written.keys() == {5}  # of the other there is no bucket


def test_a_storm_goes_on_over_a_restart(rig: Rig) -> None:
    rig.maps.hold_back(5, 1)
    rig.look()
    rig.maps.hold_back(5, 2)
    rig.restart()
    rig.look()
    rig.report()
    assert rig.told() == [(5, "began", 1, 1), (5, "goes on", 2, 3)]


def test_room_is_made_where_all_was_told(rig: Rig) -> None:
    rig.maps.hold_back(1, 1)
    rig.look()
    for uid in range(2, 7):
        rig.maps.kept[uid] = Bucket(created=uid)
    rig.maps.kept[7] = Bucket(created=7, full_at=int(rig.now * 1e9))
    rig.report()
    assert rig.maps.kept.keys() == {SHARED, 7}
    rig.maps.hold_back(1, 4)
    rig.look()
    assert rig.told() == [(1, "began", 1, 1), (1, "ended", 0, 1), (1, "began", 4, 4)]


def test_no_room_is_made_of_what_the_ring_needs(rig: Rig) -> None:
    """Of users who had a share of it a moment ago, or whose losses were not reported yet."""
    for uid in range(1, 7):
        rig.maps.kept[uid] = Bucket(created=uid)
    rig.maps.kept[7] = Bucket(created=7, contended=int(rig.now * 1e9))
    rig.maps.lose(8)
    rig.report()
    assert rig.maps.kept.keys() == {SHARED, 7, 8}


def test_a_storm_ends_after_ten_quiet_seconds_and_not_before(rig: Rig) -> None:
    rig.now += 4.5
    rig.maps.hold_back(5, 3)
    rig.storms.look()
    rig.now += 5.5
    rig.storms.report()  # ten seconds after the last call, but not after the last exec
    assert rig.told() == [(5, "began", 3, 3)]
    rig.maps.hold_back(5, 1)
    rig.report()
    rig.now += 9.99
    rig.storms.report()
    assert rig.told()[1:] == [(5, "goes on", 1, 4)]
    rig.report()
    assert rig.told()[2:] == [(5, "ended", 0, 4)]


def test_many_subordinate_uids_take_no_room_of_others(rig: Rig) -> None:
    """Theirs may all be busy: nobody else's goes for them, and theirs at rest do."""
    busy = int(rig.now * 1e9) + 10**12
    others = {uid: Bucket(created=uid % 99 + 1) for uid in (0, 33, 1000, SUBORDINATE - 1, KERNEL)}
    rig.maps.kept |= others
    many = range(SUBORDINATE, SUBORDINATE + 7)
    rig.maps.kept |= {uid: Bucket(created=uid, full_at=busy if uid % 2 else 0) for uid in many}
    rig.report()
    assert rig.maps.kept.keys() == {SHARED, *others, *(uid for uid in many if uid % 2)}


def test_what_is_suppressed_while_room_is_made_is_told(rig: Rig) -> None:
    for uid in range(1, 9):
        rig.maps.kept[uid] = Bucket(created=uid)
    rig.maps.before_removal = lambda uid: rig.maps.hold_back(uid, 2, limit=1) if uid == 3 else None
    rig.report()
    assert rig.maps.kept.keys() == {SHARED}
    rig.maps.hold_back(3, 4)
    rig.report()
    assert rig.told() == [(3, "began", 6, 6)]
    rig.report()
    assert rig.told()[1:] == [(3, "ended", 0, 6)]


def test_what_is_lost_while_room_is_made_is_carried_over(rig: Rig) -> None:
    for uid in range(1, 9):
        rig.maps.kept[uid] = Bucket(created=uid)
    rig.maps.before_removal = lambda uid: rig.maps.lose(uid, 2) if uid == 3 else None
    rig.report()
    assert rig.maps.kept.keys() == {SHARED}
    assert rig.maps.written == {3: Report().with_losses(-2)}
    rig.maps.lose(3, 4)
    bucket = rig.maps.kept[3]
    assert rig.maps.written[3].of(bucket).pending_losses(bucket) == 6


UIDS = st.integers(1, 3)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("hold_back"), UIDS, st.integers(1, 5)),
        st.tuples(st.just("look")),
        st.tuples(st.just("report")),
        st.tuples(st.just("restart")),
        st.tuples(st.just("room"), st.integers(0, 3)),
        st.tuples(st.just("kill"), st.integers(0, 6)),
    ),
    max_size=30,
)


@given(STEPS)
def test_the_sum_is_exact_whatever_happens(steps: list[tuple[Any, ...]]) -> None:
    """Killed anywhere, stalled, restarted: the distinct entries tell of exactly what was suppressed."""
    suppressed = dict.fromkeys((1, 2, 3), 0)
    with pytest.MonkeyPatch.context() as patch:
        rig = Rig(patch)
        rig.maps.capacity = 3
        # no two entries of one user in the same nanosecond
        patch.setattr("execwatchd.stream.storms.time.monotonic_ns", itertools.count(10**12).__next__)
        countdown = [-1]

        def step() -> None:
            countdown[0] -= 1
            if countdown[0] == 0:
                raise KilledError

        rig.maps.step = rig.journal.step = step
        for name, *arguments in [*steps, ("room", 999), ("restart",), ("look",), ("report",), ("report",)]:
            try:
                match name, arguments:
                    case "hold_back", [uid, count]:
                        rig.maps.hold_back(uid, count)
                        suppressed[uid] += count
                    case "room", [room]:
                        rig.journal.room = room
                    case "kill", [after]:
                        countdown[0] = after
                    case _:
                        getattr(rig, name)()
            except KilledError:
                rig.restart()
        countdown[0] = -1
        rig.restart()
        rig.storms.finish()
        distinct = {(one["EXECWATCH_UID"], one["EXECWATCH_TIMESTAMP"]): one for one in rig.entries()}
        for datagram in rig.entries():
            assert datagram == distinct[datagram["EXECWATCH_UID"], datagram["EXECWATCH_TIMESTAMP"]]
        for uid, count in suppressed.items():
            told = [int(one["EXECWATCH_SUPPRESSED"]) for (of, _), one in distinct.items() if int(of) == uid]
            assert sum(told) == count

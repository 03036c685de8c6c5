# SPDX-License-Identifier: GPL-2.0-or-later
import itertools
from collections import Counter

import pytest

from execwatchd.kernel.buckets import CONTAINERS, KERNEL, SHARED, Report
from execwatchd.shared.message_ids import MessageId
from execwatchd.stream.losses import Losses
from execwatchd.stream.outbox import Outbox
from tests.fakes.buckets import FakeBuckets
from tests.fakes.kernel import FakeJournal, FakeSource, FakeSources, KilledError
from tests.fakes.native import fields

FULL = "the ring of 4096 KiB was full, or a user's share of it; raise ring_size"


class Rig:
    """Losses of a fake ring, told to a fake journal and as signals."""

    def __init__(
        self, room: int = 99, source: FakeSource | None = None, buckets: FakeBuckets | None = None
    ) -> None:
        self.source = source or FakeSource()
        self.sources = FakeSources(self.source)
        self.buckets = buckets or FakeBuckets()
        self.journal = FakeJournal(room)
        self.signals: list[int] = []
        self.losses = Losses(self.sources, self.buckets, Outbox(self.journal), self.signals.append)

    def lose(self, *uids: int) -> None:
        """An exec of each of these users."""
        self.source.lose(len(uids))
        for uid in uids:
            self.buckets.lose(uid)

    def by_user(self) -> list[str]:
        """Who lost what, by entry."""
        entries = map(fields, self.journal.entries)
        return [entry.get("EXECWATCH_LOST_UIDS", b"").decode() for entry in entries]

    def told(self) -> list[int]:
        """The counts in the journal."""
        return [int(fields(datagram)["EXECWATCH_LOST"]) for datagram in self.journal.entries]


def test_nothing_lost_nothing_told() -> None:
    rig = Rig()
    rig.source.ignore(3)
    rig.losses.report()
    assert (rig.told(), rig.signals) == ([], [])


def test_each_loss_is_told_once() -> None:
    rig = Rig()
    rig.source.lose(3)
    rig.losses.report()
    rig.losses.report()
    rig.source.lose(4)
    rig.losses.report()
    assert rig.told() == rig.signals == [3, 4]


def test_what_is_told() -> None:
    rig = Rig()
    rig.source.lose(1234)
    rig.losses.report()
    (found,) = map(fields, rig.journal.entries)
    assert found["MESSAGE_ID"] == MessageId.EVENTS_LOST.value.encode()
    assert found["PRIORITY"] == b"4"
    assert found["MESSAGE"].startswith(b"1234 execs were not recorded: the ring of 4096 KiB was full")


@pytest.mark.parametrize(
    ("lost", "unended", "text"),
    [
        (7, 0, f"7 execs or ends were not recorded: {FULL}"),
        (7, 7, "7 execs or ends were not recorded: 7 processes ended unseen, or were too many to watch"),
        (
            7,
            2,
            f"7 execs or ends were not recorded: {FULL}; 2 processes ended unseen, or were too many to watch",
        ),
    ],
)
def test_what_is_told_where_ends_are_recorded(lost: int, unended: int, text: str) -> None:
    rig = Rig()
    rig.sources.attached.append("sched_process_exit")
    rig.source.lose(lost)
    rig.sources.unended_count = unended
    rig.losses.report()
    rig.source.lose(1)
    rig.losses.report()
    first, second = (fields(datagram)["MESSAGE"].decode() for datagram in rig.journal.entries)
    assert first == text
    assert second == f"1 exec or end was not recorded: {FULL}"


def test_a_single_loss_of_each_kind() -> None:
    rig = Rig()
    books = rig.source.ledger
    rig.sources.attached.append("sched_process_exit")
    rig.sources.unended_count = 1
    rig.source.lose(1)
    rig.losses.report()
    rig.sources.missed_count = 1
    rig.source.lose(1)
    rig.losses.report()
    rig.sources.attached.pop()
    books.commit(books.page._replace(malformed=1))
    rig.losses.report()
    assert [fields(datagram)["MESSAGE"].decode() for datagram in rig.journal.entries] == [
        "1 exec or end was not recorded: 1 process ended unseen, or was one too many to watch",
        "1 exec or end was not recorded: 1 came while the program was interrupted on its CPU",
        "1 exec was not recorded: 1 could not be read, as the log says",
    ]


def test_what_no_larger_ring_would_have_kept() -> None:
    rig = Rig()
    books = rig.source.ledger
    for missed, malformed, lost, told in (
        (3, 0, 3, "3 execs were not recorded: 3 came while the program was interrupted on their CPU"),
        (3, 2, 0, "2 execs were not recorded: 2 could not be read, as the log says"),
        (
            5,
            2,
            7,
            f"7 execs were not recorded: {FULL}; 2 came while the program was interrupted on their CPU",
        ),
    ):
        rig.sources.missed_count = missed
        books.commit(books.page._replace(malformed=malformed))
        rig.source.lose(lost)
        rig.losses.report()
        assert fields(rig.journal.entries[-1])["MESSAGE"].decode() == told
    assert rig.told() == [3, 2, 7]


def test_what_came_back_unreadable_has_a_cause_of_its_own() -> None:
    rig = Rig()
    for unread, lost, told in (
        (3, 3, "3 execs were not recorded: 3 came back unreadable from the file descriptor store"),
        (3, 2, f"2 execs were not recorded: {FULL}"),
    ):
        rig.sources.unread_count = unread
        rig.source.lose(lost)
        rig.losses.report()
        assert fields(rig.journal.entries[-1])["MESSAGE"].decode() == told


def test_what_a_stalled_journal_refused_is_told_later_in_one() -> None:
    rig = Rig(room=0)
    rig.source.lose(3)
    rig.losses.report()
    rig.source.lose(4)
    rig.losses.report()
    assert rig.signals == []
    rig.journal.room = 9
    rig.losses.report()
    assert rig.told() == rig.signals == [7]


def test_a_kill_tells_twice_rather_than_never() -> None:
    rig = Rig()
    rig.source.lose(3)

    def kill() -> None:
        raise KilledError

    rig.source.step = kill
    with pytest.raises(KilledError):
        rig.losses.report()
    rig.source.step = lambda: None
    rig.source.again()
    again = Rig(source=rig.source)
    again.losses.report()
    assert rig.told() + again.told() == [3, 3]
    third = Rig(source=rig.source)
    third.losses.report()
    assert third.told() == []


def test_the_losses_of_former_rings_wait_until_the_books_have_them() -> None:
    rig = Rig()
    rig.sources.former.append(FakeSource())
    rig.source.lose(3)
    rig.losses.report()
    assert rig.told() == []
    rig.sources.settle()
    rig.losses.report()
    assert rig.told() == [3]


def test_an_overload_without_end_is_told_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("execwatchd.stream.losses.time.monotonic", lambda: now)
    rig = Rig()
    rig.source.lose(3)
    for now, told in ((1029.0, []), (1031.0, [3]), (1060.0, [3]), (1062.0, [3, 4])):
        rig.losses.report_if_late()
        assert rig.told() == told
        if now == 1031.0:
            rig.source.lose(4)


def test_what_was_lost_before_this_start_has_no_cause_that_is_known_now() -> None:
    """A predecessor had not reported it: whether its ring was full, or the kernel skipped its program."""
    before = Rig()
    before.source.lose(3)
    rig = Rig(source=before.source)
    rig.losses.report()
    rig.source.lose(2)
    rig.losses.report()
    assert [fields(datagram)["MESSAGE"].decode() for datagram in rig.journal.entries] == [
        "3 execs were not recorded: 3 before this start, of a cause that was not noted",
        f"2 execs were not recorded: {FULL}",
    ]


def test_what_was_lost_before_and_after_the_start_is_one_entry() -> None:
    before = Rig()
    before.source.lose(3)
    rig = Rig(source=before.source)
    rig.source.lose(4)
    rig.losses.report()
    (entry,) = map(fields, rig.journal.entries)
    assert entry["MESSAGE"].decode() == (
        f"7 execs were not recorded: {FULL}; 3 before this start, of a cause that was not noted"
    )


def test_who_lost_what() -> None:
    rig = Rig()
    rig.lose(*[1000] * 3, *[KERNEL] * 2, 0, CONTAINERS)
    rig.losses.report()
    rig.lose(0, SHARED)
    rig.losses.report()
    first, second = (fields(datagram)["MESSAGE"].decode() for datagram in rig.journal.entries)
    assert first == (
        f"7 execs were not recorded: {FULL};"
        " by UID 1000: 3, the kernel's own helpers: 2, UID 0: 1, users in containers: 1"
    )
    assert second.endswith("; by UID 0: 1, users beyond the number that has room: 1")
    assert rig.by_user() == ["1000=3 kernel=2 0=1 containers=1", "0=1 unnamed=1"]


def test_eight_users_are_named() -> None:
    rig = Rig()
    rig.lose(*(uid for uid in range(1, 12) for _ in range(uid)))
    rig.losses.report()
    rig.losses.report()
    (entry,) = map(fields, rig.journal.entries)
    assert entry["EXECWATCH_LOST_UIDS"] == b"11=11 10=10 9=9 8=8 7=7 6=6 5=5 4=4 others=6"
    assert entry["MESSAGE"].endswith(b"UID 5: 5, UID 4: 4, others: 6")
    assert rig.told() == [66]


def test_what_the_ring_had_room_for_is_no_users_loss() -> None:
    rig = Rig()
    rig.lose(5)
    rig.source.lose(2)
    rig.sources.missed_count = 2
    rig.losses.report()
    assert (rig.told(), rig.by_user()) == ([3], ["5=1"])


def test_users_are_named_once_the_journal_takes_it() -> None:
    rig = Rig(room=0)
    rig.lose(5, 6)
    rig.losses.report()
    rig.lose(5)
    rig.losses.report()
    rig.journal.room = 9
    rig.losses.report()
    rig.lose(6)
    rig.losses.report()
    assert rig.by_user() == ["5=2 6=1", "6=1"]


def test_a_kill_at_any_step_leaves_every_users_count_exact() -> None:
    """It may come twice, then with the same counts; nothing else is counted twice, and nothing never."""
    for kill_at in itertools.count():
        steps = itertools.count()

        def step(steps: "itertools.count[int]" = steps, kill_at: int = kill_at) -> None:
            if next(steps) == kill_at:
                raise KilledError

        rig = Rig()
        rig.lose(5, 5, 6)
        rig.source.step = rig.buckets.step = rig.journal.step = step
        killed = False
        try:
            rig.losses.report()
        except KilledError:
            killed = True
        rig.source.step = rig.buckets.step = rig.journal.step = lambda: None
        rig.source.again()
        rig.buckets.again(rig.source.ledger.page.reported)
        again = Rig(source=rig.source, buckets=rig.buckets)
        again.losses.report()
        again.lose(6, 7)
        again.losses.report()
        entries = Counter(rig.by_user() + again.by_user())
        assert entries.keys() == {"5=2 6=1", "6=1 7=1"}
        assert entries["5=2 6=1"] in (1, 1 + killed)
        assert entries["6=1 7=1"] == 1
        if not killed:
            return


def test_a_loss_after_a_kill_before_the_entry_is_in_that_entry() -> None:
    rig = Rig(room=0)
    rig.lose(5)
    rig.losses.report()
    rig.buckets.again(rig.source.ledger.page.reported)
    again = Rig(source=rig.source, buckets=rig.buckets)
    again.lose(5, 5)
    again.losses.report()
    assert (again.told(), again.by_user()) == ([3], ["5=3"])


def test_reports_that_were_lost_name_no_more_than_was_lost() -> None:
    rig = Rig()
    rig.lose(5, 5, 5, 6)
    rig.losses.report()
    rig.buckets.written.clear()
    rig.lose(6)
    rig.losses.report()
    assert (rig.told(), rig.by_user()) == ([4, 1], ["5=3 6=1", "5=1"])


def test_what_is_carried_over_is_reported() -> None:
    """Of a predecessor, or of a bucket that was let go; a new one of that user counts on."""
    rig = Rig()
    rig.source.lose(3)
    rig.buckets.report(5, Report().with_losses(-3))
    rig.lose(5)
    rig.losses.report()
    rig.lose(5)
    rig.losses.report()
    assert rig.by_user() == ["5=4", "5=1"]

# SPDX-License-Identifier: GPL-2.0-or-later
"""Ring to journal over stalls, bad records and kills: nothing lost, nothing twice but what a kill doubles."""

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execwatchd.redaction.redactor import Redactor
from execwatchd.stream import drain
from execwatchd.stream.drain import PAUSE, Drain, Reader
from execwatchd.stream.outbox import Outbox
from tests.fakes.kernel import FakeJournal, FakeSource, FakeSources, KilledError
from tests.fakes.native import fields
from tests.fakes.records import pack, values

BAD = b"no record"


def record(number: int) -> bytes:
    return pack(values(pid=number))


def delivered(journal: FakeJournal) -> list[int]:
    """The execs in the journal, in its order."""
    found = map(fields, journal.entries)
    return [int(one["EXECWATCH_PID"]) for one in found if "EXECWATCH_PID" in one]


def assert_balanced(source: FakeSource) -> None:
    counted = source.counters()
    assert counted.ring_fill == 0
    assert counted.seen == counted.forwarded + counted.ignored + counted.lost


def read_all(reader: Reader, journal: FakeJournal, room: Callable[[], int] = lambda: 1 << 30) -> None:
    """Until the ring is empty; `room`: what the journal takes after a stall."""
    while not reader.read():
        if reader.stalled:
            journal.room = room()


class TestReader:
    def test_in_order_and_counted(self) -> None:
        source, journal = FakeSource(), FakeJournal()
        source.ignore(3)
        source.lose(2)
        source.exec(*map(record, range(1, 6)))
        reader = Reader(source, Outbox(journal))
        assert reader.read()
        assert (reader.stalled, reader.progress) == (False, True)
        assert delivered(journal) == [1, 2, 3, 4, 5]
        assert source.counters()[:4] == (10, 5, 3, 2)
        assert_balanced(source)
        assert reader.read()
        assert not reader.progress

    def test_a_stalled_journal_holds_one_and_leaves_the_others_in_the_ring(self) -> None:
        source, journal = FakeSource(), FakeJournal(room=2)
        source.exec(*map(record, range(1, 6)))
        reader = Reader(source, Outbox(journal))
        assert not reader.read()
        assert (reader.stalled, len(source.waiting)) == (True, 2)
        assert source.ledger.held() == record(3)
        assert source.counters().forwarded == 2
        for _ in range(3):
            assert not reader.read()
            assert (reader.stalled, reader.progress, len(source.waiting)) == (True, False, 2)
        journal.room = 9
        assert reader.read()
        assert not reader.stalled
        assert delivered(journal) == [1, 2, 3, 4, 5]
        assert_balanced(source)

    def test_what_waits_is_redacted_with_what_is_in_force_when_it_goes(self) -> None:
        source, journal = FakeSource(), FakeJournal(room=0)
        source.exec(*(pack(values(argv=b"x\0--token=hunter2\0")) for _ in range(3)))
        seen: list[bytes] = []
        Reader(source, Outbox(journal)).read()
        assert b"hunter2" in source.ledger.held()
        successor = Reader(source, Outbox(journal), lambda one: seen.append(one.argv))
        successor.redact_with(Redactor(["default"]))
        journal.room = 2
        read_all(successor, journal)
        assert seen == [b"x\0--token=***\0"] * 3
        assert not any(b"hunter2" in one for one in journal.entries)
        assert {fields(one)["EXECWATCH_REDACTED"] for one in journal.entries} == {b"1"}

    def test_records_that_take_long_yield_sooner(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = [100.0]
        monkeypatch.setattr(drain, "monotonic", lambda: clock[0])

        class Slow(Redactor):
            def clean(self, argv: bytes) -> bytes:
                clock[0] += 0.004
                return argv

        source, journal = FakeSource(), FakeJournal()
        source.exec(*map(record, range(100)))
        reader = Reader(source, Outbox(journal))
        reader.redact_with(Slow([".*ls"]))
        assert not reader.read()
        assert len(delivered(journal)) == 16
        read_all(reader, journal)
        assert delivered(journal) == list(range(100))

    def test_a_batch_yields(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(drain, "monotonic", lambda: 100.0)
        source, journal = FakeSource(), FakeJournal()
        source.exec(*map(record, range(600)))
        reader = Reader(source, Outbox(journal))
        passes = list(itertools.takewhile(lambda empty: not empty, iter(reader.read, None)))
        assert len(passes) == 2
        assert delivered(journal) == list(range(600))

    def test_a_bad_record_counts_as_lost_and_stops_nothing(self) -> None:
        source, journal = FakeSource(), FakeJournal()
        source.exec(record(1), BAD, b"", record(2)[:-1], record(2))
        seen: list[int] = []
        reader = Reader(source, Outbox(journal), lambda one: seen.append(one.pid))
        assert reader.read()
        assert delivered(journal) == seen == [1, 2]
        assert (source.counters().lost, source.ledger.page.malformed) == (3, 3)
        assert_balanced(source)

    def test_a_record_that_cannot_be_written_counts_as_lost(self, monkeypatch: pytest.MonkeyPatch) -> None:
        source, journal = FakeSource(), FakeJournal()
        source.exec(record(1))

        def fail(_argv: bytes) -> bytes:
            raise ZeroDivisionError

        monkeypatch.setattr("execwatchd.stream.encoder.command_line", fail)
        assert Reader(source, Outbox(journal)).read()
        assert source.counters().lost == 1
        assert_balanced(source)

    @given(st.lists(st.binary(max_size=600), max_size=20))
    def test_random_bytes_are_counted(self, noise: list[bytes]) -> None:
        source, journal = FakeSource(), FakeJournal()
        source.exec(*noise, record(77))
        read_all(Reader(source, Outbox(journal)), journal)
        assert delivered(journal)[-1] == 77
        assert_balanced(source)

    def test_the_log_of_a_stall_goes_before_the_records_behind_it(self) -> None:
        source, journal = FakeSource(), FakeJournal(room=1)
        outbox = Outbox(journal)
        source.exec(record(1), record(2))
        reader = Reader(source, outbox)
        assert not reader.read()
        outbox.post(b"MESSAGE=log\n")
        journal.room = 9
        assert reader.read()
        assert [fields(one)["MESSAGE"][:4] for one in journal.entries] == [b"1 50", b"log", b"2 50"]


class Lives:
    """Processes one after the other on the same ring and the same journal, each killed after some steps."""

    def __init__(self, rooms: list[int]) -> None:
        self.source = FakeSource()
        self.journal = FakeJournal(room=0)
        self._rooms = itertools.chain(rooms, itertools.repeat(1 << 30))

    def live(self, steps: int | None) -> bool:
        """Until all is read (True), or killed at this step."""
        left = itertools.count(steps, -1) if steps is not None else itertools.repeat(1)

        def step() -> None:
            if not next(left):
                raise KilledError

        self.source.step = self.journal.step = step
        self.source.again()
        try:
            read_all(Reader(self.source, Outbox(self.journal)), self.journal, self._rooms.__next__)
        except KilledError:
            return False
        return True


def steps_of(rooms: list[int], records: list[bytes]) -> int:
    """How many steps a process takes that nobody kills."""
    lives = Lives(rooms)
    lives.source.exec(*records)
    for steps in itertools.count():
        again = Lives(rooms)
        again.source.exec(*records)
        if again.live(steps):
            return steps
    raise AssertionError


@pytest.mark.parametrize("rooms", [[], [1], [0, 2, 0, 0, 1], [3, 1]])
def test_a_kill_between_any_two_steps(rooms: list[int]) -> None:
    records = [record(1), record(2), BAD, record(3), record(4)]
    for steps in range(steps_of(rooms, records) + 1):
        lives = Lives(rooms)
        lives.source.exec(*records)
        lives.source.ignore(2)
        lives.live(steps)
        assert lives.live(None)
        got = delivered(lives.journal)
        assert sorted(set(got)) == [1, 2, 3, 4], steps
        assert got == sorted(got), steps
        assert len(got) <= 5, steps
        assert lives.source.counters()[:4] == (7, 4, 2, 1), steps


@given(
    st.lists(st.integers(0, 3), max_size=6),
    st.lists(st.integers(0, 25), max_size=8),
    st.lists(st.booleans(), max_size=9),
)
def test_any_number_of_kills(rooms: list[int], kills: list[int], good: list[bool]) -> None:
    lives = Lives(rooms)
    lives.source.exec(*(record(i) if one else BAD for i, one in enumerate(good)))
    killed = sum(not lives.live(steps) for steps in kills)
    assert lives.live(None)
    got = delivered(lives.journal)
    assert got == sorted(got)
    assert set(got) == {i for i, one in enumerate(good) if one}
    assert len(got) - len(set(got)) <= killed
    assert lives.source.counters()[:4] == (len(good), sum(good), 0, len(good) - sum(good))


class Rig:
    """A drain in a loop; the test says when the journal is writable."""

    def __init__(self, room: int = 1 << 30, former: int = 0) -> None:
        self.source = FakeSource()
        self.former = [FakeSource() for _ in range(former)]
        self.sources = FakeSources(self.source, self.former)
        self.journal = FakeJournal(room)
        self.waiting: list[Callable[[], None]] = []
        self.empties = 0
        self.drain: Drain

    def run(self, script: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            self.drain = Drain(self.sources, Outbox(self.journal), self.waiting.append, self.on_empty)
            self.drain.start()
            await asyncio.wait_for(script(), 30)
            self.drain.stop()

        asyncio.run(main())
        assert [ring.closed for one in (*self.former, self.source) for ring in one.rings] == [True] * (
            len(self.former) + 1
        )

    def on_empty(self) -> None:
        self.empties += 1

    def writable(self, room: int = 1 << 30) -> None:
        self.journal.room = room
        waiting, self.waiting[:] = list(self.waiting), []
        for callback in waiting:
            callback()

    async def until(self, *execs: int) -> None:
        await self.until_true(lambda: delivered(self.journal) == list(execs))

    async def until_true(self, probe: Callable[[], bool]) -> None:
        while not probe():  # noqa: ASYNC110  the drain tells nobody
            await asyncio.sleep(0.001)


def test_what_waits_at_the_start_and_what_comes_later() -> None:
    rig = Rig()
    rig.source.exec(record(1))

    async def script() -> None:
        await rig.until(1)
        rig.source.exec(record(2))
        await rig.until(1, 2)
        await rig.until_true(lambda: rig.empties >= 2)  # a pass that found nothing: from here on it sleeps
        rig.source.exec(record(3))
        await rig.until(1, 2, 3)

    rig.run(script)
    assert_balanced(rig.source)


def test_a_burst_lets_the_loop_have_its_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "monotonic", lambda: 100.0)
    rig = Rig()
    rig.source.exec(*map(record, range(2000)))
    turns: list[int] = []

    async def script() -> None:
        while len(rig.journal.entries) < 2000:
            turns.append(len(rig.journal.entries))
            await asyncio.sleep(0)

    rig.run(script)
    # which turn comes first is the interpreter's affair, not how much is read between two
    assert {later - earlier for earlier, later in itertools.pairwise(turns)} == {256}
    assert rig.drain.passes == 8


def test_a_ring_that_fills_fast_is_looked_at_more_often() -> None:
    rig = Rig()
    rig.sources.ring_size = 64 << 10

    async def script() -> None:
        assert rig.drain.pause == PAUSE
        rig.source.exec(*map(record, range(100)))  # about half of the ring
        await rig.until(*range(100))
        await rig.until_true(lambda: rig.drain.pause < PAUSE)
        assert rig.drain.pause > PAUSE / 4
        rig.source.exec(record(100))
        await rig.until(*range(101))
        await rig.until_true(lambda: rig.drain.pause == PAUSE)

    rig.run(script)


def test_a_stall_waits_for_the_journal() -> None:
    rig = Rig(room=1)
    rig.source.exec(record(1), record(2), record(3))

    async def script() -> None:
        await rig.until(1)
        assert rig.drain.stalled
        assert rig.empties == 0
        passes = rig.drain.passes
        rig.source.exec(record(4))
        for _ in range(20):
            await asyncio.sleep(0)
        assert rig.drain.passes == passes
        rig.writable(room=0)
        assert rig.drain.stalled
        rig.writable()
        await rig.until(1, 2, 3, 4)
        assert not rig.drain.stalled

    rig.run(script)
    assert_balanced(rig.source)


def test_former_rings_come_first_and_are_settled_when_final() -> None:
    rig = Rig(former=2)
    rig.former[0].exec(record(1))
    rig.former[1].exec(record(3))
    rig.source.exec(record(5))

    async def script() -> None:
        await rig.until(1)
        rig.former[0].exec(record(2))  # what still ran when it was detached
        await rig.until(1, 2)
        rig.former[0].final = True
        await rig.until(1, 2, 3)
        rig.former[1].exec(record(4))
        rig.former[1].final = True
        await rig.until(1, 2, 3, 4, 5)
        assert (rig.sources.settled, rig.sources.former) == (1, [])

    rig.run(script)


def test_the_current_ring_is_read_while_a_former_one_is_not_let_go() -> None:
    rig = Rig(former=1)
    (former,) = rig.former
    former.released = False
    former.exec(record(1))
    rig.source.exec(record(2))

    async def script() -> None:
        await rig.until(1, 2)
        rig.source.exec(record(3))
        await rig.until(1, 2, 3)
        assert rig.drain.passes == 3
        former.exec(record(4))
        await rig.until(1, 2, 3, 4)
        former.released = former.final = True
        await rig.until_true(lambda: rig.sources.settled == 1)
        rig.source.exec(record(5))
        await rig.until(1, 2, 3, 4, 5)

    rig.run(script)


def test_the_end_waits_for_former_rings_too() -> None:
    rig = Rig(former=1)
    (former,) = rig.former
    rig.source.final = True

    async def script() -> None:
        finish = asyncio.create_task(rig.drain.finish())
        await asyncio.sleep(3 * PAUSE)
        assert not finish.done()
        former.exec(record(1))
        former.final = True
        assert await finish
        assert delivered(rig.journal) == [1]
        assert rig.sources.settled == 1

    rig.run(script)


def test_nothing_is_read_after_the_end() -> None:
    rig = Rig(room=1)
    rig.source.exec(record(1), record(2))

    async def script() -> None:
        await rig.until(1)

    rig.run(script)
    rig.writable()
    assert delivered(rig.journal) == [1]
    assert rig.source.ledger.held() == record(2)


def test_a_pass_that_fails_is_not_the_last(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever fails in it, the ring or what is reported when it is empty: nobody else starts another."""
    monkeypatch.setattr(drain, "_RETRY", 0.01)
    rig = Rig()
    failures = [OSError(24, "Too many open files")] * 3

    def on_empty() -> None:
        if failures:
            raise failures.pop()
        rig.empties += 1

    monkeypatch.setattr(rig, "on_empty", on_empty)
    rig.source.exec(record(1))

    async def script() -> None:
        await rig.until_true(lambda: not failures)
        rig.source.exec(record(2))
        await rig.until(1, 2)

    rig.run(script)
    assert_balanced(rig.source)
    assert [one.getMessage() for one in caplog.records if one.levelname == "ERROR"] == [
        "reading the ring failed, and is tried again"
    ]

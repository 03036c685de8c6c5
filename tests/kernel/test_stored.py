# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever comes out of the descriptor store, each record of before is read, or counted as lost."""

import os
import stat
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest

from execwatchd.kernel import c_source, layout, loader, members
from execwatchd.kernel.generation import Generation
from execwatchd.kernel.options import Options
from execwatchd.kernel.stored import Stored
from execwatchd.kernel.takeover import Generations
from execwatchd.shared.counters import Counters
from execwatchd.shared.message_ids import MessageId
from execwatchd.shared.rules import Action
from execwatchd.stream.drain import Reader
from execwatchd.stream.losses import Losses
from execwatchd.stream.outbox import Outbox
from tests.fakes.kernel import FakeJournal
from tests.fakes.native import fields
from tests.fakes.rules import rule
from tests.kernel.service_manager import Manager
from tests.kernel.test_takeover import die, numbers
from tests.kernel.watch import DEFAULT, exists, objects

UID = 40000 + os.getpid() % 20000
SENT, WAITING = 20, 30  # of the execs before the kill; of those that wait, one is in the ledger
AFTER = 5
MAPS = [f"map.{name}" for name in loader.MAPS]
PROGRAMS = [f"prog.{name}" for name in loader.RAW_TRACEPOINTS.values()]
LINKS = [f"link.{name}" for name in loader.RAW_TRACEPOINTS]
EXITS = replace(DEFAULT, exits=True)
EXIT_MEMBERS = [
    *(f"prog.{name}" for name in loader.EXIT_TRACEPOINTS.values()),
    *(f"link.{name}" for name in loader.EXIT_TRACEPOINTS),
]
SWAPS = [
    ("map.config", "map.defaults"),
    ("map.counters", "map.config"),
    ("map.output", "map.ledger"),
    ("map.output", "map.counters"),
    ("map.ledger", "map.counters"),
    ("map.buckets", "map.subuid_buckets"),
    ("map.reports", "prog.on_exec"),
    ("prog.on_exec", "prog.on_exec_retry"),
    ("link.task_rename", "link.sched_process_exec"),
]


def fill(new: Generation) -> None:
    """The host's other execs are ignored."""
    new.rules.set_default(rule("", Action.IGNORE))
    new.rules.set(UID, rule("Hello World", Action.RECORD))


def start(manager: Manager, options: Options = DEFAULT) -> Generations:
    generations = Generations(manager)
    generations.start(manager.handed(), c_source.directory(), options, fill)
    return generations


def execute(count: int) -> None:
    for _ in range(count):
        subprocess.run(["/bin/true"], user=UID, group=UID, extra_groups=[], check=True)


def read(generation: Stored, journal: FakeJournal, until: Callable[[], bool]) -> None:
    reader = Reader(generation, Outbox(journal))
    deadline = time.monotonic() + 20
    while not (reader.read() or reader.stalled) or not until():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    reader.close()


def stalled(manager: Manager, options: Options = DEFAULT) -> tuple[Counters, FakeJournal]:
    """A daemon that was killed in a stall of the journal, and its last numbers."""
    generations, journal = start(manager, options), FakeJournal(SENT)
    execute(SENT + WAITING)
    read(generations.current, journal, lambda: True)
    assert generations.current.ledger.page.held
    counters = generations.counters()
    die(generations)
    return counters, FakeJournal()


class Successor:
    """Reads what the one before left, and what comes then; never shows less than was shown before."""

    def __init__(self, manager: Manager, options: Options, before: Counters) -> None:
        self.generations = start(manager, options)
        self.outbox = Outbox(FakeJournal())
        self.journal = FakeJournal()
        self._seen = before.seen
        self.look()
        buckets = self.generations.current.buckets
        self.losses = Losses(self.generations, buckets, Outbox(self.journal), lambda _count: None)

    def look(self) -> Counters:
        counters = self.generations.counters()
        assert counters.seen >= self._seen
        self._seen = counters.seen
        return counters

    def read(self, journal: FakeJournal) -> None:
        for old in self.generations.former:
            read(old, journal, old.is_final)
            self.look()
        self.generations.settle()
        self.look()
        execute(AFTER)
        read(self.generations.current, journal, lambda: True)

    def at_rest(self) -> Counters:
        deadline = time.monotonic() + 20
        while True:
            counters = self.look()
            if counters.seen == counters.forwarded + counters.ignored + counters.lost:
                return counters
            assert time.monotonic() < deadline, counters

    def reported(self) -> list[str]:
        self.losses.report()
        return [fields(datagram)["MESSAGE"].decode() for datagram in self.journal.entries]


def ends(options: Options) -> int:
    """Entries of an exec."""
    return 2 if options.exits else 1


def by_uid(journal: FakeJournal) -> int:
    """Entries of the test's user. Where `on_task_rename` isn't attached, nobody can tell whether an exec of
    root's gained privilege, and so it isn't ignored.
    """
    return sum(fields(datagram)["EXECWATCH_UID"] == b"%d" % UID for datagram in journal.entries)


def check(manager: Manager, options: Options, before: Counters, lost: int) -> Successor:
    """Nothing but `lost` of the records is missing in the journal, and that is reported."""
    old = objects(fd for fd in manager.kept.values() if not stat.S_ISFIFO(os.fstat(fd).st_mode))
    successor, journal = Successor(manager, options, before), FakeJournal()
    successor.read(journal)
    counters = successor.at_rest()
    each = ends(options)
    assert counters.lost == lost
    assert by_uid(journal) == (WAITING + AFTER) * each - lost
    assert counters.forwarded == SENT + len(journal.entries)
    if lost:
        cause = f"{lost} came back unreadable from the file descriptor store"
        what = "execs or ends" if options.exits else "execs"
        assert successor.reported() == [f"{lost} {what} were not recorded: {cause}"]
    else:
        assert successor.reported() == []
    left = {number for number in numbers(manager) if number.isdigit()}
    assert left == {str(successor.generations.current.number)}
    wanted = objects(successor.generations.current.fds.values())
    deadline = time.monotonic() + 20
    while gone := [one for one in old - wanted if exists(*one)]:
        assert time.monotonic() < deadline, gone
        time.sleep(0.05)
    return successor


@pytest.mark.parametrize("name", [*MAPS, *PROGRAMS, *LINKS])
def test_a_member_that_is_missing(name: str, manager: Manager, caplog: pytest.LogCaptureFixture) -> None:
    before, _ = stalled(manager)
    manager.remove(f"1.{name}")
    successor = check(manager, DEFAULT, before, WAITING if name in members.READ.members else 0)
    entries = [record for record in caplog.records if "came back" in record.message]
    assert [record.__dict__["journal"]["MESSAGE_ID"] for record in entries] == [
        MessageId.STORE_INCOMPLETE.value
    ]
    assert f"without {name}: " in caplog.text
    assert successor.generations.current.number == 2
    die(successor.generations)


@pytest.mark.parametrize("pair", SWAPS)
def test_members_in_each_others_place(
    pair: tuple[str, str], manager: Manager, caplog: pytest.LogCaptureFixture
) -> None:
    before, _ = stalled(manager)
    first, second = (f"1.{name}" for name in pair)
    manager.kept[first], manager.kept[second] = manager.kept[second], manager.kept[first]
    successor = check(manager, DEFAULT, before, 0)
    for name in pair:
        assert f"{name} (" in caplog.text
    die(successor.generations)


@pytest.mark.parametrize("name", [*members.READ.members, *members.COUNT.members, "prog.on_exec"])
def test_something_else_in_the_place_of_a_member(name: str, manager: Manager) -> None:
    before, _ = stalled(manager)
    manager.remove(f"1.{name}")
    other, manager.kept[f"1.{name}"] = os.pipe()
    os.close(other)
    die(check(manager, DEFAULT, before, WAITING if name in members.READ.members else 0).generations)


@pytest.mark.parametrize("name", [*EXIT_MEMBERS, "shared.running"])
def test_a_member_that_ends_need(name: str, manager: Manager, caplog: pytest.LogCaptureFixture) -> None:
    before, _ = stalled(manager, EXITS)
    manager.remove(name if name.startswith("shared") else f"1.{name}")
    successor = Successor(manager, EXITS, before)
    journal = FakeJournal()
    successor.read(journal)
    counters = successor.at_rest()
    assert counters.lost == 0
    assert by_uid(journal) == (SENT + WAITING + AFTER) * 2 - SENT
    assert {number for number in numbers(manager) if number.isdigit()} == {
        str(successor.generations.current.number)
    }
    assert (successor.generations.current.number == 1) == name.startswith("shared")
    die(successor.generations)


@pytest.mark.parametrize("room", range(1, 14))
def test_a_store_that_is_too_small(room: int, manager: Manager, caplog: pytest.LogCaptureFixture) -> None:
    """What it has is read or counted, and there is room for what the successor needs for the same."""
    manager.room = room
    before, _ = stalled(manager)
    assert len(manager.kept) == room
    successor, journal = Successor(manager, DEFAULT, before), FakeJournal()
    successor.generations.look_at_store()
    assert "FileDescriptorStoreMax=" in successor.generations.store_problem
    successor.read(journal)
    counters = successor.at_rest()
    assert counters.lost == (WAITING if room == 1 else 0)
    assert by_uid(journal) == WAITING + AFTER - counters.lost
    assert len(manager.kept) == room
    assert numbers(manager) == {"2"}
    successor.generations.look_at_store()
    assert "FileDescriptorStoreMax=" in successor.generations.store_problem
    entries = [record for record in caplog.records if record.message == successor.generations.store_problem]
    assert [record.__dict__["journal"]["MESSAGE_ID"] for record in entries] == [MessageId.STORE_FULL.value]
    die(successor.generations)


def test_two_kills_with_a_store_that_is_too_small(manager: Manager) -> None:
    """The first generation makes room for what reading the second one needs."""
    manager.room = 10
    before, _ = stalled(manager)
    second = start(manager)
    execute(AFTER)
    die(second)
    assert {name for name in manager.kept if name.startswith("2.")} == {
        f"2.{name}" for name in (*members.READ.members, *members.COUNT.members)
    }
    successor, journal = Successor(manager, DEFAULT, before), FakeJournal()
    assert [old.number for old in successor.generations.former] == [1, 2]
    successor.read(journal)
    assert successor.at_rest().lost == 0
    assert by_uid(journal) == WAITING + 2 * AFTER
    assert numbers(manager) == {"3"}
    die(successor.generations)


def test_books_without_a_layout_are_counted(manager: Manager, caplog: pytest.LogCaptureFixture) -> None:
    generations = start(manager)
    execute(WAITING)
    memory = generations.current.ledger._memory
    at = bytes(memory[:]).index(layout.SCHEMA.encode())
    memory[at : at + 8] = b"garbage!"
    before = generations.counters()
    die(generations)
    successor = Successor(manager, DEFAULT, before)
    successor.read(FakeJournal())
    assert successor.at_rest().lost == WAITING
    assert (
        "without a layout of its records: its records can't be read, and are counted as lost" in caplog.text
    )
    die(successor.generations)


def test_a_store_with_just_enough_room(manager: Manager, caplog: pytest.LogCaptureFixture) -> None:
    manager.room = 14
    generations = start(manager)
    generations.look_at_store()
    assert (generations.store_problem, caplog.text) == ("", "")
    assert len(manager.kept) == 14
    die(generations)
    again = start(manager)
    assert again.current.number == 1
    die(again)


def test_a_store_that_has_room_once_the_old_one_is_gone(
    manager: Manager, caplog: pytest.LogCaptureFixture
) -> None:
    manager.room = 20
    die(start(manager))
    generations = start(manager, replace(DEFAULT, argv_bytes=512))
    generations.look_at_store()
    assert generations.store_problem
    generations.settle()
    generations.look_at_store()
    assert generations.store_problem == ""
    assert len(manager.kept) == 14
    die(generations)
    again = start(manager, replace(DEFAULT, argv_bytes=512))
    assert again.current.number == 2
    die(again)


def test_the_store_takes_what_reading_needs_first(manager: Manager) -> None:
    generations = start(manager, EXITS)
    kept = [name.removeprefix("1.").replace("shared.", "map.") for name in manager.kept]
    die(generations)
    groups = [each.members for each in members.PURPOSES]
    places = [next(i for i, group in enumerate(groups) if name in group) for name in kept]
    assert all(first <= second for first, second in pairwise(places))
    assert kept[:3] == ["map.ledger", "map.output", "map.counters"]
    assert [name for name in kept if name.startswith("link.")] == kept[-5:]

# SPDX-License-Identifier: GPL-2.0-or-later
"""What comes out of the descriptor store, whole or as a kill left it, and what is made of it."""

import os
import subprocess
import time
from dataclasses import replace

import pytest

from execwatchd.kernel import c_source, descriptors, layout
from execwatchd.kernel.generation import Generation
from execwatchd.kernel.libbpf import program_info
from execwatchd.kernel.options import Options
from execwatchd.kernel.takeover import Generations
from execwatchd.shared.errors import Failure
from execwatchd.shared.rules import Action
from tests.fakes.rules import rule
from tests.kernel.service_manager import Manager
from tests.kernel.watch import DEFAULT

OTHER = replace(DEFAULT, argv_bytes=512)


def fill(new: Generation) -> None:
    new.rules.set_default(rule("Hello World", Action.RECORD))


def start(manager: Manager, options: Options = DEFAULT) -> Generations:
    generations = Generations(manager)
    generations.start(manager.handed(), c_source.directory(), options, fill)
    return generations


def die(generations: Generations) -> None:
    """As a kill does: every descriptor of the process is closed, the manager's stay."""
    for one in [*generations.former, generations.current]:
        one.close()
        for fd in one.fds.values():
            os.close(fd)


def numbers(manager: Manager) -> set[str]:
    return {name.partition(".")[0] for name in manager.kept}


def ids(generations: Generations) -> set[int]:
    """Which programs these are, in the kernel."""
    fds = generations.current.fds.items()
    return {program_info(fd).id for name, fd in fds if name.startswith("prog.")}


def test_the_same_program_goes_on(manager: Manager) -> None:
    first = start(manager)
    before, since = ids(first), first.since
    subprocess.run(["true"], check=True)
    seen = first.counters().seen
    die(first)
    second = start(manager)
    assert ids(second) == before
    assert second.counters().seen >= seen > 0
    assert (second.since, second.former, second.attached) == (
        since,
        [],
        ["task_rename", "sched_process_exec"],
    )
    die(second)


def test_other_options_are_attached_before_the_old_ones_go(manager: Manager) -> None:
    first = start(manager)
    die(first)
    second = start(manager, OTHER)
    assert [one.number for one in second.former] == [1]
    assert second.former[0].attached == []
    assert second.current.number == 2
    assert not any(name.startswith("1.link") for name in manager.kept)
    counted = second.counters()
    second.settle()
    assert (second.former, numbers(manager)) == ([], {"2"})
    assert second.counters().seen >= counted.seen
    die(second)


def duplicates(manager: Manager, part: str) -> dict[str, int]:
    return {name: os.dup(fd) for name, fd in manager.kept.items() if part in name}


@pytest.mark.parametrize("arrived", [("map",), ("map", "prog"), ("map", "prog", "link.task_rename")])
def test_a_kill_while_the_new_one_is_put_away(manager: Manager, arrived: tuple[str, ...]) -> None:
    """The old one is attached still, and has all that the new one has: it goes on."""
    first = start(manager)
    before = ids(first)
    die(first)
    links = duplicates(manager, ".link.")
    die(start(manager, OTHER))
    manager.kept.update(links)
    wanted = ("1.", *(f"2.{kind}" for kind in arrived))
    for name in [name for name in manager.kept if not name.startswith(wanted)]:
        manager.remove(name)
    third = start(manager)
    assert ids(third) == before
    assert third.former == []
    assert numbers(manager) == {"1"}
    die(third)


def test_a_kill_before_the_old_one_goes(manager: Manager) -> None:
    first = start(manager)
    die(first)
    links = duplicates(manager, ".link.")
    second = start(manager, OTHER)
    before = ids(second)
    die(second)
    manager.kept.update(links)
    third = start(manager, OTHER)
    assert ids(third) == before
    assert [one.number for one in third.former] == [1]
    assert third.former[0].attached == []
    die(third)


def test_a_kill_between_the_sum_and_the_end_of_the_old_one(manager: Manager) -> None:
    first = start(manager)
    subprocess.run(["true"], check=True)
    die(first)
    second = start(manager, OTHER)
    again = duplicates(manager, "1.")
    second.settle()
    seen = second.counters().seen
    die(second)
    manager.kept.update(again)
    third = start(manager, OTHER)
    assert third.former == []
    assert numbers(manager) == {"2"}
    assert seen <= third.counters().seen < 2 * seen
    die(third)


def test_a_store_without_room_for_the_attachments(manager: Manager) -> None:
    """Nothing is attached any more, but what was recorded and counted until then is not thrown away."""
    first = start(manager)
    subprocess.run(["true"], check=True)
    die(first)
    manager.room = 2 * len(manager.kept) - 1
    second = start(manager, OTHER)
    seen = second.counters().seen
    waits = sum(one.ring_fill() for one in [*second.former, second.current])
    die(second)
    assert sum(".link." in name for name in manager.kept) == 2
    manager.room = 512
    third = start(manager, OTHER)
    assert [one.number for one in third.former] == [1, 2]
    assert [one.attached for one in third.former] == [[], []]
    assert third.current.is_attached()
    assert sum(one.ring_fill() for one in third.former) >= waits > 0
    assert third.counters().seen >= seen > 0
    third.settle()
    assert third.counters().seen >= seen
    assert numbers(manager) == {"3"}
    die(third)


def test_a_busy_service_manager_keeps_the_old_one_attached(manager: Manager) -> None:
    first = start(manager)
    die(first)
    manager.busy = True
    second = start(manager, OTHER)
    (old,) = second.former
    time.sleep(2 * descriptors._GRACE)
    assert not old.is_final()
    manager.busy = False
    assert not old.is_final()  # what ran on another CPU may have a record to write
    time.sleep(2 * descriptors._GRACE)
    assert old.is_final()
    die(second)


def test_what_is_not_ours_is_closed(manager: Manager) -> None:
    manager.kept = dict(zip(("stranger", "7.map.config"), os.pipe(), strict=True))
    generations = start(manager)
    assert numbers(manager) == {"1"}
    die(generations)


def test_a_map_in_another_ones_place_is_not_believed(manager: Manager) -> None:
    first = start(manager)
    before = ids(first)
    die(first)
    manager.kept["1.map.config"], manager.kept["1.map.defaults"] = (
        manager.kept["1.map.defaults"],
        manager.kept["1.map.config"],
    )
    second = start(manager)
    assert ids(second).isdisjoint(before)
    die(second)


def test_a_new_one_that_cannot_be_filled_leaves_the_old_one(manager: Manager) -> None:
    first = start(manager)
    before = ids(first)
    die(first)
    generations = Generations(manager)

    def refuse(new: Generation) -> None:
        if new.number > 1:
            raise Failure("no")

    generations.start(manager.handed(), c_source.directory(), OTHER, refuse)
    assert ids(generations) == before
    assert numbers(manager) == {"1"}
    die(generations)


def test_books_that_name_no_layout_are_not_believed(manager: Manager) -> None:
    """Nobody could read that ring; a daemon that tried would fail at each start."""
    first = start(manager)
    before = ids(first)
    memory = first.current.ledger._memory
    at = bytes(memory[:]).index(layout.SCHEMA.encode())
    memory[at : at + 8] = b"garbage!"
    die(first)
    second = start(manager)
    assert ids(second).isdisjoint(before)
    assert second.current.ledger.schema == layout.SCHEMA
    die(second)

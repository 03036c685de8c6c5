# SPDX-License-Identifier: GPL-2.0-or-later
"""The ends of processes that outlive a daemon, or its program: each comes once."""

import os
import signal
import struct
import subprocess
from dataclasses import replace

import pytest

from execwatchd.kernel import layout
from execwatchd.kernel.libbpf import Map, Pointer
from execwatchd.kernel.stored import Stored
from execwatchd.kernel.takeover import Generations
from execwatchd.stream.decode import Decoder, Record
from tests.kernel.service_manager import Manager
from tests.kernel.test_takeover import die, duplicates, start
from tests.kernel.watch import DEFAULT

EXITS = replace(DEFAULT, exits=True)
OTHER = replace(EXITS, cwd=True)


def begin() -> subprocess.Popen[bytes]:
    """Returns when it has executed what it should."""
    process = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    assert process.stdin
    assert process.stdout
    process.stdin.write(b"x")
    assert process.stdout.read(1) == b"x"
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin
    assert process.stdout
    process.kill()
    assert process.wait() == -signal.SIGKILL
    process.stdin.close()
    process.stdout.close()


def records(generation: Stored) -> list[Record]:
    """What its ring has; read once."""
    found: list[bytes] = []

    def take(_context: object, pointer: Pointer, size: int) -> int:
        found.append(pointer[:size])
        return 0

    ring = generation.open_ring(take)
    while ring.consume() > 0:
        pass
    ring.close()
    return list(map(Decoder(generation.ledger.schema), found))


class Seen:
    """What the rings have, oldest first."""

    def __init__(self, generations: Generations) -> None:
        self._rings = [records(one) for one in (*generations.former, generations.current)]

    def execs(self, process: subprocess.Popen[bytes]) -> list[list[bytes]]:
        """The ids of its execs by ring."""
        return [
            [one.exec_id for one in ring if one.pid == process.pid and not one.end] for ring in self._rings
        ]

    def ends(self, process: subprocess.Popen[bytes]) -> list[list[bytes]]:
        """The ids of its ends by ring."""
        return [[one.exec_id for one in ring if one.pid == process.pid and one.end] for ring in self._rings]


def test_an_end_while_nobody_reads(manager: Manager) -> None:
    first = start(manager, EXITS)
    process = begin()
    die(first)
    end(process)
    second = start(manager, EXITS)
    seen = Seen(second)
    assert seen.execs(process) == seen.ends(process) != [[]]
    die(second)


def test_ends_of_processes_that_another_program_recorded(manager: Manager) -> None:
    first = start(manager, EXITS)
    before, after = begin(), begin()
    die(first)
    end(before)
    second = start(manager, OTHER)
    end(after)
    seen = Seen(second)
    ((earlier,), none), ((later,), _) = seen.execs(before), seen.execs(after)
    assert none == []
    assert seen.ends(before) == [[earlier], []]
    assert seen.ends(after) == [[], [later]]
    assert second.unended() == 0
    die(second)


def test_the_list_of_running_processes_is_handed_on_again_and_again(manager: Manager) -> None:
    generations = start(manager, EXITS)
    process = begin()
    for options in (OTHER, EXITS, OTHER):
        die(generations)
        generations = start(manager, options)
        generations.settle()
        assert {name for name in manager.kept if "running" in name} == {"shared.running"}
    end(process)
    assert [len(ring) for ring in Seen(generations).ends(process)] == [1]
    die(generations)
    generations = start(manager, DEFAULT)
    generations.settle()
    assert not any("running" in name for name in manager.kept)
    die(generations)


def test_a_list_that_a_kill_kept_from_the_store(manager: Manager, caplog: pytest.LogCaptureFixture) -> None:
    first = start(manager, EXITS)
    process = begin()
    die(first)
    manager.remove("shared.running")
    die(start(manager, EXITS))
    assert caplog.text == ""
    second = start(manager, OTHER)
    assert "the ends of processes that run now will not be recorded" in caplog.text
    end(process)
    assert Seen(second).ends(process) == [[], []]
    die(second)


def test_an_end_that_two_programs_see(manager: Manager) -> None:
    """The older one runs first, so that what the newer one has yet to put away is no end."""
    first = start(manager, EXITS)
    early = begin()
    die(first)
    links = duplicates(manager, ".link.")
    second = start(manager, OTHER)
    late = begin()
    end(early)
    end(late)
    for fd in links.values():
        os.close(fd)
    seen = Seen(second)
    old, new = seen.execs(late)
    assert len(old) == 1
    assert old == new
    assert seen.ends(late) == [old, []]
    assert seen.ends(early) == [seen.execs(early)[0], []]
    assert late.pid.to_bytes(4, "little") not in set(Map(second.current.fds["map.running"]).keys())
    die(second)


def test_the_option_off_and_on(manager: Manager) -> None:
    first = start(manager, EXITS)
    process = begin()
    die(first)
    second = start(manager, DEFAULT)
    assert second.attached == ["task_rename", "sched_process_exec"]
    die(second)
    third = start(manager, EXITS)
    assert third.attached == ["sched_process_exit", "task_rename", "sched_process_exec"]
    end(process)
    seen = Seen(third)
    assert seen.ends(process) == [[], [], []]
    assert third.unended() == 0
    die(third)


def test_a_list_of_another_layout(
    manager: Manager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first = start(manager, EXITS)
    process = begin()
    die(first)
    monkeypatch.setattr(layout, "RUNNING", struct.Struct("=8Q"))
    second = start(manager, OTHER)
    assert "the ends of processes that run now will not be recorded" in caplog.text
    end(process)
    assert Seen(second).ends(process) == [[], []]
    die(second)

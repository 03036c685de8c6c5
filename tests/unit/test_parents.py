# SPDX-License-Identifier: GPL-2.0-or-later
"""What is remembered of execs for the entries of their children."""

import os
import subprocess
import sys

import pytest

from execwatchd.kernel.layout import EXEC_ID, NO_EXEC
from execwatchd.redaction.redactor import Redactor
from execwatchd.stream import parents
from execwatchd.stream.encoder import Encoder
from execwatchd.stream.parents import LINE_SIZE, NoParents, Parents, parent_field
from tests.fakes.native import fields
from tests.fakes.records import Value, pack, values

STORM = 20_000
MIB = 1 << 20


def exec_id(pid: int, execs: int = 1, start: int = 10**18) -> bytes:
    return b"%d-%d-%d" % (pid, start, execs)


def remembering(alive: set[int]) -> Parents:
    return Parents(alive.__contains__)


def storm(memory: Parents, first: int, count: int, line: bytes = b"true") -> None:
    for pid in range(first, first + count):
        memory.remember(exec_id(pid), line)
        if pid % 256 == 0:
            memory.trim()
    memory.trim()


def test_a_storm_makes_nobody_forget_a_parent_that_lives() -> None:
    memory = remembering({1000})
    memory.remember(exec_id(1000), b"bash")
    storm(memory, 2000, STORM)
    assert memory.remembered(exec_id(1000)) == b"bash"
    assert memory.remembered(exec_id(2000)) is None


def test_another_process_with_the_same_pid_is_another() -> None:
    memory = remembering({1000})
    memory.remember(exec_id(1000), b"bash")
    assert memory.remembered(exec_id(1000, start=7)) is None
    assert memory.remembered(exec_id(1000, execs=2)) is None


def test_of_a_process_the_last_exec_stays() -> None:
    memory = remembering({1000})
    for execs in range(STORM):
        memory.remember(exec_id(1000, execs), b"line")
        if execs % 256 == 0:
            memory.trim()
    assert memory.remembered(exec_id(1000, STORM - 1)) == b"line"
    assert memory.remembered(exec_id(1000, 1)) is None


def test_more_living_processes_than_there_is_room_for() -> None:
    memory = remembering(set(range(STORM)))
    storm(memory, 1, STORM)
    assert memory.remembered(exec_id(1)) == b"true"


def test_it_takes_2_mib_at_most() -> None:
    memory = remembering(set(range(10**6, 2 * 10**6)))
    most = 0
    for i in range(STORM):
        pid = 4_000_000 + i if i % 2 else 1_000_000 + i
        line = parent_field(b"x" * LINE_SIZE + b"%d" % i)
        memory.remember(exec_id(pid, 2**64 - 1, 2**64 - 1 - i), line)
        if i % 256 == 0:
            memory.trim()
        if i % 97 == 0:
            most = max(most, size_of(memory))
    assert most <= 2 * MIB


def size_of(memory: Parents) -> int:
    lines = memory._lines
    return sys.getsizeof(lines) + sum(sys.getsizeof(k) + sys.getsizeof(v) for k, v in lines.items())


def test_whether_a_process_exists() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        assert parents._exists(process.pid)
        process.kill()
    assert not parents._exists(process.pid)
    assert parents._exists(1)
    assert parents._exists(os.getpid())


@pytest.mark.parametrize(
    ("line", "is_cut", "expected"),
    [
        (b"ls -la", False, b"ls -la"),
        (b"ls -la", True, b"ls -la # cut"),
        (b"x" * LINE_SIZE, False, b"x" * LINE_SIZE),
        (b"x" * (LINE_SIZE + 1), False, b"x" * (LINE_SIZE - 6) + b" # cut"),
        ("ü".encode() * LINE_SIZE, False, "ü".encode() * (LINE_SIZE // 2 - 3) + b" # cut"),
        (b"x" + "ü".encode() * LINE_SIZE, False, b"x" + "ü".encode() * (LINE_SIZE // 2 - 4) + b" # cut"),
    ],
)
def test_a_command_line_is_cut_between_characters(line: bytes, is_cut: bool, expected: bytes) -> None:
    assert parent_field(line, is_cut=is_cut) == b"EXECWATCH_PARENT_CMDLINE=%b\n" % expected


def child(**changed: Value) -> bytes:
    return pack(
        values(pid=50, exec_id=EXEC_ID.pack(8, 9), parent_pid=37926, parent_id=EXEC_ID.pack(7, 6), **changed)
    )


def parent(**changed: Value) -> bytes:
    return pack(values(pid=37926, exec_id=EXEC_ID.pack(7, 6), **changed))


def encoder(memory: Parents) -> Encoder:
    encode = Encoder()
    encode.redact_with(Redactor(["default"]))
    encode.remember_in(memory)
    return encode


@pytest.mark.parametrize("argv", [b"true\0", b"x\0--token=hunter3\0", "אבג\0".encode()])
def test_a_child_has_its_parents_command_line_on_both_ways(argv: bytes) -> None:
    encode = encoder(Parents())
    encode(parent(argv=b"make\0all it\0", argc=2))
    found = fields(encode(child(argv=argv, argc=2)))
    assert found["EXECWATCH_PARENT_CMDLINE"] == b"make 'all it'"
    assert found["EXECWATCH_PARENT_ID"] == b"37926-7-6"


def test_a_secret_of_the_parents_is_in_no_entry() -> None:
    encode = encoder(Parents())
    encode(parent(argv=b"x\0--token=hunter2\0"))
    assert fields(encode(child()))["EXECWATCH_PARENT_CMDLINE"] == b"x '--token=***'"


def test_what_was_not_recorded_or_failed_is_no_parent() -> None:
    encode = encoder(Parents())
    assert "EXECWATCH_PARENT_CMDLINE" not in fields(encode(child()))
    encode(pack(values(pid=37926, exec_id=NO_EXEC, result=-2)))
    encode(pack(values(pid=37926, exec_id=EXEC_ID.pack(7, 7))))
    assert "EXECWATCH_PARENT_CMDLINE" not in fields(encode(child(argv=b"a\nb\0")))


def test_where_it_is_switched_off() -> None:
    encode = encoder(NoParents())
    encode(parent())
    found = fields(encode(child()))
    assert found["EXECWATCH_PARENT_ID"] == b"37926-7-6"
    assert "EXECWATCH_PARENT_CMDLINE" not in found

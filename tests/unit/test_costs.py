# SPDX-License-Identifier: GPL-2.0-or-later
"""What an event costs wherever it runs: instructions of the interpreter, and memory that is kept.

The bounds are a tenth above what Python 3.11 and 3.13 need; who exceeds one has made every exec dearer.
"""

import gc
import itertools
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from execwatchd.kernel.layout import Flag
from execwatchd.kernel.ledger import Ledger
from execwatchd.redaction.redactor import Redactor
from execwatchd.shared.quoting import utf8
from execwatchd.stream.drain import Reader
from execwatchd.stream.outbox import Outbox
from execwatchd.stream.parents import Parents
from tests.fakes.kernel import FakeSource
from tests.fakes.records import Value, pack, values
from tests.unit.test_quoting import TOO_MANY, joined

EVENTS = 1000
_REMEMBERED = 64  # combinations that the parts of an entry are remembered for


class Nowhere:
    """Takes every entry."""

    def __init__(self) -> None:
        self.taken = 0

    def send(self, _datagram: bytes) -> bool:
        self.taken += 1
        return True


class Path:
    """The way of a record from the ring to the socket, in warm caches; `redact` as by default."""

    def __init__(self) -> None:
        self.source = FakeSource()
        self.source.ledger = Ledger(self.source.memory)
        self.sink = Nowhere()
        self.reader = Reader(self.source, Outbox(self.sink))
        self.reader.redact_with(Redactor(["default"]))
        self.parents = Parents()
        self.reader.remember_in(self.parents)
        self.run(_REMEMBERED)

    def run(self, count: int) -> None:
        for i in range(count):
            uid = i % _REMEMBERED
            self.source.exec(pack(values(pid=1000 + i, timestamp=10**12 + i, uid=uid, argv=b"ls\0-la\0")))
            while not self.reader.read():
                pass
            self.parents.trim()


@pytest.fixture
def path() -> Iterator[Path]:
    path = Path()
    yield path
    path.reader.close()


def instructions(call: Callable[[], object]) -> int:
    """Bytecode instructions outside of the tests that a call runs; a builtin function is one."""
    count = 0

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        if frame.f_globals["__name__"].startswith("tests."):
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    gc.collect()
    gc.disable()  # what it calls back when an earlier test's objects end is no part of the call
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
        gc.enable()
    return count


KINDS: dict[str, tuple[Callable[[int], dict[str, Value]], int]] = {
    "ordinary": (lambda _: {}, 317),
    "failed": (lambda _: {"result": -2}, 317),
    "other arguments": (lambda i: {"argv": b"ls\0%d\0" % i}, 502),
    "long arguments": (lambda _: {"argv": b"ls\0" * 100}, 502),
    "truncated": (lambda _: {"flags": int(Flag.HAS_COMM | Flag.TRUNCATED_ARGV)}, 1400),
}


@pytest.mark.parametrize(("changed", "bound"), KINDS.values(), ids=KINDS.keys())
def test_an_exec_takes_so_many_instructions(
    changed: Callable[[int], dict[str, Value]], bound: int, path: Path
) -> None:
    number = itertools.count()

    def reading(count: int) -> int:
        path.source.exec(*(pack(values(**changed(next(number)))) for _ in range(count)))
        return instructions(path.reader.read)

    reading(1)
    each, rest = divmod(reading(11) - reading(1), 10)
    print(f"{each} instructions")
    assert rest == 0
    assert each <= bound


@pytest.mark.parametrize("argv", TOO_MANY.values(), ids=TOO_MANY.keys())
def test_no_command_line_takes_many_more(argv: list[bytes]) -> None:
    """Not as many as a hundred ordinary execs, however its 4 KiB are chosen."""
    data = joined(argv)[:4096]
    assert instructions(lambda: utf8(data)) <= 22_000


def test_nothing_of_an_event_is_kept(path: Path) -> None:
    path.run(EVENTS)
    gc.collect()
    before = sys.getallocatedblocks()
    path.run(EVENTS)
    gc.collect()
    # a few for what the test itself counts with
    assert sys.getallocatedblocks() - before < EVENTS // 50
    assert path.sink.taken == _REMEMBERED + 2 * EVENTS

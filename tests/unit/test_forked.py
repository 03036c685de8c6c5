# SPDX-License-Identifier: GPL-2.0-or-later
import asyncio
import errno
import os
import pickle
import select
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from execwatchd.policy import reader
from execwatchd.policy.configuration import Config
from execwatchd.shared import forked
from execwatchd.shared.errors import ConfigError, Failure

HELPER = forked.Helper("helps the test", "1 MB")
LARGE = "x" * (3 << 20)  # many times what a socket holds


def waited(function: Callable[[], object]) -> object:
    return asyncio.run(HELPER.wait(function))


def both(function: Callable[[], object]) -> list[object]:
    return [HELPER.call(function), waited(function)]


@pytest.fixture(params=[HELPER.call, waited])
def run(request: pytest.FixtureRequest) -> Callable[[Callable[[], object]], object]:
    found: Callable[[Callable[[], object]], object] = request.param
    return found


def test_what_it_returns() -> None:
    assert both(lambda: LARGE) == [LARGE, LARGE]
    assert os.getpid() not in both(os.getpid)


def test_descriptors_that_it_hands_over() -> None:
    def make() -> tuple[str, list[int]]:
        read, write = os.pipe()
        os.write(write, b"from the helper")
        return LARGE, [read, write]

    value, (read, write) = HELPER.call_for_descriptors(make)
    assert value == LARGE
    assert os.read(read, 99) == b"from the helper"
    os.close(read)
    os.close(write)


def test_descriptors_that_came_with_no_answer_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickle, "loads", _raise)  # in the parent: the helper only dumps
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(EOFError):
        HELPER.call_for_descriptors(lambda: (None, os.pipe()))
    assert len(os.listdir("/proc/self/fd")) == before


def _raise(_data: bytes) -> None:
    raise EOFError


def test_what_it_does_ends_with_it() -> None:
    assert both(lambda: sys.modules.setdefault("nowhere", sys).__name__) == ["sys", "sys"]
    assert "nowhere" not in sys.modules


@pytest.mark.parametrize(
    "error",
    [
        ConfigError(["/etc/x: a: b", "/etc/y: c"]),
        Failure("x", "y", 78),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_it_raises(error: Exception, run: Callable[[Callable[[], object]], object]) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        run(fail)
    assert str(raised.value) == str(error)
    assert vars(raised.value) == vars(error)


class UnpicklableError(Exception):
    def __init__(self, one: int, *others: int) -> None:
        super().__init__(one)
        self.others = (lambda: None, *others)


@pytest.mark.parametrize("error", [ZeroDivisionError("z"), UnpicklableError(1, 2)])
def test_any_other_error_is_a_failure_that_names_it(
    error: Exception, run: Callable[[Callable[[], object]], object], capfd: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(Failure, match=type(error).__name__):
        run(fail)
    assert "in fail" in capfd.readouterr().err


def test_an_answer_that_cannot_be_sent(run: Callable[[Callable[[], object]], object]) -> None:
    with pytest.raises(Failure, match=r"^the helper that helps the test ended with status 1 "):
        run(lambda: lambda: None)


def test_a_process_that_cannot_be_started_leaves_nothing_open(
    monkeypatch: pytest.MonkeyPatch, run: Callable[[Callable[[], object]], object]
) -> None:
    def fork() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", fork)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(Failure, match="can't be started: Resource temporarily unavailable"):
            run(os.getpid)
    assert len(os.listdir("/proc/self/fd")) == before


def test_one_that_has_no_answer_is_ended(
    monkeypatch: pytest.MonkeyPatch, run: Callable[[Callable[[], object]], object]
) -> None:
    monkeypatch.setattr(forked, "_PATIENCE", 0.1)
    with pytest.raises(Failure, match="no answer"):
        run(signal.pause)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_one_without_a_parent_ends() -> None:
    """Its answer is more than a socket holds, and nobody reads it."""
    started, say = os.pipe()

    def answer() -> str:
        os.write(say, b"%d" % os.getpid())
        return LARGE

    parent = os.fork()
    if not parent:
        HELPER._start(lambda: (answer(), ()))
        os._exit(0)
    os.waitpid(parent, 0)
    child = int(os.read(started, 99))
    os.close(say)
    try:
        assert select.select([started], [], [], 20)[0]
        assert os.read(started, 1) == b""  # nobody has the other end any more
    finally:
        os.close(started)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def test_one_that_is_killed(run: Callable[[Callable[[], object]], object]) -> None:
    with pytest.raises(Failure) as raised:
        run(lambda: os.kill(os.getpid(), signal.SIGKILL))
    assert str(raised.value) == (
        "the helper that helps the test was killed (signal 9) (out of memory? it needs about 1 MB)"
    )


def test_one_that_cannot_be_killed_now_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, run: Callable[[Callable[[], object]], object]
) -> None:
    """As it is in a system call on a file system that hangs; the next call finds its end."""
    kills: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(forked, "_PATIENCE", 0.1)
        patch.setattr(forked, "_PARTING", 0.1)
        patch.setattr(os, "kill", lambda pid, _signal: kills.append(pid))
        with pytest.raises(Failure, match="no answer"):
            run(signal.pause)
    (child,) = kills
    assert forked._unreaped == {child}
    os.kill(child, signal.SIGKILL)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert run(os.getppid) == os.getpid()
    assert forked._unreaped == set()


def test_the_loop_goes_on_and_a_cancelled_one_is_killed() -> None:
    started, say = os.pipe()

    def hang() -> None:
        os.write(say, b"%d" % os.getpid())
        signal.pause()

    async def cancel() -> None:
        ready = asyncio.Event()
        asyncio.get_running_loop().add_reader(started, ready.set)
        task = asyncio.create_task(HELPER.wait(hang))
        await ready.wait()
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancel())
    with pytest.raises(ProcessLookupError):
        os.kill(int(os.read(started, 99)), 0)
    os.close(started)
    os.close(say)


def test_a_signal_to_it_is_none_to_the_daemon() -> None:
    """Nor does it end by one that goes to all processes of the unit."""
    heard: list[bool] = []

    def get_one() -> str:
        os.kill(os.getpid(), signal.SIGTERM)
        return "alive"

    async def send_it() -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, heard.append, True)
        assert await HELPER.wait(get_one) == "alive"
        await asyncio.sleep(0)

    asyncio.run(send_it())
    assert not heard


def test_a_configuration(tmp_path: Path) -> None:
    file = tmp_path / "etc/execwatchd/execwatchd.toml"
    file.parent.mkdir(parents=True)
    file.write_text('messages = {501 = "Hi"}\nring_size = "8MiB"')
    assert both(lambda: reader.configuration(tmp_path)) == [reader.configuration(tmp_path)] * 2
    assert HELPER.call(lambda: reader.configuration(tmp_path / "nothing")) == Config()
    assert b"pydantic" not in pickle.dumps(reader.configuration(tmp_path))

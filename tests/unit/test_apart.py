# SPDX-License-Identifier: GPL-2.0-or-later
import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from execwatchd import apart
from execwatchd.control.config import Config, load
from execwatchd.control.errors import ConfigError
from execwatchd.errors import Failure

LARGE = "x" * (3 << 20)  # many times what a pipe holds


def waited(function: Callable[[], object]) -> object:
    return asyncio.run(apart.wait(function))


def both(function: Callable[[], object]) -> list[object]:
    return [apart.call(function), waited(function)]


@pytest.fixture(params=[apart.call, waited])
def run(request: pytest.FixtureRequest) -> Callable[[Callable[[], object]], object]:
    found: Callable[[Callable[[], object]], object] = request.param
    return found


def test_what_it_returns() -> None:
    assert both(lambda: LARGE) == [LARGE, LARGE]
    assert os.getpid() not in both(os.getpid)


def test_what_it_does_ends_with_it() -> None:
    assert both(lambda: sys.modules.setdefault("nowhere", sys).__name__) == ["sys", "sys"]
    assert "nowhere" not in sys.modules


@pytest.mark.parametrize(
    "error",
    [
        ConfigError(["/etc/x: a: b", "/etc/y: c"]),
        Failure("x", "y", 78),
        ZeroDivisionError("z"),
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


def test_one_that_is_killed(run: Callable[[Callable[[], object]], object]) -> None:
    with pytest.raises(Failure, match="said nothing"):
        run(lambda: os.kill(os.getpid(), signal.SIGKILL))


def test_the_loop_goes_on_and_a_cancelled_one_is_killed() -> None:
    started, say = os.pipe()

    def hang() -> None:
        os.write(say, b"%d" % os.getpid())
        signal.pause()

    async def cancel() -> None:
        ready = asyncio.Event()
        asyncio.get_running_loop().add_reader(started, ready.set)
        task = asyncio.create_task(apart.wait(hang))
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
    """Its group may get one; what the daemon's loop does then is not for it."""
    heard: list[bool] = []

    async def end_it() -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, heard.append, True)
        with pytest.raises(Failure, match="said nothing"):
            await apart.wait(lambda: os.kill(os.getpid(), signal.SIGTERM))
        await asyncio.sleep(0)

    asyncio.run(end_it())
    assert not heard


def test_a_configuration(tmp_path: Path) -> None:
    file = tmp_path / "etc/execwatchd/execwatchd.toml"
    file.parent.mkdir(parents=True)
    file.write_text('messages = {501 = "Hi"}\nring_size = "8MiB"')
    assert both(lambda: load(tmp_path)) == [load(tmp_path)] * 2
    assert apart.call(lambda: load(tmp_path / "nothing")) == Config()

# SPDX-License-Identifier: GPL-2.0-or-later
"""A function in a process of its own: what it imports and allocates ends with it.

The process is forked, not executed: a daemon that became another user may not read its own program any more.
"""

import asyncio
import os
import pickle
import signal
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from execwatchd.errors import Failure

T = TypeVar("T")

_SIGNALS = signal.SIGTERM, signal.SIGINT, signal.SIGHUP  # that the daemon handles


def call(function: Callable[[], T]) -> T:
    """What it returns, or raises. Raises Failure if the process ends without either."""
    child, answer = _start(function)
    with open(answer, "rb") as file:
        said = file.read()
    os.waitpid(child, 0)
    result: T = _result(said)
    return result


async def wait(function: Callable[[], T]) -> T:
    """The same, while the event loop goes on. The process ends if the task is cancelled."""
    loop = asyncio.get_running_loop()
    child, answer = _start(function)
    said: list[bytes] = []
    done = loop.create_future()

    def read() -> None:
        part = os.read(answer, 1 << 16)
        said.append(part)
        if not part and not done.done():
            done.set_result(None)

    loop.add_reader(answer, read)
    try:
        await done
    except asyncio.CancelledError:
        os.kill(child, signal.SIGKILL)
        raise
    finally:
        loop.remove_reader(answer)
        os.close(answer)
        os.waitpid(child, 0)  # noqa: ASYNC222  it has closed the pipe, or was killed
    result: T = _result(b"".join(said))
    return result


def _start(function: Callable[[], object]) -> tuple[int, int]:
    answer, said = os.pipe()
    child = os.fork()
    if not child:
        _run(function, said)
    os.close(said)
    return child, answer


def _run(function: Callable[[], object], said: int) -> NoReturn:
    try:
        signal.set_wakeup_fd(-1)  # it is the parent's event loop's
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        try:
            answer: tuple[bool, object] = True, function()
        except Exception as error:  # whatever it is, the parent raises it
            answer = False, error
        with open(said, "wb") as file:
            file.write(pickle.dumps(answer))
    finally:
        os._exit(0)


def _result(said: bytes) -> Any:
    if not said:
        raise Failure("a process of its own ended and said nothing", "out of memory? it needs about 40 MB")
    returned, value = pickle.loads(said)  # noqa: S301  our own process wrote it
    if not returned:
        raise value
    return value

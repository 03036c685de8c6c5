# SPDX-License-Identifier: GPL-2.0-or-later
"""A function in a process of its own: what it imports and allocates ends with it.

The process is forked, not executed: a daemon that became another user may not read its own program any more.
Other threads don't exist in it, so the function may not need what one of them holds; the daemon's only other
thread writes the state file, and imports nothing.
"""

import asyncio
import os
import pickle
import signal
import traceback
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from execwatchd.shared.errors import Failure

T = TypeVar("T")

_PATIENCE = 60  # s
# They may go to all of a unit's processes; the daemon ends this one itself.
_IGNORED = signal.SIGTERM, signal.SIGINT, signal.SIGHUP


def call(function: Callable[[], T]) -> T:
    """What it returns. Raises the Failure that it raises, or one that tells of any other end."""
    child, answer = _start(function)
    with open(answer, "rb") as file:
        said = file.read()
    _, status = os.waitpid(child, 0)
    result: T = _result(said, status)
    return result


async def wait(function: Callable[[], T]) -> T:
    """The same, while the event loop goes on. After a minute, or if the task is cancelled, it is killed."""
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
        await asyncio.wait_for(done, _PATIENCE)
    except TimeoutError:
        raise Failure(f"a process of its own has no answer after {_PATIENCE} s", "try again") from None
    finally:
        if done.cancelled():
            os.kill(child, signal.SIGKILL)
        loop.remove_reader(answer)
        os.close(answer)
        _, status = os.waitpid(child, 0)  # noqa: ASYNC222  it has closed the pipe, or was killed
    result: T = _result(b"".join(said), status)
    return result


def _start(function: Callable[[], object]) -> tuple[int, int]:
    answer, said = os.pipe()
    try:
        child = os.fork()
    except OSError as error:
        os.close(answer)
        os.close(said)
        raise Failure(f"a process of its own can't be started: {error.strerror}", "TasksMax=?") from None
    if not child:
        os.close(answer)
        _run(function, said)
    os.close(said)
    return child, answer


def _run(function: Callable[[], object], said: int) -> NoReturn:
    try:
        signal.set_wakeup_fd(-1)  # it is the parent's event loop's
        for number in _IGNORED:
            signal.signal(number, signal.SIG_IGN)
        with open(said, "wb") as file:
            file.write(pickle.dumps(_answer(function)))
        os._exit(0)
    finally:
        os._exit(1)  # it isn't the parent, and may not go on as one


def _answer(function: Callable[[], object]) -> tuple[bool, object]:
    try:
        return True, function()
    except Failure as failure:
        return False, failure
    except Exception as error:  # whatever it is, the parent must hear of it
        traceback.print_exc()
        return False, Failure(f"a process of its own failed: {error!r}", "report it")


def _result(said: bytes, status: int) -> Any:
    if status:
        how = os.waitstatus_to_exitcode(status)
        raise Failure(f"a process of its own ended with {how}", "out of memory? it needs about 40 MB")
    returned, value = pickle.loads(said)  # noqa: S301  our own process wrote it
    if not returned:
        raise value
    return value

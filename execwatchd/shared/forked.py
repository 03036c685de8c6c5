# SPDX-License-Identifier: GPL-2.0-or-later
"""A function in a helper process: what it imports and allocates ends with the helper.

The helper is forked, not executed: a daemon that became another user may not read its own program any more.
Other threads don't exist in it, so the function may not need what one of them holds; the daemon's only other
thread writes the state file, and imports nothing.

The answer comes over a socket: one byte with the descriptors that the function hands over, then the pickled
result.
"""

import asyncio
import errno
import os
import pickle
import select
import signal
import socket
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from execwatchd.shared.errors import Failure

T = TypeVar("T")

_PATIENCE = 60.0  # s
_PARTING = 0.5  # s, for the end of a helper that was killed
# They may go to all of a unit's processes; the daemon ends this one itself.
_IGNORED = signal.SIGTERM, signal.SIGINT, signal.SIGHUP
_MAX_DESCRIPTORS = 64
_CHUNK = 1 << 16
# Helpers that were killed and have not ended yet. To wait for them would be to hang as they do.
_unreaped: set[int] = set()


@dataclass(frozen=True)
class Helper:
    """`task`: what it does, as in "the helper that reads the configuration"; `needs`: memory, for a reader.

    All three ways of running it raise the Failure that the function raises, or one that names any other end.
    """

    task: str
    needs: str

    def call(self, function: Callable[[], T]) -> T:
        """What the function returns. Blocks, for a minute at most."""
        value, _ = self.call_for_descriptors(lambda: (function(), ()))
        return value

    def call_for_descriptors(self, function: Callable[[], tuple[T, Sequence[int]]]) -> tuple[T, list[int]]:
        """The same for a function whose second value is descriptors: here they are the caller's own."""
        child, channel = self._start(function)
        parts: list[bytes] = []
        fds: list[int] = []
        deadline = time.monotonic() + _PATIENCE
        try:
            with channel, self._ending(child):
                while not parts or parts[-1]:
                    channel.settimeout(max(0.001, deadline - time.monotonic()))
                    part, more, _flags, _address = socket.recv_fds(channel, _CHUNK, _MAX_DESCRIPTORS)
                    parts.append(part)
                    fds += more
            return self._result(b"".join(parts), child), fds
        except BaseException:
            for fd in fds:
                os.close(fd)
            raise

    async def wait(self, function: Callable[[], T]) -> T:
        """What the function returns, while the event loop goes on. Cancelled, it ends the helper."""
        child, channel = self._start(lambda: (function(), ()))
        channel.setblocking(False)
        parts = []
        with channel, self._ending(child):
            async with asyncio.timeout(_PATIENCE):
                while part := await asyncio.get_running_loop().sock_recv(channel, _CHUNK):
                    parts.append(part)
        result: T = self._result(b"".join(parts), child)
        return result

    @contextmanager
    def _ending(self, child: int) -> Iterator[None]:
        """Ends the helper if its answer isn't waited for to its end."""
        try:
            yield
        except BaseException as error:
            _end(child)
            if isinstance(error, TimeoutError):
                raise self._failure(f"has no answer after {_PATIENCE:g} s", "try again") from None
            raise

    def _start(self, function: Callable[[], tuple[object, Sequence[int]]]) -> tuple[int, socket.socket]:
        _reap_ended()
        with ExitStack() as unless_started:
            try:
                ours, theirs = map(unless_started.enter_context, socket.socketpair())
                child = os.fork()
            except OSError as error:
                hint = "raise the unit's TasksMax=" if error.errno == errno.EAGAIN else "try again"
                raise self._failure(f"can't be started: {error.strerror}", hint) from None
            unless_started.pop_all()
        if not child:
            ours.close()
            self._run(function, theirs)
        theirs.close()
        return child, ours

    def _run(self, function: Callable[[], tuple[object, Sequence[int]]], channel: socket.socket) -> NoReturn:
        try:
            signal.set_wakeup_fd(-1)  # it is the parent's event loop's
            for number in _IGNORED:
                signal.signal(number, signal.SIG_IGN)
            answer, fds = self._answer(function)
            data = pickle.dumps(answer)
            socket.send_fds(channel, [b"\0"], fds)
            channel.sendall(data)
            os._exit(0)
        finally:
            os._exit(1)  # it isn't the parent, and may not go on as one

    def _answer(
        self, function: Callable[[], tuple[object, Sequence[int]]]
    ) -> tuple[tuple[bool, object], Sequence[int]]:
        try:
            value, fds = function()
        except Failure as failure:
            return (False, failure), ()
        except Exception as error:  # whatever it is, the parent must hear of it
            traceback.print_exc()
            return (False, self._failure(f"failed: {error!r}"[:4000], "report it")), ()
        return (True, value), fds

    def _result(self, answer: bytes, child: int) -> Any:
        """Of a helper that has closed the channel, and so ends at once."""
        _, status = os.waitpid(child, 0)
        exit_code = os.waitstatus_to_exitcode(status)
        if exit_code < 0:
            hint = f"out of memory? it needs about {self.needs}"
            raise self._failure(f"was killed (signal {-exit_code})", hint)
        if exit_code:
            raise self._failure(f"ended with status {exit_code}", "report it, with what it printed")
        returned, value = pickle.loads(answer[1:])  # noqa: S301  our own process wrote it
        if not returned:
            raise value
        return value

    def _failure(self, what: str, hint: str) -> Failure:
        return Failure(f"the helper that {self.task} {what}", hint)


def _end(child: int) -> None:
    """Kill it, and wait a moment for its end: in a system call that hangs, it ends only with the call."""
    os.kill(child, signal.SIGKILL)
    _unreaped.add(child)
    end = os.pidfd_open(child)
    try:
        select.select([end], [], [], _PARTING)
    finally:
        os.close(end)
    _reap_ended()


def _reap_ended() -> None:
    for child in list(_unreaped):
        if os.waitpid(child, os.WNOHANG)[0]:
            _unreaped.discard(child)

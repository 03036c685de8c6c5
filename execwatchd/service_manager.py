# SPDX-License-Identifier: GPL-2.0-or-later
"""systemd as the service manager: notifications, and the file descriptor store. Elsewhere both do nothing.

The only module of the daemon that imports systemd.
"""

import errno
import os
import select
import time
from collections.abc import Callable, Sequence

from systemd import daemon


class ServiceManager:
    """Talks to systemd over the notification socket."""

    def __init__(self) -> None:
        self.present = bool(os.environ.get("NOTIFY_SOCKET"))
        self._spare = _spare()
        interval = os.environ.get("WATCHDOG_USEC", "0")
        self.watchdog = int(interval) / 1e6 if interval.isdigit() else 0.0  # seconds; 0: none

    def stored(self) -> dict[str, int]:
        """The descriptors from the store, by name; from now on the caller must close them."""
        return {name: fd for fd, name in daemon.listen_fds_with_names(unset_environment=True).items()}

    def put(self, name: str, fd: int) -> None:
        """Store a descriptor. FDPOLL=0 since an attachment's polls as hung up, and systemd would drop it."""
        self._send("FDSTORE=1", f"FDNAME={name}", "FDPOLL=0", fds=[fd])

    def remove(self, name: str) -> None:
        """Remove all descriptors of this name: systemd closes its copies."""
        self._send("FDSTOREREMOVE=1", f"FDNAME={name}")

    def has_room(self) -> Callable[[], bool | None]:
        """A function that tells whether the store has room for another descriptor, and so has kept all that
        were put there before; None: not known yet.

        systemd doesn't say what it refuses, but closes it. So one end of a pipe goes there, and the other one
        hangs up if it was refused. systemd has closed it by the time it gets to the barrier.
        """
        return _Room(self) if self.present else lambda: True

    def ready(self, status: str) -> None:
        """The start or the reload is complete."""
        self._send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """A reload starts; `ready` must follow."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str) -> None:
        """The daemon is about to end."""
        self._send("STOPPING=1", f"STATUS={status}")

    def status(self, status: str) -> None:
        """The one line of `systemctl status`."""
        self._send(f"STATUS={status}")

    def alive(self) -> None:
        """Feed the watchdog."""
        self._send("WATCHDOG=1")

    def barrier(self) -> Callable[[], bool]:
        """A function that tells whether systemd has processed all that was sent before, sd_notify_barrier(3).

        It isn't waited for: systemd may be busy for long, and the ring must be read meanwhile.
        """
        ours, theirs = os.pipe()
        try:
            self._send("BARRIER=1", fds=[theirs])
        finally:
            os.close(theirs)
        return _Barrier(ours)

    def _send(self, *lines: str, fds: Sequence[int] = ()) -> None:
        if not self.present:
            return
        try:
            daemon.notify("\n".join(lines), fds=list(fds))
        except OSError as error:
            if error.errno != errno.EMFILE or self._spare < 0:
                raise
            os.close(self._spare)  # each message needs a socket of its own: else the watchdog would starve
            try:
                daemon.notify("\n".join(lines), fds=list(fds))
            finally:
                self._spare = _spare()


def _spare() -> int:
    """A descriptor to give up when there is no other; -1: there is none."""
    try:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


class _Barrier:
    """True once systemd has closed its end of the pipe."""

    def __init__(self, fd: int) -> None:
        self._fd: int | None = fd

    def __call__(self) -> bool:
        if self._fd is not None and _has_hung_up(self._fd):
            os.close(self._fd)
            self._fd = None
        return self._fd is None


class _Room:
    """Whether systemd has kept a pipe's end, which is removed from the store once that is known."""

    _NAME = "room"

    def __init__(self, manager: ServiceManager) -> None:
        self._manager = manager
        self._answer: bool | None = None
        self._fd, theirs = os.pipe()
        try:
            manager.put(self._NAME, theirs)
        finally:
            os.close(theirs)
        self._has_come_to = manager.barrier()

    def __call__(self) -> bool | None:
        if self._answer is None and self._has_come_to():
            self._answer = not _has_hung_up(self._fd)
            os.close(self._fd)
            self._manager.remove(self._NAME)
        return self._answer


def _has_hung_up(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, 0)
    return bool(poll.poll(0))

# SPDX-License-Identifier: GPL-2.0-or-later
"""systemd as the service manager: notifications, and the file descriptor store. Elsewhere both do nothing.

The only module of the daemon that imports systemd.
"""

import os
import select
import time
from collections.abc import Callable, Sequence

from systemd import daemon


class ServiceManager:
    """Talks to systemd over the notification socket."""

    def __init__(self) -> None:
        self.present = bool(os.environ.get("NOTIFY_SOCKET"))
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
        if self.present:
            daemon.notify("\n".join(lines), fds=list(fds))


class _Barrier:
    """True once systemd has closed its end of the pipe."""

    def __init__(self, fd: int) -> None:
        self._fd: int | None = fd

    def __call__(self) -> bool:
        if self._fd is not None:
            poll = select.poll()
            poll.register(self._fd, 0)
            if poll.poll(0):
                os.close(self._fd)
                self._fd = None
        return self._fd is None

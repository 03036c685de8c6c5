# SPDX-License-Identifier: GPL-2.0-or-later
"""The socket of journald, which is never waited for: a stalled journal must not stop the event loop.

systemd-python's `journal.send` would stop it: it blocks while it holds the interpreter's lock.
"""

import errno
import fcntl
import os
import socket
import sys
import termios
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SOCKET = Path("/run/systemd/journal/socket")
_BUFFER = 8 << 20  # bytes; the kernel grants at most net.core.wmem_max
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_FULL = {errno.EAGAIN, errno.ENOBUFS}
_TOO_LONG = {errno.EMSGSIZE}


class Journal:
    """A datagram socket that is connected to journald, or can be connected again."""

    def __init__(self, path: Path = SOCKET) -> None:
        self._path = path
        self._socket: socket.socket | None = None
        self.needs_pause = False  # an entry waits for something else than the socket
        self.on_close: Callable[[], None] = lambda: None

    def open(self) -> bool:
        """Connect unless it is connected. False: nobody listens there now."""
        if self._socket:
            return True
        try:
            new = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        except OSError:  # no free descriptor
            return False
        try:
            new.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
            new.connect(str(self._path))
        except OSError:
            new.close()
            return False
        self._socket = new
        return True

    def fileno(self) -> int:
        """The descriptor to wait on until it is writable; -1: not connected."""
        return self._socket.fileno() if self._socket else -1

    def unread(self) -> int:
        """Bytes that the socket accepted and journald hasn't read yet."""
        if not self._socket:
            return 0
        answer = fcntl.ioctl(self._socket, termios.TIOCOUTQ, bytes(4))  # SIOCOUTQ, unix(7)
        return int.from_bytes(answer, sys.byteorder)

    def send(self, datagram: bytes) -> bool:
        """Send one entry. False: not accepted; wait until the socket is writable, or open it again."""
        if not self._socket:
            return False
        try:
            self._socket.send(datagram)
        except OSError as error:
            return self._refused(error, datagram)
        return True

    def _refused(self, error: OSError, datagram: bytes) -> bool:
        if error.errno in _TOO_LONG:
            return self._send_file(datagram)
        if error.errno not in _FULL:
            self.close()  # journald has ended, or another journald listens at the path
        return False

    def _send_file(self, datagram: bytes) -> bool:
        """An entry that exceeds a datagram goes as a sealed memory file, as the native protocol says."""
        assert self._socket
        try:
            fd = os.memfd_create("execwatchd-entry", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        except OSError:  # no free descriptor, or no memory: the socket itself is writable all the while
            self.needs_pause = True
            return False
        try:
            with open(fd, "wb", closefd=False) as file:
                file.write(datagram)
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
            socket.send_fds(self._socket, [b""], [fd])
        except OSError as error:
            if error.errno not in _FULL:
                self.close()
            return False
        finally:
            os.close(fd)
        return True

    def close(self) -> None:
        """Disconnect, until the next `open`."""
        if self._socket:
            self.on_close()
            self._socket.close()
        self._socket = None

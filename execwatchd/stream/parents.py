# SPDX-License-Identifier: GPL-2.0-or-later
"""Command lines of recorded execs, by the id of the exec, for the entries of their children.

Most execs never become a parent, and nobody says which: so all are remembered until there are too many. Then
those whose process has ended are forgotten. So no storm of short processes takes the place of a shell that
has been open for weeks. An id is never used twice on a boot: a command line may be absent, but is never
another's.
"""

import os
from collections.abc import Callable

LINE_SIZE = 512  # bytes of a command line
# 2 MiB, if all are as long as they may be: 750 bytes each with their ids and their places.
_MOST = 2560
_LIVING = 2048  # that may stay: the oldest, so that new processes, however many, take nobody's place
_CUT = b" # cut"


def parent_field(line: bytes, *, is_cut: bool = False) -> bytes:
    """A command line as a field of the entries of children: at most LINE_SIZE bytes, of whole characters."""
    if is_cut or len(line) > LINE_SIZE:
        line = line[: LINE_SIZE - len(_CUT)].decode(errors="ignore").encode() + _CUT
    return b"EXECWATCH_PARENT_CMDLINE=%b\n" % line


class Parents:
    """`is_alive`: whether a process of this pid exists."""

    def __init__(self, is_alive: Callable[[int], bool] | None = None) -> None:
        self._lines: dict[bytes, bytes] = {}
        self._is_alive = is_alive or _exists
        # These two are called for each exec: they are the dictionary's own.
        self.remembered = self._lines.get
        self.remember: Callable[[bytes, bytes], None] = self._lines.__setitem__

    def trim(self) -> None:
        """To be called now and then, at least once in a few hundred execs."""
        if len(self._lines) <= _MOST:
            return
        living = self._living()
        kept = [exec_id for exec_id in self._lines if exec_id in living][:_LIVING]
        for exec_id in self._lines.keys() - set(kept):
            del self._lines[exec_id]

    def clear(self) -> None:
        """Forget all: what is a secret is decided otherwise from here on."""
        self._lines.clear()

    def _living(self) -> set[bytes]:
        """The last exec of each process that exists."""
        latest: dict[bytes, bytes] = {}
        for exec_id in self._lines:
            latest[exec_id.rpartition(b"-")[0]] = exec_id
        return {exec_id for exec_id in latest.values() if self._is_alive(int(exec_id.partition(b"-")[0]))}


class NoParents(Parents):
    """Remembers nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.remember = _nothing


def _nothing(_exec_id: bytes, _line: bytes) -> None:
    pass


def _exists(pid: int) -> bool:
    try:
        os.getsid(pid)  # the unit hides other users' processes in /proc
    except ProcessLookupError:
        return False
    except PermissionError:  # a security module's
        return True
    return True

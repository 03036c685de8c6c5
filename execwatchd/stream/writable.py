# SPDX-License-Identifier: GPL-2.0-or-later
"""Waits, in the loop, for the journal to take entries again."""

import asyncio
from collections.abc import Callable

from execwatchd.stream.journal_socket import Journal

_RETRY = 1.0  # s, between attempts to reach a journal that is gone
_LOOK = 0.01  # s
_PARTING = 2.0  # s, that a stalled journal may delay the end


class Writable:
    """Calls back once, when the journal's socket is writable, or there again."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._waiting: list[Callable[[], None]] = []

    def wait(self, callback: Callable[[], None]) -> None:
        """Each waits once, however often it asks."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._watch)
        if callback not in self._waiting:
            self._waiting.append(callback)

    async def all_read(self) -> None:
        """Return once journald has read everything, or after 2 s.

        It looks up a sender's unit when it reads: of a process that is gone it finds none.
        """
        for _ in range(int(_PARTING / _LOOK)):
            if not self._journal.unread():
                return
            await asyncio.sleep(_LOOK)

    def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        if self._journal.open():
            loop.add_writer(self._journal.fileno(), self._ready, self._journal.fileno())
        else:
            loop.call_later(_RETRY, self._watch)

    def _ready(self, fd: int) -> None:
        asyncio.get_running_loop().remove_writer(fd)
        waiting, self._waiting = self._waiting, []
        for callback in waiting:
            callback()

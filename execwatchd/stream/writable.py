# SPDX-License-Identifier: GPL-2.0-or-later
"""Waits, without blocking the event loop, until the journal takes entries again."""

import asyncio
from collections.abc import Callable

from execwatchd.stream.journal_socket import Journal

_RETRY = 1.0  # s between two attempts to connect to a journald that has ended
_LOOK = 0.01  # s between two looks at what journald has read
_PARTING = 2.0  # s by which a stalled journal may delay the end of the daemon


class Writable:
    """Calls back once, when the journal's socket has become writable."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._waiting: list[Callable[[], None]] = []
        self._watched = -1  # the socket that the event loop watches
        journal.on_close = self._watch_another

    def wait(self, callback: Callable[[], None]) -> None:
        """Call back once, however often this is asked before."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._watch)
        if callback not in self._waiting:
            self._waiting.append(callback)

    async def all_read(self) -> None:
        """Return once journald has read everything that was sent, or after 2 s.

        journald looks up the sender's unit only when it reads. If the sender has ended by then, the entry has
        no unit, and `journalctl -u` doesn't show it.
        """
        for _ in range(int(_PARTING / _LOOK)):
            if not self._journal.unread():
                return
            await asyncio.sleep(_LOOK)

    def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        if self._journal.needs_pause or not self._journal.open():
            self._journal.needs_pause = False
            loop.call_later(_RETRY, self._watch)
        else:
            self._watched = self._journal.fileno()
            loop.add_writer(self._watched, self._ready)

    def _watch_another(self) -> None:
        """Called before the socket is closed, by whoever sent an entry: it would never become writable."""
        if self._watched >= 0:
            self._stop_watching()
            asyncio.get_running_loop().call_soon(self._watch)

    def _stop_watching(self) -> None:
        asyncio.get_running_loop().remove_writer(self._watched)
        self._watched = -1

    def _ready(self) -> None:
        self._stop_watching()
        waiting, self._waiting = self._waiting, []
        for callback in waiting:
            callback()

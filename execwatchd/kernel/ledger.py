# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon's books, in memory that outlives it: counts, how far the ring was read, the held record.

There are two pages. A change fills the page that isn't current and makes it current by one aligned 8-byte
store, so a kill at any instruction leaves the books as they were before or after the change.
"""

import mmap
import struct
from typing import NamedTuple

from execwatchd.kernel import layout

_PLACES = layout.LEDGER_HEAD.size, layout.LEDGER_HEAD.size + layout.LEDGER_PAGE.size
_put_progress = struct.Struct("=4Q").pack_into  # forwarded, malformed, handled, held: the head of a page
_HELD = layout.LEDGER_SIZE


class Page(NamedTuple):
    """struct ledger_page. Counts, except `handled` (1 + ring position), `held` (bytes), `since` (µs)."""

    forwarded: int = 0
    malformed: int = 0
    handled: int = 0
    held: int = 0
    reported: int = 0
    seen: int = 0
    ignored: int = 0
    lost: int = 0
    since: int = 0
    settled: int = 0


class Shown(NamedTuple):
    """struct ledger_shown: what a generation itself had counted when its counters were looked at last."""

    seen: int = 0
    ignored: int = 0
    lost: int = 0
    missed: int = 0


class Ledger:
    """The books in the memory of map `ledger`; for a test, in any buffer of that size."""

    def __init__(self, memory: mmap.mmap | bytearray) -> None:
        self._memory = memory
        self._words = memoryview(memory)[: layout.LEDGER_SIZE].cast("Q")
        current, digest, schema, self.mntns = layout.LEDGER_HEAD.unpack_from(memory)
        self._current = current & 1
        self.digest: str = digest.rstrip(b"\0").decode(errors="replace")
        self.schema: str = schema.rstrip(b"\0").decode(errors="replace")
        self.room = len(memory) - _HELD - layout.LEDGER_SHOWN.size
        self._level(self.page)

    @classmethod
    def of_map(cls, fd: int, value_size: int) -> "Ledger":
        """Raises OSError if the map can't be mapped."""
        return cls(mmap.mmap(fd, value_size))

    @property
    def page(self) -> Page:
        """The current page."""
        return Page(*layout.LEDGER_PAGE.unpack_from(self._memory, _PLACES[self._current]))

    def initialise(self, digest: str, page: Page, mntns: int = 0) -> None:
        """For a new map: set the program's digest, the schema of its records, the first page, and the host's
        mount namespace.
        """
        head = self._current, digest.encode(), layout.SCHEMA.encode(), mntns
        layout.LEDGER_HEAD.pack_into(self._memory, 0, *head)
        self.digest, self.schema, self.mntns = digest, layout.SCHEMA, mntns
        self.commit(page)

    def commit(self, page: Page) -> None:
        """Make this page the current one."""
        following = self._current ^ 1
        layout.LEDGER_PAGE.pack_into(self._memory, _PLACES[following], *page)
        self._words[0] = self._current = following
        self._level(page)

    def _level(self, page: Page) -> None:
        """Make the other page the same: forwarded(), which every exec calls, writes only what changes."""
        layout.LEDGER_PAGE.pack_into(self._memory, _PLACES[self._current ^ 1], *page)
        self._forwarded, self._malformed, self.handled = page[:3]

    @property
    def shown(self) -> Shown:
        """What the counters were when they were looked at last."""
        return Shown(*layout.LEDGER_SHOWN.unpack_from(self._memory, _HELD + self.room))

    def show(self, shown: Shown) -> None:
        """Write down what the counters are now."""
        layout.LEDGER_SHOWN.pack_into(self._memory, _HELD + self.room, *shown)

    def forwarded(self, handled: int) -> None:
        """The journal accepted a record; if one was held, it was that."""
        following = self._current ^ 1
        self._forwarded += 1
        _put_progress(self._memory, _PLACES[following], self._forwarded, self._malformed, handled, 0)
        self._words[0] = self._current = following
        self.handled = handled

    def hold(self, record: bytes, handled: int) -> None:
        """Keep a record that left the ring. Raises ValueError if it is too long or another is held."""
        if len(record) > self.room or self.page.held:
            raise ValueError(f"no room for a record of {len(record)} bytes")
        self._memory[_HELD : _HELD + len(record)] = record
        self.commit(self.page._replace(held=len(record), handled=handled))

    def held(self) -> bytes:
        """The record that is held; empty if none is."""
        return bytes(self._memory[_HELD : _HELD + self.page.held])

    def close(self) -> None:
        """Unmap; the map stays."""
        self._words.release()
        if isinstance(self._memory, mmap.mmap):
            self._memory.close()

# SPDX-License-Identifier: GPL-2.0-or-later
"""What the commands need of the daemon and of the journal, so that tests can stand in for both."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from execwatchd.ctl.view.terminal import Console

EXIT_UNREACHABLE = 3  # as `systemctl status` has it for a unit that does not run
EXIT_UNHEALTHY = 4
EXIT_INTERRUPTED = 130


class Row(NamedTuple):
    """One user of ListMessages: `origin` is `state` or the file that set it."""

    uid: int
    message: str
    action: str
    origin: str


class Memory(NamedTuple):
    """The daemon's memory in bytes; `ring` says whether the ring is part of it."""

    used: int
    ring: bool


class Manager(Protocol):
    """org.execwatch1.Manager; every member raises `Failure` with the bus error's text."""

    def set_message(self, uid: int, message: str) -> None:
        """Set the user's message."""

    def remove_message(self, uid: int) -> None:
        """Forget the user's message that was set over the bus."""

    def set_action(self, uid: int, action: str) -> None:
        """Set the user's action, or forget it with `default`."""

    def set_limit(self, uid: int, limit: str) -> None:
        """Set the user's limit, or forget it with `default`."""

    def list_messages(self) -> Sequence[Row]:
        """Every user that has a message, an action or a limit."""

    def list_limits(self) -> Mapping[int, str]:
        """The limit of every user that has one."""

    def properties(self) -> Mapping[str, Any]:
        """All properties by name."""

    def set_property(self, name: str, value: str) -> None:
        """Write one of the two writable properties."""

    def memory(self) -> Memory | None:
        """What the daemon uses, or None where that cannot be read."""


class Entry(NamedTuple):
    """A journal entry: µs of CLOCK_REALTIME and CLOCK_MONOTONIC when journald got it, and raw fields."""

    realtime: int
    monotonic: int
    fields: Mapping[str, bytes]


_is_number = re.compile(rb"-?[0-9]{1,19}").fullmatch


def integer(raw: bytes | None) -> int | None:
    """A field's integer of 64 bits, as the daemon writes them; of what others wrote there, None."""
    return int(raw) if raw and _is_number(raw) else None


class Source(NamedTuple):
    """Which journal to read: a directory, one namespace, or by default the host's own and ours."""

    directory: str | None = None
    namespace: str | None = None


Clause = tuple[bytes, ...]  # of FIELD=value terms, one of which must hold


@dataclass(frozen=True)
class Query:
    """Entries that satisfy every clause, between `since` and `until` (µs of CLOCK_REALTIME).

    `lines` is how many of the last ones, in the journal's order; `follow` goes on with new ones. `ran`: of
    ends, only those of processes that ran for so many µs at least, which no clause can say.
    """

    clauses: tuple[Clause, ...] = ()
    since: int | None = None
    until: int | None = None
    lines: int | None = None
    follow: bool = False
    ran: int | None = None

    def covers(self, realtime: int) -> bool:
        """Whether that is within its time."""
        return (self.since or 0) <= realtime and (self.until is None or realtime <= self.until)

    def accepts(self, entry: Entry) -> bool:
        """What the clauses can't say; an entry that is no end is accepted."""
        ran = entry.fields.get("EXECWATCH_RUN_TIME_USEC")
        return self.ran is None or ran is None or (integer(ran) or 0) >= self.ran


class Journal(Protocol):
    """A reader of the journal."""

    def entries(self, query: Query, before_wait: Callable[[], object]) -> Iterator[Entry]:
        """The entries in their order; a following reader calls `before_wait` each time it has no more."""

    def polled(self, query: Query) -> Iterator[Entry | None]:
        """The same without waiting: a following reader gives None each time it has no more."""

    def skip(self, until: int) -> None:
        """`polled` goes on with what is not before this point in time, in µs since the epoch."""

    def find(self, clauses: Sequence[Clause]) -> Entry | None:
        """The first entry that satisfies them, whatever is being read."""

    def boots(self) -> Sequence[str]:
        """The boot ids that the journal knows, oldest first."""

    def readable(self) -> bool:
        """Whether there is a system journal that may be read."""


@dataclass(frozen=True)
class Tools:
    """All that a command works with besides its options."""

    console: Console
    manager: Callable[[], AbstractContextManager[Manager]]
    journal: Callable[[Source], AbstractContextManager[Journal]]

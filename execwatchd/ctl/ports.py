# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon and the journal as the commands use them: protocols, so that tests can replace both."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from execwatchd.ctl.view.terminal import Console

EXIT_UNREACHABLE = 3  # as `systemctl status` has it for a unit that does not run
EXIT_UNHEALTHY = 4
EXIT_INTERRUPTED = 130


class Row(NamedTuple):
    """A row of ListMessages; `origin` is `state`, or the file that sets the first of the rule's members."""

    uid: int
    message: str
    action: str
    origin: str


class Memory(NamedTuple):
    """The daemon's memory in bytes, and whether that includes the ring."""

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
        """The daemon's memory, or None if it can't be read."""


class Entry(NamedTuple):
    """A journal entry: raw fields, and when journald got it in µs of CLOCK_REALTIME and CLOCK_MONOTONIC."""

    realtime: int
    monotonic: int
    fields: Mapping[str, bytes]


_is_number = re.compile(rb"-?[0-9]{1,19}").fullmatch


def integer(raw: bytes | None) -> int | None:
    """A field's value as an integer of 64 bits, or None if it isn't one: other senders write anything."""
    return int(raw) if raw and _is_number(raw) else None


class Source(NamedTuple):
    """The journal to read: a directory, a namespace, or by default the host's with the daemon's namespace."""

    directory: str | None = None
    namespace: str | None = None


Clause = tuple[bytes, ...]  # FIELD=value terms, of which at least one must hold


@dataclass(frozen=True)
class Query:
    """Entries that satisfy every clause, between `since` and `until` (µs of CLOCK_REALTIME).

    `lines`: only the last so many, in the journal's order. `follow`: go on with new entries. `accept`: what a
    clause can't express; only reading an entry decides. `reverse`: the last comes first. `on_read` is called
    with the time of each entry that was looked at.
    """

    clauses: tuple[Clause, ...] = ()
    since: int | None = None
    until: int | None = None
    lines: int | None = None
    follow: bool = False
    accept: Callable[[Entry], bool] | None = None
    reverse: bool = False
    on_read: Callable[[int], object] = lambda _realtime: None

    def covers(self, realtime: int) -> bool:
        """Whether a point in time is between `since` and `until`."""
        return (self.since or 0) <= realtime and (self.until is None or realtime <= self.until)

    def accepts(self, entry: Entry) -> bool:
        """Whether the entry satisfies `accept`."""
        return self.accept is None or self.accept(entry)


class Journal(Protocol):
    """A reader of the journal."""

    def entries(self, query: Query, before_wait: Callable[[], object]) -> Iterator[Entry]:
        """The entries in their order. A following reader calls `before_wait` whenever it has read all."""

    def polled(self, query: Query) -> Iterator[Entry | None]:
        """The same without waiting: a following reader gives None whenever it has read all."""

    def skip(self, until: int) -> None:
        """Have `polled` go on with entries of this point in time (µs since the epoch) or later."""

    def find(self, clauses: Sequence[Clause]) -> Entry | None:
        """The first entry that satisfies the clauses. The reading of `entries` isn't disturbed."""

    def boots(self) -> Sequence[str]:
        """The boot ids in the journal, oldest first."""

    def messages(self) -> Collection[bytes]:
        """Every message that an exec in the journal bears, in no order."""

    def readable(self) -> bool:
        """Whether there is a system journal that may be read."""

    def damage(self) -> Sequence[str]:
        """A line for each file that can't be read whole, which names it; those found since the last call."""


@dataclass(frozen=True)
class Tools:
    """Everything that a command uses besides its options."""

    console: Console
    manager: Callable[[], AbstractContextManager[Manager]]
    journal: Callable[[Source], AbstractContextManager[Journal]]

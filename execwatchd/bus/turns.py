# SPDX-License-Identifier: GPL-2.0-or-later
"""Whose call is served next: whoever sends many waits behind their own calls, not others behind them.

Each connection has a queue. Each UID has a share: in a turn one call of each UID is served, of its
connections one after the other. A connection whose UID isn't known yet has a share of its own.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import NamedTuple

from execwatchd.bus.wire import Call

MAX_WAITING = 8192  # 60 connections with as many awaited replies as dbus-daemon allows have 7680
# A serving takes longer than reading a call. So what has arrived is read first, and a call is served when as
# many passes of the loop brought no other: one to see the socket's data, one to read it. It may wait for
# MAX_WAITING at most.
_QUIET_PASSES = 2


class Waiting(NamedTuple):
    """A call that waits, whether every caller may read what it asks for, and what serves it."""

    call: Call
    is_read: bool
    serve: Callable[[], None]

    @property
    def place(self) -> tuple[str, bool]:
        """What it is counted by."""
        return self.call.sender, self.is_read


class Turns:
    """The calls that wait, and their order. To be used in a running loop."""

    def __init__(self) -> None:
        self._shares: OrderedDict[int | str, OrderedDict[str, deque[Waiting]]] = OrderedDict()
        self._share_of: dict[str, int | str] = {}  # of each connection that waits
        self._count = 0
        self._quiet = 0

    def __len__(self) -> int:
        return self._count

    @property
    def crowded(self) -> bool:
        """Whether calls of several connections wait."""
        return len(self._share_of) > 1

    @property
    def next_call(self) -> Call | None:
        """The call whose turn is next."""
        for clients in self._shares.values():
            return next(iter(clients.values()))[0].call
        return None

    def add(self, waiting: Waiting, uid: int | None) -> Waiting | None:
        """Queues a call; `uid` None where it isn't known. Returns the one that has no room any more."""
        client = waiting.call.sender
        share = self._share_of.setdefault(client, client if uid is None else uid)
        self._shares.setdefault(share, OrderedDict()).setdefault(client, deque()).append(waiting)
        if not self._count:
            asyncio.get_running_loop().call_soon(self._pass)
        self._count += 1
        if self._count > MAX_WAITING:
            return self._take_newest()  # no reason to wait: a flood of these must not hold up the turns
        self._quiet = 0
        return None

    def assign(self, client: str, uid: int) -> None:
        """A connection's UID has become known: from now on it has a part of that one's share."""
        if self._share_of.get(client) == client:
            (queue,) = self._shares.pop(client).values()
            self._share_of[client] = uid
            self._shares.setdefault(uid, OrderedDict())[client] = queue

    def clear(self) -> None:
        """No call waits any more."""
        self._shares.clear()
        self._share_of.clear()
        self._count = 0

    def _pass(self) -> None:
        if not self._count:
            return
        self._quiet += 1
        if self._quiet > _QUIET_PASSES:
            self._take_next().serve()
        if self._count:
            asyncio.get_running_loop().call_soon(self._pass)

    def _take_next(self) -> Waiting:
        share = next(iter(self._shares))
        self._shares.move_to_end(share)
        clients = self._shares[share]
        client = next(iter(clients))
        clients.move_to_end(client)
        waiting = clients[client].popleft()
        self._left(share, client)
        return waiting

    def _take_newest(self) -> Waiting:
        """Of the share with the most calls, from the connection with the most."""
        share = max(self._shares, key=lambda share: sum(map(len, self._shares[share].values())))
        clients = self._shares[share]
        client = max(clients, key=lambda client: len(clients[client]))
        waiting = clients[client].pop()
        self._left(share, client)
        return waiting

    def _left(self, share: int | str, client: str) -> None:
        self._count -= 1
        clients = self._shares[share]
        if not clients[client]:
            del clients[client], self._share_of[client]
        if not clients:
            del self._shares[share]

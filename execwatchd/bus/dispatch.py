# SPDX-License-Identifier: GPL-2.0-or-later
"""Dispatches every method call, property read and property write to the manager.

Whatever can be checked without the caller is checked when a call arrives; then it waits for its turn. What
every caller may read is then answered. For all else a task asks the bus who calls, and polkit whether they
may, and only then runs the method.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from execwatchd.bus import wire
from execwatchd.bus.authority import Authority, Caller, CallerGone
from execwatchd.bus.connection import Connection, Disconnected
from execwatchd.bus.declarations import Method, Property
from execwatchd.bus.errors import (
    AccessDenied,
    BusError,
    InteractiveAuthorizationRequired,
    Internal,
    LimitsExceeded,
    bus_name,
)
from execwatchd.bus.manager import METHODS, PROPERTIES, Manager
from execwatchd.bus.refusals import Refusals
from execwatchd.bus.routes import (
    INTERFACE,
    ROUTES,
    arguments_of,
    check_properties_interface,
    interface_of,
    introspection,
    property_of,
    write_of,
)
from execwatchd.bus.turns import Turns, Waiting
from execwatchd.bus.wire import Call
from execwatchd.shared.errors import ChangeError
from execwatchd.shared.quoting import quoted

log = logging.getLogger(__name__)

# Calls that wait at once. The bus allows a user 256 connections and 128 awaited replies for each. It doesn't
# count calls that want no reply; these limits are for them.
MAX_CALLS = 2048
MAX_CALLS_PER_UID = 512  # UID 0 may have all
# A client is a connection, whose UID isn't known before the bus has answered. What every caller may read is
# counted apart: dbus-daemon lets no client have more replies to await, so there no read is refused.
MAX_CALLS_PER_CLIENT = 128
_TOO_MANY = f"too many calls are waiting: {MAX_CALLS_PER_CLIENT} of a client may"

_REFUSALS = (AccessDenied, InteractiveAuthorizationRequired, LimitsExceeded)
T = TypeVar("T")
_MACHINE_ID = Path("/etc/machine-id")


class Dispatcher:
    """Takes the calls that come over a connection, for a manager."""

    def __init__(
        self, connection: Connection, manager: Manager, authority: Authority, refusals: Refusals
    ) -> None:
        self._connection = connection
        self._manager = manager
        self._authority = authority
        self._refusals = refusals
        self._turns = Turns()
        self._tasks: set[asyncio.Task[None]] = set()
        self._asking: set[asyncio.Task[None]] = set()
        self._by_client: Counter[tuple[str, bool]] = Counter()  # and whether it is a read
        self._by_uid: Counter[int] = Counter()
        connection.receive = self.receive

    @property
    def waiting(self) -> int:
        """How many calls wait for their turn."""
        return len(self._turns)

    def receive(self, call: Call) -> None:
        """Queues a call, with all that can be checked checked; never raises."""
        bare = call.bare()  # arguments may be large, and what waits must not be
        is_read = True
        try:
            is_read, serve = self._service(call, bare)
        except Exception as error:
            reply = partial(self._connection.refuse, bare, *self._explain(bare, error))
            serve = partial(self._serve_read, bare, reply)
        if call.wants_reply or not is_read:
            self._queue(Waiting(bare, is_read, serve))

    async def wait_empty(self) -> None:
        """Returns when no call is being served any more. Once the connection is closed, that is soon.

        Calls that wait for their turn are dropped. No other is cancelled: a change that is being saved must
        reach the kernel's map too.
        """
        self._turns.clear()
        if tasks := self._tasks | self._asking:
            await asyncio.wait(tasks)

    def _service(self, call: Call, bare: Call) -> tuple[bool, Callable[[], None]]:
        """Whether every caller may read this at once, and what serves it."""
        interface = interface_of(call)
        takes, returns = ROUTES[interface][call.member]
        arguments = arguments_of(call, takes)
        if interface == INTERFACE:
            method = METHODS[call.member]
        elif call.member == "Set":
            method, arguments = write_of(*arguments)
        else:
            values = self._reader(call, *arguments)
            return True, partial(
                self._serve_read, bare, lambda: self._connection.reply(bare, returns, values())
            )
        checked = [check(value) for check, value in zip(method.checks, arguments, strict=True)]
        return False, partial(self._start, bare, method, checked)

    def _reader(self, call: Call, *arguments: str) -> Callable[[], list[object]]:
        """What every caller may read; it is at hand."""
        match call.member:
            case "Introspect":
                xml = introspection(call.path)
                return lambda: [xml]
            case "Get":
                prop = property_of(*arguments)
                return lambda: [self._value(prop)]
            case "GetAll":
                has_properties = check_properties_interface(*arguments) in (INTERFACE, "")
                return lambda: [self._values() if has_properties else {}]
            case "GetMachineId":
                return lambda: [_MACHINE_ID.read_text(encoding="ascii").strip()]
        return list  # Ping

    def _value(self, prop: Property) -> object:
        return wire.variant(prop.signature, prop.read(self._manager, self._manager.status.counters()))

    def _values(self) -> dict[str, object]:
        counters = self._manager.status.counters()  # once, so that the numbers agree
        return {
            name: wire.variant(prop.signature, prop.read(self._manager, counters))
            for name, prop in PROPERTIES.items()
        }

    def _queue(self, waiting: Waiting) -> None:
        call = waiting.call
        if self._by_client[waiting.place] >= MAX_CALLS_PER_CLIENT:
            self._refuse(call, LimitsExceeded(_TOO_MANY))
            return
        self._by_client[waiting.place] += 1
        ahead = self._turns.next_call
        dropped = self._turns.add(waiting, self._authority.uid_of(call))
        if dropped:
            _decrease(self._by_client, dropped.place)
            self._refuse(dropped.call, LimitsExceeded("too many calls are waiting, and most are yours"))
        if ahead and self._turns.crowded:
            self._ask_who(ahead)
            self._ask_who(call)

    def _ask_who(self, call: Call) -> None:
        if not self._authority.is_asked(call) and len(self._asking) < MAX_CALLS:
            task = asyncio.create_task(self._identify(call), name="identifying a caller")
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    async def _identify(self, call: Call) -> None:
        """Has a connection share the turns of its UID."""
        with suppress(CallerGone, Disconnected):
            self._turns.assign(call.sender, (await self._authority.identify(call)).uid)

    def _serve_read(self, call: Call, reply: Callable[[], None]) -> None:
        _decrease(self._by_client, (call.sender, True))
        try:
            reply()
        except Exception as error:
            self._refuse(call, error)

    def _start(self, call: Call, method: Method, arguments: list[Any]) -> None:
        if len(self._tasks) >= MAX_CALLS and self._authority.uid_of(call) != 0:
            _decrease(self._by_client, (call.sender, False))
            self._refuse(call, LimitsExceeded(_TOO_MANY))
            return
        task = asyncio.create_task(self._serve(call, method, arguments), name=f"call of {call.member}")
        self._tasks.add(task)
        task.add_done_callback(partial(self._leave, call.sender))

    def _leave(self, client: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        _decrease(self._by_client, (client, False))

    async def _serve(self, call: Call, method: Method, arguments: list[Any]) -> None:
        caller = None
        try:
            caller = await self._authority.identify(call)
            self._turns.assign(call.sender, caller.uid)
            with self._place(caller.uid):
                needed = method.needs(caller, *arguments)
                if needed:
                    await self._authority.require(caller, needed)
                value = await method.run(self._manager, caller, *arguments)
            self._connection.reply(call, method.result, [value] if method.result else [])
        except CallerGone:
            if not method.result:
                self._refusals.add_gone(call.member)
        except Disconnected:
            pass  # nobody is there to get an answer
        except Exception as error:
            self._refuse(call, error, caller)

    @contextmanager
    def _place(self, uid: int) -> Iterator[None]:
        if uid and self._by_uid[uid] >= MAX_CALLS_PER_UID:
            raise LimitsExceeded(f"{MAX_CALLS_PER_UID} calls of UID {uid} are waiting already")
        self._by_uid[uid] += 1
        try:
            yield
        finally:
            _decrease(self._by_uid, uid)

    def _refuse(self, call: Call, error: Exception, caller: Caller | None = None) -> None:
        self._connection.refuse(call, *self._explain(call, error, caller))

    def _explain(self, call: Call, error: Exception, caller: Caller | None = None) -> tuple[str, str]:
        """Name and text of the error for the caller. Counts it if it is a refusal."""
        if not isinstance(error, BusError | ChangeError):
            log.error("A call of %s failed", quoted(call.member), exc_info=error)
            error = Internal("an internal error; the daemon's log has it")
        if isinstance(error, _REFUSALS):
            uid = caller.uid if caller else self._authority.uid_of(call)
            who = caller or ("somebody" if uid is None else f"UID {uid}")
            self._refusals.add(uid, f"{call.member} by {who}: {error}")
        return bus_name(error), str(error)


def _decrease(counter: Counter[T], key: T) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]

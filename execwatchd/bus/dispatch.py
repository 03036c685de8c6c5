# SPDX-License-Identifier: GPL-2.0-or-later
"""Dispatches every method call, property read and property write to the manager.

What every caller may read is answered at once. For all else the arguments are checked; then a task asks the
bus who calls, and polkit whether they may, and only then runs the method.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from execwatchd.bus import wire
from execwatchd.bus.authority import Authority, Caller, CallerGone
from execwatchd.bus.connection import MAX_BODY, Connection, Disconnected
from execwatchd.bus.errors import (
    AccessDenied,
    BusError,
    InteractiveAuthorizationRequired,
    Internal,
    InvalidArgs,
    InvalidValue,
    LimitsExceeded,
    bus_name,
)
from execwatchd.bus.manager import METHODS, PROPERTIES, Manager
from execwatchd.bus.members import Method
from execwatchd.bus.refusals import Refusals
from execwatchd.bus.routes import (
    INTERFACE,
    ROUTES,
    check_properties_interface,
    interface_of,
    introspection,
    property_of,
    writing,
)
from execwatchd.bus.wire import Call
from execwatchd.shared.errors import ChangeError
from execwatchd.shared.quoting import quoted
from execwatchd.shared.rules import MESSAGE

log = logging.getLogger(__name__)

# Calls that wait at once. The bus allows a user 256 connections and 128 awaited replies for each. It doesn't
# count calls that want no reply; these limits are for them.
MAX_CALLS = 2048
MAX_CALLS_PER_UID = 512  # UID 0 may have all
MAX_CALLS_PER_CLIENT = 128  # a client is a connection, whose UID isn't known before the bus has answered

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
        self._tasks: set[asyncio.Task[None]] = set()
        self._by_client: Counter[str] = Counter()
        self._by_uid: Counter[int] = Counter()
        connection.receive = self.receive

    def receive(self, call: Call) -> None:
        """Answers a call, now or by a task; never raises."""
        try:
            self._enter(call)
        except Exception as error:
            self._refuse(call, error)

    async def wait_empty(self) -> None:
        """Returns when no call is being served any more. Once the connection is closed, that is soon.

        No call is cancelled: a change that is being saved must reach the kernel's map too.
        """
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _enter(self, call: Call) -> None:
        interface = interface_of(call)
        takes, returns = ROUTES[interface][call.member]
        arguments = _arguments(call, takes)
        if interface == INTERFACE:
            self._start(call, METHODS[call.member], arguments)
        elif call.member == "Set":
            self._start(call, *_write(*arguments))
        else:
            self._connection.reply(call, returns, self._public(call, *arguments))

    def _public(self, call: Call, *arguments: str) -> list[object]:
        """What every caller may read; it is at hand."""
        match call.member:
            case "Introspect":
                return [introspection(call.path)]
            case "Get":
                return [self._value(*arguments)]
            case "GetAll":
                return [self._values(*arguments)]
            case "GetMachineId":
                return [_MACHINE_ID.read_text(encoding="ascii").strip()]
        return []  # Ping

    def _value(self, interface: str, name: str) -> object:
        prop = property_of(interface, name)
        return wire.variant(prop.signature, prop.read(self._manager, self._manager.status.counters()))

    def _values(self, interface: str) -> dict[str, object]:
        check_properties_interface(interface)
        if interface not in (INTERFACE, ""):
            return {}
        counters = self._manager.status.counters()  # once, so that the numbers agree
        return {
            name: wire.variant(prop.signature, prop.read(self._manager, counters))
            for name, prop in PROPERTIES.items()
        }

    def _start(self, call: Call, method: Method, arguments: list[Any]) -> None:
        checked = [check(value) for check, value in zip(method.checks, arguments, strict=True)]
        if len(self._tasks) >= MAX_CALLS or self._by_client[call.sender] >= MAX_CALLS_PER_CLIENT:
            raise LimitsExceeded(f"too many calls are waiting: {MAX_CALLS_PER_CLIENT} of a client may")
        task = asyncio.create_task(self._serve(call, method, checked), name=f"call of {call.member}")
        self._tasks.add(task)
        self._by_client[call.sender] += 1
        task.add_done_callback(partial(self._leave, call.sender))

    def _leave(self, client: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        _decrease(self._by_client, client)

    async def _serve(self, call: Call, method: Method, arguments: list[Any]) -> None:
        caller = None
        try:
            caller = await self._authority.identify(call)
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
        if not isinstance(error, BusError | ChangeError):
            log.error("A call of %s failed", quoted(call.member), exc_info=error)
            error = Internal("an internal error; the daemon's log has it")
        if isinstance(error, _REFUSALS):
            uid = caller.uid if caller else self._authority.uid_of(call)
            who = caller or ("somebody" if uid is None else f"UID {uid}")
            self._refusals.add(uid, f"{call.member} by {who}: {error}")
        self._connection.refuse(call, bus_name(error), str(error))


def _decrease(counter: Counter[T], key: T) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]


def _arguments(call: Call, takes: str) -> list[Any]:
    if call.signature != takes:
        raise InvalidArgs(
            f"{call.member} takes arguments of the types {takes!r}, not {quoted(call.signature)}"
        )
    if call.arguments is None:
        # It has a string, as nothing else in these signatures can be that large.
        reason = f"{call.size} bytes of arguments are too many: at most {MAX_BODY} are looked at"
        raise InvalidValue(MESSAGE, reason) if call.member == "SetMessage" else InvalidArgs(reason)
    return call.arguments


def _write(interface: str, name: str, value: tuple[str, Any]) -> tuple[Method, list[Any]]:
    method = writing(interface, name)
    signature, content = value
    if signature != method.signature:
        raise InvalidArgs(f"the property {name} has the type {method.signature!r}, not {quoted(signature)}")
    return method, [content]

# SPDX-License-Identifier: GPL-2.0-or-later
"""The service on the system bus: its name, its signals, and reconnecting after the bus was lost."""

import asyncio
import logging
import os
from collections.abc import Sequence
from typing import Any

from execwatchd.bus import wire
from execwatchd.bus.authority import Authority
from execwatchd.bus.connection import BUS, Connection, Disconnected
from execwatchd.bus.declarations import default_property
from execwatchd.bus.dispatch import Dispatcher
from execwatchd.bus.manager import Manager
from execwatchd.bus.refusals import Refusals
from execwatchd.bus.routes import INTERFACE, NAME, PATH, PROPERTIES_INTERFACE, SIGNATURES
from execwatchd.bus.wire import ErrorReply
from execwatchd.policy.in_effect import InEffect
from execwatchd.policy.table import RuleTable
from execwatchd.shared.counters import Status
from execwatchd.shared.errors import Failure
from execwatchd.shared.guard import Guard
from execwatchd.shared.rules import Member

log = logging.getLogger(__name__)

_SYSTEM_BUS = "unix:path=/run/dbus/system_bus_socket"
_SYSTEMD = (
    "org.freedesktop.systemd1",
    "/org/freedesktop/systemd1",
    "org.freedesktop.systemd1.Manager",
)
_ASK_SECONDS = 2.0
_DO_NOT_QUEUE = 4  # flag of RequestName; without ALLOW_REPLACEMENT no other process can take the name over
_ACCESS_DENIED = "org.freedesktop.DBus.Error.AccessDenied"
_POLICY_MISSING = "its policy forbids it; is org.execwatch1.conf in /usr/share/dbus-1/system.d?"
_OWNED = (1, 4)  # answers of RequestName: primary owner, already owner
_FIRST_DELAY, _LAST_DELAY = 1.0, 30.0  # seconds between attempts to reconnect


class BusService:
    """Serves a table and a status on the system bus, or at `address`; to be made in a running loop."""

    def __init__(
        self, table: RuleTable, status: Status, in_effect: InEffect, *, address: str | None = None
    ) -> None:
        self._table = table
        self._status = status
        self._in_effect = in_effect
        self._address = address or os.environ.get("DBUS_SYSTEM_BUS_ADDRESS") or _SYSTEM_BUS
        self._refusals = Refusals()
        self._connection: Connection | None = None
        self._dispatcher: Dispatcher | None = None
        table.listeners.append(self)
        in_effect.on_change = self.not_in_effect_changed

    @property
    def refused(self) -> int:
        """How many calls were refused: unauthorised, or too many at once."""
        return self._refusals.count

    @property
    def connected(self) -> bool:
        """Whether the service is on the bus under its name."""
        return self._connection is not None and not self._connection.closed

    async def start(self) -> bool:
        """Takes the name. False: that isn't possible now, and `run` retries.

        Raises Failure if another process has the name.
        """
        try:
            await self._connect()
        except Disconnected as error:
            log.warning("Not on D-Bus, messages cannot be changed at run time: %s", error)
        return self.connected

    async def run(self) -> None:
        """Takes the name again whenever the bus was lost and is back; runs until it is cancelled."""
        guard = Guard("staying on the bus")
        while True:
            with guard.step():
                await self._stay()

    async def _stay(self) -> None:
        """Returns when the bus was lost and is back."""
        if self._connection is not None:
            await self._connection.wait_closed()
            log.warning("Lost the system bus; events go on")
            await self._disconnect()
        await self._reconnect()

    async def stop(self) -> None:
        """Leaves the bus. Calls that still wait get no answer."""
        if self in self._table.listeners:
            self._table.listeners.remove(self)
        self._refusals.sum_up()
        self._refusals.close()
        await self._disconnect()

    async def is_unit_stopping(self) -> bool:
        """Whether systemd stops our unit, rather than restarts it; False if it can't be asked."""
        connection = self._connection
        if connection is None:
            return False
        try:
            (unit,) = await connection.call((*_SYSTEMD, "GetUnitByPID"), "u", 0, seconds=_ASK_SECONDS)
            job = await _get(connection, unit, "org.freedesktop.systemd1.Unit", "Job")
            kind = await _get(connection, job[1], "org.freedesktop.systemd1.Job", "JobType")
        except (ErrorReply, Disconnected, TimeoutError):
            return False
        return bool(kind == "stop")

    def events_lost(self, count: int) -> None:
        """Broadcasts how many events were lost since the last broadcast."""
        self._emit(INTERFACE, "EventsLost", "t", count)

    def rule_changed(self, uid: int) -> None:
        """As the table's listener. Without the rule, since everybody gets a broadcast."""
        self._emit(INTERFACE, "MessageChanged", "u", uid)

    def default_changed(self, member: Member, value: str) -> None:
        """As the table's listener. Anybody may read the defaults."""
        self._property_changed(default_property(member), "s", value)

    def not_in_effect_changed(self, lines: Sequence[str]) -> None:
        """Anybody may read what of the configuration is not in effect."""
        self._property_changed("NotInEffect", "as", lines)

    def _property_changed(self, name: str, signature: str, value: object) -> None:
        changed = {name: wire.variant(signature, value)}
        self._emit(PROPERTIES_INTERFACE, "PropertiesChanged", "sa{sv}as", INTERFACE, changed, [])

    async def _reconnect(self) -> None:
        delay = _FIRST_DELAY
        reported = None
        while self._connection is None:
            await asyncio.sleep(delay)
            delay = min(2 * delay, _LAST_DELAY)
            try:
                await self._connect()
            except (Disconnected, Failure) as error:
                if str(error) != reported:
                    log.warning("Still not on D-Bus: %s", error)
                    reported = str(error)
        log.info("On D-Bus as %s", NAME)

    async def _connect(self) -> None:
        connection = await Connection.open(self._address, SIGNATURES)
        authority = Authority(connection)
        manager = Manager(self._table, self._status, self._in_effect, self._refusals, authority)
        dispatcher = Dispatcher(connection, manager, authority, self._refusals)
        try:
            await _take_name(connection)
        except BaseException:
            await _leave(connection, dispatcher)
            raise
        self._connection, self._dispatcher = connection, dispatcher

    async def _disconnect(self) -> None:
        connection, dispatcher = self._connection, self._dispatcher
        self._connection = self._dispatcher = None
        if connection and dispatcher:
            await _leave(connection, dispatcher)

    def _emit(self, interface: str, signal: str, signature: str, *values: object) -> None:
        if self._connection:
            self._connection.emit(PATH, interface, signal, signature, *values)


async def _get(connection: Connection, path: str, interface: str, name: str) -> Any:
    where = (_SYSTEMD[0], path, PROPERTIES_INTERFACE, "Get")
    (value,) = await connection.call(where, "ss", interface, name, seconds=_ASK_SECONDS)
    return value.value


async def _leave(connection: Connection, dispatcher: Dispatcher) -> None:
    await connection.close()
    await dispatcher.wait_empty()


async def _take_name(connection: Connection) -> None:
    try:
        (answer,) = await connection.call((*BUS, "RequestName"), "su", NAME, _DO_NOT_QUEUE)
    except ErrorReply as error:
        # Not the bus's text: it has our connection's number, so the log would take each attempt for another
        # failure.
        reason = _POLICY_MISSING if error.name == _ACCESS_DENIED else error.name
        raise Disconnected(f"the bus does not give us the name {NAME}: {reason}") from None
    except TimeoutError:
        raise Disconnected("the bus does not answer") from None
    if answer not in _OWNED:
        raise Failure(f"another process owns {NAME} on the bus", "is execwatchd running already?")

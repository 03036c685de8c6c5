# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon over the system bus; the only module of the tool that imports dbus-next."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from dbus_next.aio.message_bus import MessageBus
from dbus_next.constants import BusType, MessageFlag, MessageType
from dbus_next.errors import AuthError, InvalidAddressError
from dbus_next.message import Message
from dbus_next.signature import Variant

from execwatchd.ctl.daemon.memory import resident
from execwatchd.ctl.daemon.password_agent import password_agent
from execwatchd.ctl.ports import EXIT_UNREACHABLE, Memory, Row
from execwatchd.shared.errors import Failure

NAME = "org.execwatch1"
PATH = "/org/execwatch1"
INTERFACE = "org.execwatch1.Manager"
UNIT = "execwatchd.service"

_PROPERTIES = "org.freedesktop.DBus.Properties"
_BUS = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
_SYSTEMD = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
_ABSENT = {f"org.freedesktop.DBus.Error.{name}" for name in ("ServiceUnknown", "NameHasNoOwner")}
_NOBODY_ASKED = "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"
_NO_VALUE = 2**64 - 1  # of a unit whose memory systemd doesn't account
_SECONDS = 25.0
_DIALOGUE_SECONDS = 300.0  # somebody may be typing a password

_Address = tuple[str, str, str]


class BusFailure(Failure):
    """An error reply; `name` is the bus error's."""

    def __init__(self, name: str, text: str) -> None:
        if name in _ABSENT:
            super().__init__("execwatchd does not run", "systemctl start execwatchd", EXIT_UNREACHABLE)
        elif name == _NOBODY_ASKED:
            super().__init__("it needs a password, and there was nobody to ask", "use sudo or a terminal")
        else:
            super().__init__(text or name)
        self.name = name


class BusManager:
    """`ports.Manager` on a connected bus."""

    def __init__(self, runner: asyncio.Runner, bus: MessageBus) -> None:
        self._runner = runner
        self._bus = bus

    def set_message(self, uid: int, message: str) -> None:
        """Set the user's message."""
        self._ask("SetMessage", "us", uid, message)

    def remove_message(self, uid: int) -> None:
        """Forget the user's message that was set over the bus."""
        self._ask("RemoveMessage", "u", uid)

    def set_action(self, uid: int, action: str) -> None:
        """Set the user's action, or forget it with `default`."""
        self._ask("SetAction", "us", uid, action)

    def set_limit(self, uid: int, limit: str) -> None:
        """Set the user's limit, or forget it with `default`."""
        self._ask("SetLimit", "us", uid, limit)

    def list_limits(self) -> dict[int, str]:
        """The limit of every user that has one."""
        (limits,) = self._ask("ListLimits")
        return dict(limits)

    def list_messages(self) -> Sequence[Row]:
        """Every user that has a message, an action or a limit."""
        (rows,) = self._ask("ListMessages")
        return [Row(*row) for row in rows]

    def properties(self) -> dict[str, Any]:
        """All properties by name."""
        return self._properties((NAME, PATH, INTERFACE))

    def set_property(self, name: str, value: str) -> None:
        """Write one of the two writable properties."""
        self._ask("Set", "ssv", INTERFACE, name, Variant("s", value), interface=_PROPERTIES)

    def memory(self) -> Memory | None:
        """The unit's memory by systemd, or that of the process that owns the name."""
        try:
            (pid,) = self._call(_BUS, "GetConnectionUnixProcessID", "s", NAME)
        except BusFailure:
            return None
        return self._unit_memory(pid) or resident(pid)

    def _unit_memory(self, pid: int) -> Memory | None:
        """None if the daemon isn't the unit's main process: in a foreground run, or without systemd."""
        try:
            (path,) = self._call(_SYSTEMD, "GetUnit", "s", UNIT)
            unit = self._properties((_SYSTEMD[0], path, "org.freedesktop.systemd1.Service"))
        except Failure:
            return None
        used = unit.get("MemoryCurrent", _NO_VALUE)
        return Memory(used, ring=True) if unit.get("MainPID") == pid and used != _NO_VALUE else None

    def _ask(self, member: str, signature: str = "", *body: object, interface: str = INTERFACE) -> list[Any]:
        """Call a member for which polkit may ask for a password."""
        with password_agent():
            return self._call((NAME, PATH, interface), member, signature, *body, seconds=_DIALOGUE_SECONDS)

    def _properties(self, address: _Address) -> dict[str, Any]:
        destination, path, interface = address
        (values,) = self._call((destination, path, _PROPERTIES), "GetAll", "s", interface)
        return {name: variant.value for name, variant in values.items()}

    def _call(
        self, address: _Address, member: str, signature: str = "", *body: object, seconds: float = _SECONDS
    ) -> list[Any]:
        flags = MessageFlag.ALLOW_INTERACTIVE_AUTHORIZATION | MessageFlag.NO_AUTOSTART
        message = Message(*address, member, signature=signature, body=[*body], flags=flags)
        return self._runner.run(_reply(self._bus, message, seconds))


async def _reply(bus: MessageBus, message: Message, seconds: float) -> list[Any]:
    try:
        reply = await asyncio.wait_for(bus.call(message), seconds)
    except TimeoutError:
        text = f"no answer from {message.destination} in {seconds:.0f} s"
        raise Failure(text, code=EXIT_UNREACHABLE) from None
    except (OSError, EOFError):
        reply = None
    if reply is None:  # what dbus-next returns if the connection ended first
        raise Failure("the system bus went away", code=EXIT_UNREACHABLE)
    if reply.message_type is MessageType.ERROR:
        raise BusFailure(reply.error_name, str(reply.body[0]) if reply.body else "")
    body: list[Any] = reply.body
    return body


@contextmanager
def connect() -> Iterator[BusManager]:
    """A connection to the system bus (DBUS_SYSTEM_BUS_ADDRESS where that is set)."""
    logging.getLogger("dbus_next").setLevel(logging.CRITICAL)  # everything that it logs is raised here too
    with asyncio.Runner() as runner:
        runner.get_loop().set_exception_handler(_ignore)
        try:
            bus = runner.run(_connected())
        except (OSError, EOFError, AuthError, InvalidAddressError) as error:
            cause = getattr(error, "strerror", None) or str(error) or "it closed the connection"
            raise Failure(f"cannot reach the system bus: {cause}", code=EXIT_UNREACHABLE) from None
        try:
            yield BusManager(runner, bus)
        finally:
            runner.run(_close(bus))


async def _connected() -> MessageBus:
    return await asyncio.wait_for(MessageBus(bus_type=BusType.SYSTEM).connect(), _SECONDS)


def _ignore(_loop: asyncio.AbstractEventLoop, _context: dict[str, Any]) -> None:
    """dbus-next leaves futures with errors behind. A call raises its own error anyway."""


async def _close(bus: MessageBus) -> None:
    bus.disconnect()

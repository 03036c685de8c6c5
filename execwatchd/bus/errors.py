# SPDX-License-Identifier: GPL-2.0-or-later
# ruff: noqa: N818  each class is named as its error on the bus
"""The errors that a caller on the bus may get, by name.

The text of each goes to the caller as it is. It names the offending value and what it must be, but no path
inside the daemon; that of a configuration file only to callers who may read the rules.
"""

from execwatchd.shared.errors import ChangeError, NotChanged, TableFull
from execwatchd.shared.rules import Member

_EXECWATCH = "org.execwatch1.Error"
_DBUS = "org.freedesktop.DBus.Error"


class BusError(Exception):
    """A call that failed; its caller gets the reason."""

    bus_name: str


class InvalidValue(BusError):
    """A member of a rule can't have the value: InvalidMessage, InvalidAction, InvalidLimit."""

    def __init__(self, member: Member, reason: str) -> None:
        super().__init__(reason)
        self.bus_name = f"{_EXECWATCH}.Invalid{member.name.capitalize()}"


class NoSuchMessage(BusError):
    """The UID has no message that was set over the bus."""

    bus_name = f"{_EXECWATCH}.NoSuchMessage"


class Internal(BusError):
    """The daemon could not do it; its log says why."""

    bus_name = f"{_EXECWATCH}.Internal"


class InvalidArgs(BusError):
    """An argument of the wrong type or out of range."""

    bus_name = f"{_DBUS}.InvalidArgs"


class AccessDenied(BusError):
    """The caller is not authorised."""

    bus_name = f"{_DBUS}.AccessDenied"


class InteractiveAuthorizationRequired(BusError):
    """A dialogue could authorise the caller, and the call doesn't allow it or nobody could be asked."""

    bus_name = f"{_DBUS}.InteractiveAuthorizationRequired"


class LimitsExceeded(BusError):
    """Too many calls at once."""

    bus_name = f"{_DBUS}.LimitsExceeded"


class UnknownObject(BusError):
    """There is no such object."""

    bus_name = f"{_DBUS}.UnknownObject"


class UnknownInterface(BusError):
    """The object has no such interface."""

    bus_name = f"{_DBUS}.UnknownInterface"


class UnknownMethod(BusError):
    """The interface has no such method."""

    bus_name = f"{_DBUS}.UnknownMethod"


class UnknownProperty(BusError):
    """The interface has no such property."""

    bus_name = f"{_DBUS}.UnknownProperty"


class PropertyReadOnly(BusError):
    """The property cannot be written."""

    bus_name = f"{_DBUS}.PropertyReadOnly"


_CHANGES: dict[type[ChangeError], str] = {
    TableFull: f"{_EXECWATCH}.TableFull",
    NotChanged: Internal.bus_name,
}


def bus_name(error: BusError | ChangeError) -> str:
    """The name under which a caller gets it."""
    return error.bus_name if isinstance(error, BusError) else _CHANGES[type(error)]

# SPDX-License-Identifier: GPL-2.0-or-later
# ruff: noqa: N818  each class is named as its error on the bus
"""The errors that a caller on the bus may get, by name.

The text of each goes to the caller as it is: it names the offending value and the limit, never a path of
the daemon's own (a configuration file's only to one who may read).
"""

from typing import ClassVar

from execwatchd.shared.errors import ChangeError, NoSuchMessage, NotChanged, TableFull

_OWN = "org.execwatch1.Error"
_DBUS = "org.freedesktop.DBus.Error"


class BusError(Exception):
    """A call that failed for a reason that its caller is told."""

    bus_name: ClassVar[str]


class InvalidMessage(BusError):
    """The message is too long or has a character that it must not have."""

    bus_name = f"{_OWN}.InvalidMessage"


class InvalidAction(BusError):
    """There is no such action."""

    bus_name = f"{_OWN}.InvalidAction"


class InvalidLimit(BusError):
    """There is no such limit."""

    bus_name = f"{_OWN}.InvalidLimit"


class Internal(BusError):
    """The daemon could not do it; its log says why."""

    bus_name = f"{_OWN}.Internal"


class InvalidArgs(BusError):
    """An argument of the wrong type or out of range."""

    bus_name = f"{_DBUS}.InvalidArgs"


class AccessDenied(BusError):
    """The caller is not authorised."""

    bus_name = f"{_DBUS}.AccessDenied"


class InteractiveAuthorizationRequired(BusError):
    """The caller could be authorised by a dialogue, and did not allow one."""

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
    TableFull: f"{_OWN}.TableFull",
    NoSuchMessage: f"{_OWN}.NoSuchMessage",
    NotChanged: Internal.bus_name,
}


def bus_name(error: BusError | ChangeError) -> str:
    """The name under which a caller gets it."""
    return error.bus_name if isinstance(error, BusError) else _CHANGES[type(error)]

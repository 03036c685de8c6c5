# SPDX-License-Identifier: GPL-2.0-or-later
# ruff: noqa: N818  each class is named as its error on the bus
"""The errors that a caller on the bus may get, by name, and the one of a bad configuration.

The text of each goes to the caller as it is: it names the offending value and the limit, never a path of
the daemon's own (a configuration file's only to one who may read).
"""

from collections.abc import Sequence
from typing import ClassVar

from execwatchd.errors import EXIT_CONFIG, Failure

_OWN = "org.execwatch1.Error"
_DBUS = "org.freedesktop.DBus.Error"


class ControlError(Exception):
    """A call that failed for a reason that its caller is told."""

    bus_name: ClassVar[str]


class InvalidMessage(ControlError):
    """The message is too long or has a character that it must not have."""

    bus_name = f"{_OWN}.InvalidMessage"


class InvalidAction(ControlError):
    """There is no such action."""

    bus_name = f"{_OWN}.InvalidAction"


class InvalidLimit(ControlError):
    """There is no such limit."""

    bus_name = f"{_OWN}.InvalidLimit"


class NoSuchMessage(ControlError):
    """The UID has no message that was set over the bus."""

    bus_name = f"{_OWN}.NoSuchMessage"


class TableFull(ControlError):
    """The kernel's table has no room for another UID; `capacity` is how many it holds."""

    bus_name = f"{_OWN}.TableFull"

    def __init__(self, capacity: int) -> None:
        super().__init__(
            f"the table is full: it holds {capacity} UIDs that have a message, an action or a limit"
        )


class Internal(ControlError):
    """The daemon could not do it; its log says why."""

    bus_name = f"{_OWN}.Internal"


class InvalidArgs(ControlError):
    """An argument of the wrong type or out of range."""

    bus_name = f"{_DBUS}.InvalidArgs"


class AccessDenied(ControlError):
    """The caller is not authorised."""

    bus_name = f"{_DBUS}.AccessDenied"


class InteractiveAuthorizationRequired(ControlError):
    """The caller could be authorised by a dialogue, and did not allow one."""

    bus_name = f"{_DBUS}.InteractiveAuthorizationRequired"


class LimitsExceeded(ControlError):
    """Too many calls at once."""

    bus_name = f"{_DBUS}.LimitsExceeded"


class UnknownObject(ControlError):
    """There is no such object."""

    bus_name = f"{_DBUS}.UnknownObject"


class UnknownInterface(ControlError):
    """The object has no such interface."""

    bus_name = f"{_DBUS}.UnknownInterface"


class UnknownMethod(ControlError):
    """The interface has no such method."""

    bus_name = f"{_DBUS}.UnknownMethod"


class UnknownProperty(ControlError):
    """The interface has no such property."""

    bus_name = f"{_DBUS}.UnknownProperty"


class PropertyReadOnly(ControlError):
    """The property cannot be written."""

    bus_name = f"{_DBUS}.PropertyReadOnly"


class ConfigError(Failure):
    """The configuration is rejected whole; `problems` are the lines `file: key: message`."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems), code=EXIT_CONFIG)
        self.problems = tuple(problems)

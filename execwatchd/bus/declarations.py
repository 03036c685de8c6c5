# SPDX-License-Identifier: GPL-2.0-or-later
"""How a method or property is declared: its types, its checks and the authorisation that it needs."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from execwatchd.bus.errors import InvalidArgs, InvalidValue
from execwatchd.shared.counters import Counters
from execwatchd.shared.rules import Member, check_uid

FORGET = "default"  # with this value SetAction and SetLimit undo an earlier one

Check = Callable[[Any], Any]  # returns the checked value, or raises BusError
Needs = Callable[..., str | None]  # from caller and arguments: the polkit action; None: every caller may


@dataclass(frozen=True)
class Method:
    """A method: checks of its arguments, then authorisation, then `run(manager, caller, *arguments)`."""

    signature: str
    result: str
    checks: tuple[Check, ...]
    needs: Needs
    run: Callable[..., Awaitable[Any]]


@dataclass(frozen=True)
class Property:
    """A property. `read(manager, counters)` gives its value; `write` is None where it can't be written."""

    signature: str
    read: Callable[[Any, Counters], object]
    write: Method | None = None


def uid_argument(value: object) -> int:
    """A UID from the bus."""
    try:
        return check_uid(value)
    except ValueError as reason:
        raise InvalidArgs(str(reason)) from None


def value_argument(member: Member) -> Check:
    """A check of a value from the bus for this member of a rule."""

    def check(value: object) -> object:
        return _checked(member, value)

    return check


def value_or_default(member: Member) -> Check:
    """The same; `default` passes too, as None."""

    def check(value: object) -> object:
        return None if value == FORGET else _checked(member, value, FORGET)

    return check


def default_property(member: Member) -> str:
    """The name of the property that has the default of this member of a rule."""
    return f"Default{member.name.capitalize()}"


def _checked(member: Member, value: object, *others: str) -> object:
    try:
        return member.check(value, *others)
    except ValueError as reason:
        raise InvalidValue(member, str(reason)) from None

# SPDX-License-Identifier: GPL-2.0-or-later
"""How a member of the interface is declared: its name, types, checks and the authorisation that it needs."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from execwatchd.bus.errors import BusError, InvalidAction, InvalidArgs, InvalidLimit, InvalidMessage
from execwatchd.shared.counters import Counters
from execwatchd.shared.quoting import quoted
from execwatchd.shared.rules import Action, check_action, check_limit, check_message, check_uid

FORGET = "default"  # what SetAction and SetLimit forget by

Check = Callable[[Any], Any]  # gives the value back, or raises BusError
Needs = Callable[..., str | None]  # of caller and arguments: the polkit action, None where anyone may

T = TypeVar("T")


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
    """A property: `read(manager, counters)`, and where it can be written, as a method of one argument."""

    signature: str
    read: Callable[[Any, Counters], object]
    write: Method | None = None


def uid_argument(value: object) -> int:
    """A UID from the bus."""
    return _checked(check_uid, value, InvalidArgs)


def message_argument(value: object) -> str:
    """A message from the bus."""
    return _checked(check_message, value, InvalidMessage)


def action_argument(value: object) -> Action:
    """An action from the bus."""
    return _checked(check_action, value, InvalidAction)


def action_or_default(value: object) -> Action | None:
    """An action from the bus, None for `default`."""
    if value == FORGET:
        return None
    try:
        return check_action(value)
    except ValueError:
        names = ", ".join(repr(str(action)) for action in Action)
        raise InvalidAction(
            f"the action {quoted(value)} does not exist: it must be {names} or {FORGET!r}"
        ) from None


def limit_or_default(value: object) -> str | None:
    """A limit from the bus, None for `default`."""
    if value == FORGET:
        return None
    try:
        return check_limit(value)
    except ValueError as reason:
        raise InvalidLimit(f"{reason}, or {FORGET!r}") from None


def _checked(check: Callable[[object], T], value: object, error: type[BusError]) -> T:
    try:
        return check(value)
    except ValueError as reason:
        raise error(str(reason)) from None

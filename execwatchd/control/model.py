# SPDX-License-Identifier: GPL-2.0-or-later
"""Settings and state as pydantic makes them of what a file says; behind this nothing is checked again.

The only module that imports pydantic.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from pydantic import ByteSize, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError, core_schema

from execwatchd.control.settings import Settings
from execwatchd.control.state import State
from execwatchd.control.values import quoted

T = TypeVar("T")


class ModelError(ValueError):
    """`problems` are lines `key: message`."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def settings(values: Mapping[str, Any]) -> Settings:
    """Of the members that are there; the others have their defaults. Raises ModelError."""
    return _made(lambda: _SETTINGS.validate_python(values))


def state(raw: bytes) -> State:
    """Of a state file. Raises ModelError."""
    return _made(lambda: _STATE.validate_json(raw))


def byte_size(value: int | str) -> int | None:
    """`"4MiB"` and the like in bytes; None: it is no size."""
    try:
        return _BYTE_SIZE.validate_python(value)
    except (ValidationError, OverflowError):
        return None


def checked(
    check: Callable[[Any], T], inner: core_schema.CoreSchema, *, after: bool
) -> core_schema.CoreSchema:
    """The schema of a value that `check` makes before, or after, it has its type; see values.Checked."""

    def validate(value: object) -> T:
        try:
            return check(value)
        except ValueError as error:
            raise PydanticCustomError("value", "{reason}", {"reason": str(error)}) from None

    if after:
        return core_schema.no_info_after_validator_function(validate, inner)
    return core_schema.no_info_before_validator_function(validate, inner)


_SETTINGS, _STATE, _BYTE_SIZE = TypeAdapter(Settings), TypeAdapter(State), TypeAdapter(ByteSize)


def _made(make: Callable[[], T]) -> T:
    try:
        return make()
    except ValidationError as error:
        raise ModelError(list(_problems(error))) from None


def _problems(error: ValidationError) -> Iterator[str]:
    for detail in error.errors(include_url=False):
        key = ".".join(
            part if re.fullmatch(r"[\w-]+", part, re.ASCII) else quoted(part) for part in _path(detail["loc"])
        )
        text = _text(detail["type"], detail["msg"], detail["input"])
        yield f"{key}: {text}" if key else text


def _path(location: tuple[int | str, ...]) -> Iterator[str]:
    # pydantic marks an error in a dictionary's key with "[key]" behind the key itself
    return (str(part) for part in location if part != "[key]")


def _text(kind: str, message: str, value: object) -> str:
    known = {
        "unexpected_keyword_argument": f"unknown key, with the value {quoted(value)}",
        "dict_type": f"{quoted(value)} must be a table",
    }
    return known.get(kind, message)

# SPDX-License-Identifier: GPL-2.0-or-later
"""Settings and state as pydantic makes them of what a file says; behind this nothing is checked again.

The only module that imports pydantic. The dataclasses know nothing of it: what their annotations say
(checked.py) is translated here.
"""

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from functools import reduce
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    TypeAdapter,
    ValidationError,
    with_config,
)
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from execwatchd.policy.checked import Checked, CheckedSize
from execwatchd.policy.settings import Settings
from execwatchd.policy.state import State
from execwatchd.shared.quoting import quoted

T = TypeVar("T")
_typed_dict: Any = TypedDict  # for a type checker its members must be literals


class InvalidError(ValueError):
    """`problems` are lines `key: message`."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def settings(values: Mapping[str, Any]) -> Settings:
    """Of the members that are there; the others have their defaults. Raises InvalidError."""
    return Settings(**_members(lambda: _SETTINGS.validate_python(values)))


def state(raw: bytes) -> State:
    """Of a state file. Raises InvalidError."""
    return State(**_members(lambda: _STATE.validate_json(raw)))


def _adapter(wanted: type) -> TypeAdapter[dict[str, Any]]:
    """For a dictionary of some of this dataclass's members."""
    hints = get_type_hints(wanted, include_extras=True)
    members = {one.name: _annotation(hints[one.name]) for one in fields(wanted)}
    model: Any = _typed_dict(wanted.__name__, members, total=False)
    return TypeAdapter(with_config(ConfigDict(extra="forbid"))(model))


def _annotation(hint: Any) -> Any:
    """The same type with pydantic's validators in place of ours."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        inner, *marks = arguments
        return Annotated[_annotation(inner), *map(_validator, marks)]
    if not arguments or origin is Literal:
        return hint
    translated = tuple(map(_annotation, arguments))
    return reduce(operator.or_, translated) if origin in (Union, UnionType) else origin[translated]


def _validator(mark: Checked | CheckedSize) -> AfterValidator | BeforeValidator:
    if isinstance(mark, CheckedSize):
        size = mark.check
        return BeforeValidator(_reported(lambda value: size(value, _byte_size(value))))
    return (AfterValidator if mark.after else BeforeValidator)(_reported(mark.check))


def _reported(check: Callable[[Any], T]) -> Callable[[Any], T]:
    """With the text of its ValueError as the whole text of pydantic's error."""

    def validate(value: object) -> T:
        try:
            return check(value)
        except ValueError as error:
            raise PydanticCustomError("value", "{reason}", {"reason": str(error)}) from None

    return validate


def _byte_size(value: object) -> int | None:
    """`"4MiB"` and the like in bytes; None: it is no size."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    try:
        return _BYTE_SIZE.validate_python(value)
    except (ValidationError, OverflowError):
        return None


_SETTINGS, _STATE, _BYTE_SIZE = _adapter(Settings), _adapter(State), TypeAdapter(ByteSize)


def _members(validate: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return validate()
    except ValidationError as error:
        raise InvalidError(list(_problems(error))) from None


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
    own = {
        "extra_forbidden": f"unknown key, with the value {quoted(value)}",
        "dict_type": f"{quoted(value)} must be a table",
    }
    return own.get(kind, message)

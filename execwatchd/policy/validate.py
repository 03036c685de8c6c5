# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks what a configuration file or the state file says; behind this nothing is checked again.

The only module that imports pydantic. Nothing else knows of it: what the declarations say, the annotations
of Settings and the members of a rule, is translated here.
"""

import operator
import re
from collections.abc import Callable, Iterator, Mapping
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

from execwatchd.policy import secrets as secret_tables
from execwatchd.policy.checked import Checked, CheckedSize
from execwatchd.policy.settings import OTHER_KEYS, Settings
from execwatchd.policy.state import VERSION
from execwatchd.shared.quoting import quoted
from execwatchd.shared.rules import MEMBERS, Member, check_uid_key

T = TypeVar("T")
_typed_dict: Any = TypedDict  # for a type checker its members must be literals


class InvalidError(ValueError):
    """`problems` are lines `key: message`."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same keys with checked values, as Settings.of_file takes them. Raises InvalidError."""
    return _validated(lambda: _SETTINGS.validate_python(values))


def secrets(values: Mapping[str, Any]) -> dict[str, Any]:
    """What a file in redact.d has, checked, as tables.merged takes it. Raises InvalidError."""
    return _validated(lambda: _SECRETS.validate_python(values))


def state(raw: bytes) -> dict[str, Any]:
    """A state file's keys with checked values, as Layer.of_file takes them. Raises InvalidError."""
    return _validated(lambda: _STATE.validate_json(raw))


def _adapter(name: str, hints: Mapping[str, Any]) -> TypeAdapter[dict[str, Any]]:
    """For a dictionary with some of these keys."""
    return TypeAdapter(_model(name, hints))


def _model(name: str, hints: Mapping[str, Any]) -> Any:
    keys = {key: _annotation(hint) for key, hint in hints.items()}
    model: Any = _typed_dict(name, keys, total=False)
    return with_config(ConfigDict(extra="forbid"))(model)


def _value(member: Member) -> Any:
    return Annotated[Any, Checked(member.check)]


def _annotation(hint: Any) -> Any:
    """The same type with pydantic's validators in place of Checked and CheckedSize."""
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
    """The same check, for pydantic to report the text of its ValueError and no more."""

    def validate(value: object) -> T:
        try:
            return check(value)
        except ValueError as error:
            raise PydanticCustomError("value", "{reason}", {"reason": str(error)}) from None

    return validate


def _byte_size(value: object) -> int | None:
    """`"4MiB"` and the like in bytes; None: it isn't a size."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    try:
        return _BYTE_SIZE.validate_python(value)
    except (ValidationError, OverflowError):
        return None


_BYTE_SIZE = TypeAdapter(ByteSize)
_HINTS = get_type_hints(Settings, include_extras=True)
_OTHERS = {key: _HINTS[key] for key in OTHER_KEYS}
_DEFAULTS = {member.default_key: _value(member) for member in MEMBERS}
_STATE_DEFAULTS = {member.default_key: _value(member) for member in MEMBERS if member.default_can_change}
_TABLES = {
    member.table: dict[Annotated[int, Checked(check_uid_key)], _value(member)]  # type: ignore[misc]
    for member in MEMBERS
}
# in this order problems are reported
_SETTINGS = _adapter("Settings", _DEFAULTS | _OTHERS | _TABLES)
_COMMANDS = {"commands": dict[str, _model("Command", secret_tables.COMMAND_HINTS)]}  # type: ignore[misc]
_SECRETS = _adapter("Secrets", secret_tables.HINTS | _COMMANDS)
_STATE = _adapter("State", {"version": Literal[VERSION]} | _STATE_DEFAULTS | _TABLES)


def _validated(validate: Callable[[], dict[str, Any]]) -> dict[str, Any]:
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
    texts = {
        "extra_forbidden": f"unknown key, with the value {quoted(value)}",
        "dict_type": f"{quoted(value)} must be a table",
    }
    return texts.get(kind, message)

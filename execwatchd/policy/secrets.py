# SPDX-License-Identifier: GPL-2.0-or-later
"""How the values of a file in redact.d are checked, by what they are in redaction/tables.py."""

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from execwatchd.policy.checked import Checked
from execwatchd.redaction import own, tables
from execwatchd.shared.quoting import quoted

LONGEST = 200  # characters of a string
_OPTIONS = ("long", "flags", "secret", "plain", "value", "cookies", "headers", "text", "run", "script")
_SHORT = re.compile(r"(?:[^\s:-]:{0,2})*")


def _check_text(value: object) -> str:
    if isinstance(value, str) and value.isprintable() and value.strip() and len(value) <= LONGEST:
        return value
    raise ValueError(f"{quoted(value)} must be a string of 1 to {LONGEST} printable characters")


def _check_option(value: object) -> str:
    text = _check_text(value)
    if text[0] not in "-/" or " " in text or "=" in text:
        raise ValueError(f"{quoted(text)} must be an option: with its dashes, without a value")
    return text


def _check_operands(value: object) -> str:
    text = _check_text(value)
    *before, last = text.split()
    if last.count("***") != 1 or any("***" in word for word in before):
        raise ValueError(f"{quoted(text)} must have *** in its last word, for the secret")
    return text


def _check_short(value: object) -> str:
    if isinstance(value, str) and len(value) <= LONGEST and _SHORT.fullmatch(value):
        return value
    raise ValueError(f'{quoted(value)} must be the letters of options as for getopt(3), like "ab:c::"')


def _check_input(value: object) -> str:
    return "*" if value == "*" else _check_option(value)


def _check_rest(value: object) -> str:
    text = _check_text(value)
    try:
        own.check(text)
    except ValueError as error:
        raise ValueError(f"the pattern {quoted(text)}: {error}") from None
    return text


def _check_array(value: object) -> list[object] | tuple[object, ...]:
    if isinstance(value, list | tuple):
        return value
    raise ValueError(f"{quoted(value)} must be an array of strings")


def _check_flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError(f"{quoted(value)} must be true or false")


def _check_starts(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and -1 <= value <= 9:
        return value
    raise ValueError(f"{quoted(value)} must be a number of operands, from 0 to 9, or -1")


def _array(check: Callable[[object], str]) -> Any:
    return Annotated[tuple[Annotated[str, Checked(check)], ...], Checked(_check_array)]


_BY_NAME: dict[str, Any] = {
    **dict.fromkeys(_OPTIONS, _array(_check_option)),
    "arguments": _array(_check_operands),
    "input": _array(_check_input),
    "short": Annotated[str, Checked(_check_short)],
    "starts": Annotated[int, Checked(_check_starts)],
    "after": dict[Annotated[str, Checked(_check_text)], _array(_check_option)],  # type: ignore[misc]
    "tokens": dict[Annotated[str, Checked(_check_text)], Annotated[str, Checked(_check_rest)]],
}
_BY_TYPE: dict[Any, Any] = {
    tables.Strings: _array(_check_text),
    str: Annotated[str, Checked(_check_text)],
    bool: Annotated[bool, Checked(_check_flag)],
}


def _checked(hints: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _BY_NAME.get(name) or _BY_TYPE[hint] for name, hint in hints.items() if name != "commands"}


HINTS = _checked(tables.HINTS)
COMMAND_HINTS = _checked(tables.COMMAND_HINTS)

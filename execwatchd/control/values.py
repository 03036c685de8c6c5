# SPDX-License-Identifier: GPL-2.0-or-later
"""What a UID, a message, an action and a limit may be: checked once here, for the file and the bus alike.

Each `check_` function takes anything, returns the value with its type, and raises ValueError with a text
that names the offending value (escaped and bounded) and the limit.
"""

import re
import unicodedata
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any

MAX_UID = 2**32 - 2  # 2**32 - 1 is (uid_t) -1, "no UID" to the kernel
MAX_MESSAGE_LENGTH = 63  # bytes; the kernel's field is 64 with its NUL: MESSAGE_SIZE in bpf/
MAX_LIMIT = 100_000  # execs a second: far more than a machine can do, and a token is not below 10 µs
UNLIMITED = "off"
_SHOWN = 80  # characters of an offending value that an error repeats

# Cc holds C0, DEL and C1; a text with any of these cannot be shown on exactly one line.
_FORBIDDEN_CATEGORIES = {"Cc": "control character", "Cs": "surrogate", "Zl": "line separator",
                         "Zp": "paragraph separator"}  # fmt: skip
_TYPE_NAMES = {dict: "a table", list: "an array", float: "a float", bool: "a boolean"}


class Action(StrEnum):
    """What happens with an exec: `record` writes it to the journal, `ignore` only counts it."""

    RECORD = "record"
    IGNORE = "ignore"


def quoted(value: object) -> str:
    """`value` for an error text: on one line, printable, at most about 80 characters."""
    if isinstance(value, str):
        return repr(value) if len(value) <= _SHOWN else f"{value[:_SHOWN]!r}…"
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if abs(value) < 10**_SHOWN else f"a number of {value.bit_length()} bits"
    return _TYPE_NAMES.get(type(value), f"a value of type {type(value).__name__}")


def check_uid(value: object) -> int:
    """A UID, 0 … 4294967294."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{quoted(value)} is not a UID: it must be a number from 0 to {MAX_UID}")  # noqa: TRY004
    if not 0 <= value <= MAX_UID:
        raise ValueError(f"UID {quoted(value)} is out of range: it must be from 0 to {MAX_UID}")
    return value


def check_uid_key(value: object) -> int:
    """A UID as a TOML or JSON key: decimal digits, no leading zero (two spellings of one UID would clash)."""
    if not isinstance(value, str):
        return check_uid(value)
    if not re.fullmatch(r"0|[1-9][0-9]{0,9}", value):
        raise ValueError(
            f"{quoted(value)} is not a UID: it must be a number from 0 to {MAX_UID}, without leading zeros"
        )
    return check_uid(int(value))


def check_message(value: object) -> str:
    """A message: at most 63 bytes of UTF-8 on one line, without control characters; empty is a message."""
    if not isinstance(value, str):
        raise ValueError(f"{quoted(value)} is not a message: it must be a string")  # noqa: TRY004
    for position, character in enumerate(value[: MAX_MESSAGE_LENGTH + 1]):
        kind = _FORBIDDEN_CATEGORIES.get(unicodedata.category(character))
        if kind:
            raise ValueError(
                f"the message {quoted(value)} has a {kind} (U+{ord(character):04X}) at position {position}"
            )
    size = len(value.encode(errors="surrogatepass"))
    if size > MAX_MESSAGE_LENGTH:
        raise ValueError(
            f"the message {quoted(value)} has {size} bytes of UTF-8: at most {MAX_MESSAGE_LENGTH} fit"
        )
    return value


def check_action(value: object) -> Action:
    """An action by its name."""
    for action in Action:
        if value == action:
            return action
    names = " or ".join(repr(str(action)) for action in Action)
    raise ValueError(f"the action {quoted(value)} does not exist: it must be {names}")


def check_limit(value: object) -> str:
    """A limit: `off`, or execs a second as `200/s`, which is also how many may come at once."""
    if value == UNLIMITED:
        return UNLIMITED
    if (
        isinstance(value, str)
        and re.fullmatch(r"[1-9][0-9]{0,5}/s", value)
        and per_second(value) <= MAX_LIMIT
    ):
        return value
    raise ValueError(
        f"the limit {quoted(value)} does not exist:"
        f" it must be {UNLIMITED!r} or execs a second from '1/s' to '{MAX_LIMIT}/s'"
    )


def per_second(limit: str) -> int:
    """The number of a limit, 0 for `off`."""
    return 0 if limit == UNLIMITED else int(limit.removesuffix("/s"))


class Checked:
    """In an annotation: the value is what `check` makes of it; its ValueError is the problem, word for word.

    `after`: it checks what has its type already.
    """

    def __init__(self, check: Callable[[Any], object], *, after: bool = False) -> None:
        self._check = check
        self._after = after

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        """What pydantic asks an annotation for."""
        from execwatchd.control import model  # noqa: PLC0415  the daemon itself does without pydantic

        return model.checked(self._check, handler(source), after=self._after)


Uid = Annotated[int, Checked(check_uid_key)]
Message = Annotated[str, Checked(check_message)]
ActionName = Annotated[Action, Checked(check_action)]
Limit = Annotated[str, Checked(check_limit)]

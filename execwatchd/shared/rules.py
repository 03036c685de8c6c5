# SPDX-License-Identifier: GPL-2.0-or-later
"""What a UID, a message, an action and a limit may be: checked once here, for the file and the bus alike.

Each `check_` function takes anything, returns the value with its type, and raises ValueError with a text
that names the offending value (escaped and bounded) and the limit.
"""

import re
import unicodedata
from enum import StrEnum

from execwatchd.shared.quoting import quoted

MAX_UID = 2**32 - 2  # 2**32 - 1 is (uid_t) -1, "no UID" to the kernel
MAX_MESSAGE_LENGTH = 63  # bytes; the kernel's field is 64 with its NUL: MESSAGE_SIZE in bpf/
MAX_LIMIT = 100_000  # execs a second: far more than a machine can do, and a token is not below 10 µs
UNLIMITED = "off"

# Cc holds C0, DEL and C1; a text with any of these cannot be shown on exactly one line.
_FORBIDDEN_CATEGORIES = {"Cc": "control character", "Cs": "surrogate", "Zl": "line separator",
                         "Zp": "paragraph separator"}  # fmt: skip


class Action(StrEnum):
    """What happens with an exec: `record` writes it to the journal, `ignore` only counts it."""

    RECORD = "record"
    IGNORE = "ignore"


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

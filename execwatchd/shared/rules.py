# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules: what happens with an exec by a UID. Their values are checked here, for files and bus alike.

Each `check_` function takes anything, returns the value with its type, and raises ValueError with a text
that names the offending value (escaped and bounded) and what it must be. `others` are words that the caller
accepts too, for that text.

A further member of a rule needs a field in `Rule`, its `Member` and its value in `BUILT_IN`; configuration
files, state and the table of rules follow from these.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from execwatchd.shared.quoting import quoted

MAX_UID = 2**32 - 2  # 2**32 - 1 is (uid_t) -1, "no UID" to the kernel
MAX_MESSAGE_LENGTH = 63  # bytes; the kernel's field is 64 with its NUL: MESSAGE_SIZE in bpf/
MAX_UIDS = 10240  # with a rule of their own; the size of the kernel's table: MAX_USERS in bpf/
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
        is_number = type(value) is int and abs(value) < 10**MAX_MESSAGE_LENGTH
        remedy = f'write "{value}"' if is_number else "it must be a string"
        raise ValueError(f"{quoted(value)} is not a message: {remedy}")  # noqa: TRY004
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


def check_action(value: object, *others: str) -> Action:
    """An action by its name."""
    for action in Action:
        if value == action:
            return action
    names = alternatives([repr(str(name)) for name in (*Action, *others)])
    raise ValueError(f"the action {quoted(value)} does not exist: it must be {names}")


def check_limit(value: object, *others: str) -> str:
    """A limit: `off`, or execs a second as `200/s`, which is also how many may come at once."""
    if value == UNLIMITED:
        return UNLIMITED
    if (
        isinstance(value, str)
        and re.fullmatch(r"[1-9][0-9]{0,5}/s", value)
        and per_second(value) <= MAX_LIMIT
    ):
        return value
    if number := _bare_number(value):
        rate = f"{number}/s" if isinstance(value, str) else f'"{number}/s"'
        raise ValueError(f"the limit {quoted(value)} is not a rate: write {rate}")
    raise ValueError(
        f"the limit {quoted(value)} does not exist:"
        f" it must be {UNLIMITED!r} or execs a second from '1/s' to '{MAX_LIMIT}/s'"
        f"{''.join(f', or {other!r}' for other in others)}"
    )


def _bare_number(value: object) -> str:
    """A limit that lacks only the unit; empty for anything else."""
    text = str(value) if type(value) in (int, str) else ""
    return text if re.fullmatch(r"[1-9][0-9]{0,5}", text) and int(text) <= MAX_LIMIT else ""


def per_second(limit: str) -> int:
    """The number of a limit, 0 for `off`."""
    return 0 if limit == UNLIMITED else int(limit.removesuffix("/s"))


def limit_of(number: int) -> str:
    """The limit of this many execs a second, `off` for 0."""
    return f"{number}/s" if number else UNLIMITED


def alternatives(words: Sequence[str]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


class Rule(NamedTuple):
    """What happens with an exec: its message, whether it is recorded, and how many are in a second.

    None: the layer that the rule is from doesn't set this member. A rule that applies sets every member.
    """

    message: str | None = None
    action: Action | None = None
    limit: str | None = None

    def over(self, lower: "Rule") -> "Rule":
        """This rule, with what it doesn't set from a lower layer's."""
        return Rule._make(
            [below if value is None else value for value, below in zip(self, lower, strict=True)]
        )


# what applies where no layer sets anything
BUILT_IN = Rule("Hello World", Action.RECORD, UNLIMITED)


@dataclass(frozen=True)
class Member:
    """A member of a rule, and how files, bus and log have it.

    `name`: in Rule, and in texts. `table`: in a file, the table of its values by UID. `default_key`: in a
    file, the key of its default. `check`: the check of a value. `default_can_change`: whether the default can
    be set over the bus. `shown`: a value as a log entry shows it.
    """

    name: str
    table: str
    default_key: str
    check: Callable[..., Any]
    default_can_change: bool = True
    shown: Callable[[Any], str] = str

    def of(self, rule: Rule) -> Any:
        """This member of a rule."""
        return getattr(rule, self.name)


MESSAGE = Member("message", "messages", "default_message", check_message, shown=quoted)
ACTION = Member("action", "actions", "default_action", check_action)
LIMIT = Member("limit", "limits", "limit_per_user", check_limit, default_can_change=False)
MEMBERS = (MESSAGE, ACTION, LIMIT)  # in the order of Rule

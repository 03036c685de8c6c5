# SPDX-License-Identifier: GPL-2.0-or-later
"""The settings that execwatchd.toml can have: keys, types, bounds and defaults."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any

from execwatchd.policy.checked import Checked, CheckedSize
from execwatchd.policy.layer import Layer
from execwatchd.redaction import own, redactor
from execwatchd.shared.quoting import quoted
from execwatchd.shared.rules import BUILT_IN

Key = tuple[str | int, ...]  # ("default_message",) or ("messages", 501)

ANCESTORS_MAX = 8
ARGV_BYTES_STEP, ARGV_BYTES_MAX = 512, 32768
ARGUMENTS = (redactor.ALL, redactor.NAMES, redactor.NONE)
PATTERNS_MAX, PATTERN_LENGTH_MAX = 64, 1000
RING_SIZE_MIN, RING_SIZE_MAX = 4 << 10, 128 << 20


def _check_flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{quoted(value)} must be true or false")  # noqa: TRY004  see Checked
    return value


def _check_ancestors(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= ANCESTORS_MAX:
        return value
    raise ValueError(f"{quoted(value)} must be a number from 0 to {ANCESTORS_MAX}")


def _check_argv_bytes(value: object) -> int:
    if isinstance(value, int) and value in range(ARGV_BYTES_STEP, ARGV_BYTES_MAX + 1, ARGV_BYTES_STEP):
        return value
    raise ValueError(
        f"{quoted(value)} must be a multiple of {ARGV_BYTES_STEP}, at most {ARGV_BYTES_MAX}, in bytes"
    )


def _check_ring_size(value: object, size: int | None) -> int | None:
    if value is None:
        return None
    if size is None or not RING_SIZE_MIN <= size <= RING_SIZE_MAX or size & (size - 1):
        raise ValueError(f'{quoted(value)} must be a power of two from "4KiB" to "128MiB"')
    return size


def _check_metrics_file(value: object) -> str:
    if isinstance(value, str) and (not value or _is_path_of_a_file(value)):
        return value
    raise ValueError(f"{quoted(value)} must be the absolute path of a file, or empty")


def _is_path_of_a_file(value: str) -> bool:
    named = value.rpartition("/")[2] not in ("", ".", "..")
    return value[0] == "/" and named and value.isprintable() and len(value.encode()) < 4096


def _check_arguments(value: object) -> str:
    if isinstance(value, str) and value in ARGUMENTS:
        return value
    raise ValueError(f'{quoted(value)} must be "all", "names" or "none"')


def _check_redact(value: object) -> list[object] | tuple[object, ...]:
    if isinstance(value, bool):
        return [own.DEFAULT] if value else []
    if isinstance(value, list | tuple) and len(value) <= PATTERNS_MAX:
        return value
    raise ValueError(f"{quoted(value)} must be true, false, or an array of at most {PATTERNS_MAX} patterns")


def _check_pattern(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{quoted(value)} must be a pattern: a string")  # noqa: TRY004
    if not value.isprintable() or len(value) > PATTERN_LENGTH_MAX:
        raise ValueError(
            f"the pattern {quoted(value)} must be at most {PATTERN_LENGTH_MAX} printable characters"
        )
    try:
        own.check(value)
    except ValueError as error:
        raise ValueError(f"the pattern {quoted(value)}: {error}") from None
    return value


def _check_together(values: Any) -> tuple[str, ...]:
    try:
        own.check_together(values)
    except ValueError as error:
        raise ValueError(f"the patterns together: {error}") from None
    return tuple(values)


Patterns = Annotated[
    tuple[Annotated[str, Checked(_check_pattern)], ...],
    Checked(_check_redact),
    Checked(_check_together, after=True),
]


@dataclass(frozen=True)
class Settings:
    """The configuration files' layer of the settings, merged; sizes are in bytes.

    `rules` has every default. `argv_bytes` is how much of a command line is recorded. `ring_size` None means
    1 MiB for each possible CPU, at least 8 and at most 128 MiB, rounded up to a power of two. `redact` has
    own.DEFAULT for true, nothing for false. `arguments`: what is recorded of a command line.
    `metrics_file` is empty for none.
    """

    rules: Layer = field(default_factory=lambda: Layer(BUILT_IN))
    failures: Annotated[bool, Checked(_check_flag)] = False
    cwd: Annotated[bool, Checked(_check_flag)] = False
    ancestors: Annotated[int, Checked(_check_ancestors)] = 0
    interactive: Annotated[bool, Checked(_check_flag)] = False
    exits: Annotated[bool, Checked(_check_flag)] = False
    argv_bytes: Annotated[int, Checked(_check_argv_bytes)] = 4096
    ring_size: Annotated[int | None, CheckedSize(_check_ring_size)] = None
    parent_cmdline: Annotated[bool, Checked(_check_flag)] = True
    redact: Patterns = (own.DEFAULT,)
    arguments: Annotated[str, Checked(_check_arguments)] = redactor.ALL
    metrics_file: Annotated[str, Checked(_check_metrics_file)] = ""

    @classmethod
    def of_file(cls, values: Mapping[str, Any]) -> "Settings":
        """From checked values by key; what isn't there has its default."""
        layer = Layer.of_file(values)
        others = {name: values[name] for name in OTHER_KEYS if name in values}
        return cls(Layer(layer.default.over(BUILT_IN), layer.rules), **others)

    def in_file(self) -> dict[str, Any]:
        """All of it by key, in the order of a file: tables come last."""
        others = {name: getattr(self, name) for name in OTHER_KEYS}
        return {**self.rules.defaults(), **others, **self.rules.tables()}


OTHER_KEYS = tuple(member.name for member in fields(Settings) if member.name != "rules")


def keys(values: Mapping[str, Any]) -> Iterator[Key]:
    """The key of each value; in a table each UID has a value."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from ((name, uid) for uid in value)
        else:
            yield (name,)

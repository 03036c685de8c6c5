# SPDX-License-Identifier: GPL-2.0-or-later
"""The values of options, as argparse's `type=` wants them: each raises ArgumentTypeError."""

from argparse import ArgumentTypeError
from collections.abc import Sequence

from execwatchd.ctl.journal import times

_SHORTEST = 0.2  # s between two screens
_PRIORITIES = "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"


def span(text: str) -> int:
    """µs of a length of time."""
    try:
        return times.span(text)
    except ValueError:
        raise ArgumentTypeError(f"not a length of time: {text}") from None


def natural(text: str) -> int:
    """A number without a sign."""
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise ArgumentTypeError(f"not a number: {text}")
    return int(text)


def seconds(text: str) -> float:
    """A number of seconds, at most an hour."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 3600:
        raise ArgumentTypeError(f"not a number of seconds: {text}")
    return number


def interval(text: str) -> float:
    """Seconds between two screens."""
    number = seconds(text)
    if number < _SHORTEST:
        raise ArgumentTypeError(f"shorter than {_SHORTEST} s: {text}")
    return number


def priorities(text: str) -> Sequence[int]:
    """Those that `journalctl -p` means: up to this, or from one to another."""
    first, dots, last = text.partition("..")
    ends = sorted((_priority(first), _priority(last))) if dots else [0, _priority(first)]
    return range(ends[0], ends[1] + 1)


def _priority(text: str) -> int:
    if text in _PRIORITIES:
        return _PRIORITIES.index(text)
    if text.isascii() and text.isdecimal() and len(text) == 1 and int(text) < len(_PRIORITIES):
        return int(text)
    raise ArgumentTypeError(f"not a priority: {text} ({', '.join(_PRIORITIES)}, or 0 to 7)")

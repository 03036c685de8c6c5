# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts in texts."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 exec`, `2 execs`; `plural` where it isn't made with an s."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def were(number: int) -> str:
    """`was` for one, else `were`."""
    return "was" if number == 1 else "were"

# SPDX-License-Identifier: GPL-2.0-or-later
"""How a setting's annotation says what its value may be; validate.py applies it to what a file has."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Checked:
    """The value is what `check` makes of it. A ValueError of it is the problem, word for word.

    `after`: it checks what has its annotated type already; else it takes anything.
    """

    check: Callable[[Any], object]
    after: bool = False


@dataclass(frozen=True)
class CheckedSize:
    """The same for a number of bytes, that may be written as "4MiB": `check` takes the value as it was
    written, and the number, None where it is no size.
    """

    check: Callable[[Any, int | None], object]

# SPDX-License-Identifier: GPL-2.0-or-later
"""What a setting's annotation has: the check of its value, which validate.py applies to a file's."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Checked:
    """`check` returns the value, or raises ValueError, whose text is reported as it is.

    `after`: it gets a value that has the annotated type already. Otherwise it gets anything.
    """

    check: Callable[[Any], object]
    after: bool = False


@dataclass(frozen=True)
class CheckedSize:
    """The same for a number of bytes, which may be written as "4MiB". `check` gets the value as it is written
    and the number of bytes, which is None if the value is no size.
    """

    check: Callable[[Any, int | None], object]

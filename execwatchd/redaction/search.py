# SPDX-License-Identifier: GPL-2.0-or-later
"""RE2 on one text, with all that it does there counted.

RE2 matches in time linear to the text, whatever pattern and text are; Python's `re` does not. Without groups
it reads a byte in 2 ns; to find groups it may need a hundred times as long.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import re2  # at the start, since a daemon from root's own checkout may not read it later

from execwatchd.redaction.words import Span

# Work is counted in instructions of the interpreter: how many take as long as a call of RE2, and how many
# bytes it reads in the time of one.
CALL, BYTES = 100, 4
_MEMORY = 8 << 20  # bytes that a pattern may take; beyond, RE2 is slower, and linear still


class TooMuchError(Exception):
    """More work than was allowed."""


class Regex:
    """One pattern, compiled for bytes. Raises ValueError."""

    def __init__(
        self, pattern: str, flags: str = "(?im)", *, groups: bool = False, memory: int = _MEMORY
    ) -> None:
        options = re2.Options()
        options.encoding = re2.Options.Encoding.LATIN1
        options.log_errors = False
        options.max_mem = memory
        options.never_capture = not groups
        try:
            # The public search() runs a generator around this, for twice the time.
            compiled = re2.compile(f"{flags}{pattern}".encode(), options)
            self._match: Any = compiled._regexp.Match
        except re2.error as error:
            raise ValueError(error.args[0].decode(errors="replace")) from None
        self.size: int = compiled.programsize
        where = re2._Anchor
        self._anywhere, self._here = where.UNANCHORED, where.ANCHOR_START

    def find(self, text: bytes, start: int, end: int) -> Sequence[Span]:
        """The spans of the first match and of its groups; -1, -1 where there is none."""
        found: Sequence[Span] = self._match(self._anywhere, text, start, end)
        return found

    def at(self, text: bytes, start: int, end: int) -> Sequence[Span]:
        """The same for the match that begins at `start`."""
        found: Sequence[Span] = self._match(self._here, text, start, end)
        return found

    def is_in(self, text: bytes) -> bool:
        return bool(self._match(self._anywhere, text, 0, len(text))[0][0] >= 0)


def any_of(patterns: Iterable[str], flags: str = "(?im)", *, memory: int = _MEMORY) -> Regex:
    """Raises ValueError if they are too many."""
    return Regex("|".join(f"(?:{pattern})" for pattern in patterns), flags, memory=memory)


class Work:
    """How many instructions of the interpreter, about, may still be spent on one argv."""

    def __init__(self, left: int) -> None:
        self.left = left

    def spend(self, cost: int) -> None:
        """Raises TooMuchError."""
        self.left -= cost
        if self.left < 0:
            raise TooMuchError

# SPDX-License-Identifier: GPL-2.0-or-later
"""RE2 on one text, with all that it does there counted.

RE2 matches in time linear to the text, whatever pattern and text are; Python's `re` does not. Without groups
it reads a byte in 2 ns; to find groups it may need a hundred times as long.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import re2  # at the start, since a daemon from root's own checkout may not read it later

CALL = 768  # bytes that RE2 reads while Python calls it once, and does something with the answer
_MEMORY = 8 << 20  # bytes that a pattern may take; beyond, RE2 is slower, and linear still

Span = tuple[int, int]


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
        self._anywhere, self._here, self._all = where.UNANCHORED, where.ANCHOR_START, where.ANCHOR_BOTH

    def find(self, text: bytes, start: int, end: int) -> Sequence[Span]:
        """The spans of the first match and of its groups; -1, -1 where there is none."""
        found: Sequence[Span] = self._match(self._anywhere, text, start, end)
        return found

    def at(self, text: bytes, start: int, end: int) -> Span:
        """The match that begins at `start`; -1, -1 where there is none."""
        found: Span = self._match(self._here, text, start, end)[0]
        return found

    def all(self, text: bytes, start: int, end: int) -> Span:
        """The match that is all of it; -1, -1 where it is none."""
        found: Span = self._match(self._all, text, start, end)[0]
        return found

    def is_in(self, text: bytes) -> bool:
        return bool(self._match(self._anywhere, text, 0, len(text))[0][0] >= 0)


def any_of(patterns: Iterable[str], flags: str = "(?im)", *, memory: int = _MEMORY) -> Regex:
    """Raises ValueError if they are too many."""
    return Regex("|".join(f"(?:{pattern})" for pattern in patterns), flags, memory=memory)


class Work:
    """What may still be done: bytes that are read, and CALL for each time."""

    def __init__(self, left: int) -> None:
        self.left = left


class Search:
    """In one text. Raises TooMuchError."""

    def __init__(self, text: bytes, work: Work) -> None:
        self.text = text
        self._work = work

    def groups(self, regex: Regex, start: int, end: int) -> Sequence[Span] | None:
        """The spans of the first match and of its groups."""
        found = regex.find(self.text, start, end)
        return found if self._spent(found[0], start, end) else None

    def find(self, regex: Regex, start: int, end: int) -> Span | None:
        found = regex.find(self.text, start, end)[0]
        return self._spent(found, start, end)

    def at(self, regex: Regex, start: int, end: int) -> Span | None:
        """The match that begins at `start`."""
        return self._spent(regex.at(self.text, start, end), start, end)

    def is_all(self, regex: Regex, start: int, end: int) -> bool:
        return bool(self._spent(regex.all(self.text, start, end), start, end))

    def _spent(self, found: Span, start: int, end: int) -> Span | None:
        there = found[0] >= 0
        self._work.left -= CALL + (found[1] if there else end) - start
        if self._work.left < 0:
            raise TooMuchError
        return found if there else None

# SPDX-License-Identifier: GPL-2.0-or-later
"""Secrets out of command lines, in a time that no argument can drive up: see search.py, and _work()."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Protocol

from execwatchd.redaction.builtin import LINES, BuiltIn
from execwatchd.redaction.search import CALL, Regex, Search, Span, TooMuchError, Work, any_of

MARK = b"***"
DEFAULT = "default"  # stands for the built-in patterns
_MEMORY = 2 << 20  # bytes that one of the administrator's may take, and all together
# RE2's instructions of one, and of all: for each byte it may have to try as many
SIZE_MAX, SIZES_MAX = 300, 1500


class Redactor:
    """Takes the secrets out of arguments, each ended by NUL.

    Patterns are RE2's, or DEFAULT; raises ValueError.
    """

    def __init__(self, wanted: Collection[str]) -> None:
        own = _without_default(wanted)
        self._finders: list[_Finder] = [BuiltIn()] if DEFAULT in wanted else []
        self._finders += [_Own(own)] if own else []
        self.suspects = self._finders[0].suspects if len(self._finders) == 1 else self._one_suspects

    def _one_suspects(self, argv: bytes) -> bool:
        return any(finder.suspects(argv) for finder in self._finders)

    def clean(self, argv: bytes) -> bytes:
        """The same number of arguments; a whole one only where a pattern says so, or all is too much work."""
        clean, at = [], 0
        for start, end in _joined(self._spans(argv)):
            clean += [argv[at:start], _marked(argv[start:end])]
            at = end
        return b"".join([*clean, argv[at:]])

    def _spans(self, argv: bytes) -> list[Span]:
        """If it is too much, only the begin is judged, and what is behind that taken for a secret."""
        with suppress(TooMuchError):
            return self._found(argv, Work(_work(argv)))
        work = Work(_work(argv) // 3)
        judged, spans = argv.find(b"\0") + 1, []
        with suppress(TooMuchError):
            for part in 64, 16, 4:
                end = argv.rfind(b"\0", 0, len(argv) // part) + 1
                if end > judged:
                    spans, judged = self._found(argv[:end], work), end
        return [*spans, (judged, len(argv))]

    def _found(self, argv: bytes, work: Work) -> list[Span]:
        return [span for finder in self._finders for span in finder.spans(argv, work)]


def _work(argv: bytes) -> int:
    """Enough for sixteen secrets, and to search through a long one a dozen times."""
    return 64 * CALL + 8 * len(argv)


def _marked(secret: bytes) -> bytes:
    """As many arguments."""
    if not secret:
        return b""
    return (MARK + b"\0") * secret.count(b"\0") + (b"" if secret.endswith(b"\0") else MARK)


def check(pattern: str) -> None:
    """Raises ValueError with the reason."""
    compiled = Regex(pattern, "", memory=_MEMORY)
    if compiled.is_in(b""):
        raise ValueError("it matches where nothing is")
    if compiled.size > SIZE_MAX:
        raise ValueError(f"it is compiled to {compiled.size} instructions, and may have {SIZE_MAX}")


def check_together(wanted: Iterable[str]) -> None:
    """Raises ValueError if they are too large."""
    own = _without_default(wanted)
    size = any_of(own, "(?m)", memory=_MEMORY).size if own else 0
    if size > SIZES_MAX:
        raise ValueError(f"they are compiled to {size} instructions, and may have {SIZES_MAX}")


def _without_default(wanted: Iterable[str]) -> list[str]:
    return [pattern for pattern in wanted if pattern != DEFAULT]


def _joined(spans: Iterable[Span]) -> Iterator[Span]:
    """In order, with those that touch as one."""
    last = (0, 0)
    for start, end in sorted(spans):
        if start > last[1]:
            yield last
            last = start, end
        elif end > last[1]:
            last = last[0], end
    yield last


class _Finder(Protocol):
    def suspects(self, argv: bytes) -> bool:
        """Quick; False: it has no secret."""

    def spans(self, argv: bytes, work: Work) -> Iterator[Span]:
        """Where they are, in any order. Raises TooMuchError."""


class _Own:
    """The administrator's patterns: the groups of a match are secrets, or all of it where it has none."""

    def __init__(self, own: Sequence[str]) -> None:
        self._own = [Regex(pattern, "(?m)", groups=True, memory=_MEMORY) for pattern in own]
        self._any = any_of(own, "(?m)", memory=_MEMORY)

    def suspects(self, argv: bytes) -> bool:
        return self._any.is_in(argv.translate(LINES))

    def spans(self, argv: bytes, work: Work) -> Iterator[Span]:
        work.left += len(self._own) * (CALL + len(argv))  # what there is at least
        search = Search(argv.translate(LINES), work)
        for regex in self._own:
            start = 0
            while start <= len(argv) and (found := search.groups(regex, start, len(argv))):
                yield from [span for span in found[1:] if span[0] >= 0] or found[:1]
                start = max(found[0][1], found[0][0] + 1)

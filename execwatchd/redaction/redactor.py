# SPDX-License-Identifier: GPL-2.0-or-later
"""Secrets out of command lines, in a time that no argument can drive up: what exceeds it is masked."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import lru_cache

from execwatchd.redaction.grammar import Grammar
from execwatchd.redaction.own import DEFAULT, Patterns, without_default
from execwatchd.redaction.reading import Reading
from execwatchd.redaction.search import TooMuchError, Work
from execwatchd.redaction.tables import BUILT_IN, Tables
from execwatchd.redaction.words import Line, Span

MARK = b"***"
ALL, NAMES, NONE = "all", "names", "none"  # of the arguments: what is recorded
_WORDS_MAX = 256  # of which names are looked for
_OPTION = re.compile(rb"--?[A-Za-z][\w-]{0,40}+|-[^\s=-]|--?")
_NAME = re.compile(rb"(?:--?)?[A-Za-z][\w.-]{0,40}+=")


class Redactor:
    """Takes the secrets out of arguments, each ended by NUL.

    `wanted`: patterns in RE2's syntax, and DEFAULT for what `tables` say. `arguments`: ALL, NAMES or NONE of
    what is no secret stays. Raises ValueError.
    """

    suspects: Callable[[bytes], bool]  # quick; False: `clean` changes nothing

    def __init__(self, wanted: Collection[str], tables: Tables = BUILT_IN, arguments: str = ALL) -> None:
        own = without_default(wanted)
        self._own = Patterns(own) if own else None
        self._by_default = DEFAULT in wanted
        self._grammar = _grammar(tables)
        self._arguments = arguments
        finders = [self._grammar.hint.is_in] * self._by_default + ([self._own.suspects] if self._own else [])
        if arguments != ALL:
            self.suspects = _has_arguments
        elif len(finders) == 1:
            self.suspects = finders[0]
        else:
            self.suspects = lambda argv: any(finder(argv) for finder in finders)

    def clean(self, argv: bytes) -> bytes:
        """The same number of arguments; a whole one only where it is a secret, or all is too much work."""
        clean, at = [], 0
        for start, end in _joined(self._spans(argv)):
            clean += [argv[at:start], _marked(argv[start:end])]
            at = end
        return b"".join([*clean, argv[at:]])

    def _spans(self, argv: bytes) -> list[Span]:
        if self._arguments == NONE:
            return [(argv.find(b"\0") + 1 or len(argv), len(argv))]
        own = self._own
        size = _budget(argv)
        work = Work(size + (own.work_on(len(argv)) * 2 if own else 0))
        reading = Reading(self._grammar, work, (lambda line: own.of_line(line, work)) if own else None)
        spans: list[Span] = []
        try:
            if own:
                spans += own.of_argv(argv, work)
            reading.read(argv)
        except TooMuchError:
            spans.append((reading.settled, len(argv)))
        spans += reading.own
        if self._by_default:
            spans += reading.spans
        return spans + list(_values(argv, reading.kept)) if self._arguments == NAMES else spans


@lru_cache(maxsize=2)  # one is dear to make
def _grammar(tables: Tables) -> Grammar:
    return Grammar(tables)


def _budget(argv: bytes) -> int:
    """Enough for twenty secrets and a hundred words, and for a few hundred if it is long."""
    return 16_000 + 3 * len(argv)


def _has_arguments(argv: bytes) -> bool:
    return 0 <= argv.find(b"\0") < len(argv) - 1


def _values(argv: bytes, kept: Collection[int]) -> Iterator[Span]:
    """All but names of programs, options and what has a value. `kept`: where such words begin."""
    line = Line.of_argv(argv)
    if len(line.values) > _WORDS_MAX:
        yield line.starts[_WORDS_MAX], len(argv)
    for index, (start, value) in enumerate(zip(line.starts, line.values[:_WORDS_MAX], strict=False)):
        if index == 0 or start in kept or not value:
            continue
        option, name = _OPTION.match(value), _NAME.match(value)
        shown = name.end() if name else option.end() if option else 0
        if option and not name and not value.startswith(b"--"):
            shown = 2
        if shown < len(value):
            yield start + shown, start + len(value)


def _marked(secret: bytes) -> bytes:
    """As many arguments."""
    if not secret:
        return b""
    return (MARK + b"\0") * secret.count(b"\0") + (b"" if secret.endswith(b"\0") else MARK)


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

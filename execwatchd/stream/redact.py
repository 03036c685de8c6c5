# SPDX-License-Identifier: GPL-2.0-or-later
"""Secrets out of command lines, in a time that no argument can drive up.

RE2 matches in time linear to the text, whatever pattern and text are; Python's `re` does not. How often it is
asked is bounded too: by the number of patterns, and by _FOUND.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Protocol

import re2  # at the start, since a daemon from root's own checkout may not read it later

from execwatchd.stream import patterns
from execwatchd.stream.decode import REDACTED, Record

MARK = b"***"
DEFAULT = "default"  # stands for the built-in patterns
_FOUND = 32  # matches in one argv; with more, all behind argv[0] counts as secret
_MEMORY = 2 << 20  # bytes that a pattern may take; beyond, RE2 is slower, and linear still

# Each argument a line, so that `.` stays in it, and a line break inside one a NUL: of the same length.
_LINES = bytes.maketrans(b"\0\n", b"\n\0")
# `sh -c` and its script; an option behind -c, or a single word, is none
_SCRIPT = re.compile(rb"^(-[A-Za-z]{0,5}c)\n(?=[^-\n][^\n]*?[ \t\0;=])", re.MULTILINE)
_ARGUMENT = re.compile(rb"[^\0]+")

Span = tuple[int, int]


class Redactor:
    """Takes the secrets out of a record. Patterns are RE2's, or DEFAULT; raises ValueError."""

    def __init__(self, wanted: Collection[str]) -> None:
        own = _without_default(wanted)
        self._finders: list[_Finder] = [_BuiltIn()] if DEFAULT in wanted else []
        self._finders += [_Own(own)] if own else []
        self._suspecting = [finder.suspects for finder in self._finders]

    def __call__(self, record: Record) -> Record:
        """The same one if it has none."""
        argv = record.argv
        for suspects in self._suspecting:
            if suspects(argv):
                break
        else:
            return record
        clean = self.clean(argv)
        if clean == argv:
            return record
        return record._replace(argv=clean, flags=record.flags | REDACTED)

    def clean(self, argv: bytes) -> bytes:
        """The same number of arguments; a whole one only where a pattern says so."""
        try:
            spans = [span for finder in self._finders for span in finder.spans(argv)]
        except _TooManyError:
            spans = [(argv.find(b"\0") + 1, len(argv))]
        clean, at = [], 0
        for start, end in _joined(spans):
            clean += [argv[at:start], _ARGUMENT.sub(MARK, argv[start:end])]
            at = end
        return b"".join([*clean, argv[at:]])


def check(pattern: str) -> None:
    """Raises ValueError with the reason, which is RE2's."""
    if _Regex(pattern, "").is_in(b""):
        raise ValueError("it matches where nothing is")


def check_together(wanted: Iterable[str]) -> None:
    """Raises ValueError if there are too many at once for RE2's budget of memory."""
    if own := _without_default(wanted):
        _any_of(own)


def _without_default(wanted: Iterable[str]) -> list[str]:
    return [pattern for pattern in wanted if pattern != DEFAULT]


def _any_of(own: Iterable[str]) -> "_Regex":
    return _Regex("|".join(f"(?:{pattern})" for pattern in own), capture=False)


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


class _TooManyError(Exception):
    """More matches than _FOUND."""


class _Regex:
    """One pattern, compiled for bytes. Raises ValueError."""

    def __init__(self, pattern: str, flags: str = "(?m)", *, capture: bool = True) -> None:
        options = re2.Options()
        options.encoding = re2.Options.Encoding.LATIN1
        options.log_errors = False
        options.max_mem = _MEMORY
        options.never_capture = not capture
        try:
            # The public search() runs a generator around this, for twice the time.
            self._match: Any = re2.compile(f"{flags}{pattern}".encode(), options)._regexp.Match
        except re2.error as error:
            raise ValueError(error.args[0].decode(errors="replace")) from None
        where = re2._Anchor
        self._anywhere, self._here, self._whole = where.UNANCHORED, where.ANCHOR_START, where.ANCHOR_BOTH

    def find(self, text: bytes, start: int, end: int) -> Sequence[Span]:
        """The spans of the first match and of its groups; -1, -1 where there is none."""
        found: Sequence[Span] = self._match(self._anywhere, text, start, end)
        return found

    def is_in(self, text: bytes) -> bool:
        return bool(self._match(self._anywhere, text, 0, len(text))[0][0] >= 0)

    def begins(self, text: bytes) -> bool:
        return bool(self._match(self._here, text, 0, len(text))[0][0] >= 0)

    def is_all_of(self, text: bytes) -> bool:
        return bool(self._match(self._whole, text, 0, len(text))[0][0] >= 0)


class _Search:
    """The matches in one text, counted."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self._left = _FOUND

    def matches(self, regex: _Regex, start: int, end: int) -> Iterator[Sequence[Span]]:
        """Raises _TooManyError."""
        while start <= end and (found := regex.find(self.text, start, end))[0][0] >= 0:
            self._left -= 1
            if self._left < 0:
                raise _TooManyError
            yield found
            start = max(found[0][1], found[0][0] + 1)


class _Finder(Protocol):
    def suspects(self, argv: bytes) -> bool:
        """Quick; False: it has no secret."""

    def spans(self, argv: bytes) -> Iterator[Span]:
        """Where they are, in any order. Raises _TooManyError."""


class _Own:
    """The administrator's patterns: the groups of a match are secrets, or all of it where it has none."""

    def __init__(self, own: Sequence[str]) -> None:
        self._own = [_Regex(pattern) for pattern in own]
        self._any = _any_of(own)

    def suspects(self, argv: bytes) -> bool:
        return self._any.is_in(argv.translate(_LINES))

    def spans(self, argv: bytes) -> Iterator[Span]:
        search = _Search(argv.translate(_LINES))
        for regex in self._own:
            for match in search.matches(regex, 0, len(argv)):
                yield from [span for span in match[1:] if span[0] >= 0] or match[:1]


class _BuiltIn:
    """Those of patterns.py, each rule tried only where the hint of its kind is."""

    def __init__(self) -> None:
        self.suspects = _regex("|".join(f"(?:{kind.hint})" for kind in patterns.KINDS), capture=False).is_in
        self._kinds = [(_regex(kind.hint), [_Rule(rule) for rule in kind.rules]) for kind in patterns.KINDS]

    def spans(self, argv: bytes) -> Iterator[Span]:
        search = _Search(_SCRIPT.sub(b"\\1\0", argv.translate(_LINES)))
        for hint, rules in self._kinds:
            if hint.is_in(argv):
                for rule in rules:
                    yield from rule.spans(search)


def _regex(pattern: str, *, capture: bool = True) -> _Regex:
    return _Regex(pattern, "(?im)", capture=capture)


class _Rule:
    def __init__(self, rule: patterns.Rule) -> None:
        self._secret = _regex(rule.secret)
        self._within = _regex(rule.within) if rule.within else None
        self._unless = _regex(rule.unless) if rule.unless else None
        self._harmless = _regex(patterns.HARMLESS)
        self._no_word = _regex(patterns.NO_WORD) if rule.word else None

    def spans(self, search: _Search) -> Iterator[Span]:
        whole = (0, len(search.text))
        places = [match[1] for match in search.matches(self._within, *whole)] if self._within else [whole]
        for match in (match for place in places for match in search.matches(self._secret, *place)):
            if not self._unless or not self._unless.begins(search.text[slice(*match[0])]):
                yield from (span for span in match[1:] if self._is_secret(search.text, span))

    def _is_secret(self, text: bytes, span: Span) -> bool:
        if span[0] < 0 or self._harmless.is_all_of(text[slice(*span)]):
            return False
        if not self._no_word or text[span[0] - 1 : span[0]] == b"'":  # quoted like this, $ is only $
            return True
        return not self._no_word.is_all_of(text[slice(*span)])

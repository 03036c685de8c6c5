# SPDX-License-Identifier: GPL-2.0-or-later
"""Where among a command's operands a secret stands, by patterns as `user set password * ***`."""

import re
from collections.abc import Callable, Collection, Iterable, Sequence

from execwatchd.redaction.names import Names
from execwatchd.redaction.search import Regex
from execwatchd.redaction.words import Span

SECRET, ANY, ANYWHERE, NAMED = "***", "*", "...", "<secret>"
_MEMORY = 1 << 18  # bytes that RE2 may take for a word
_FLAGS = "(?is)"


class Place:
    """A pattern of operands, of which the last has a secret.

    It may begin with an option, or "!" and an option: it then counts only where that is given, or isn't.
    """

    def __init__(self, pattern: str, names: Names) -> None:
        words = pattern.split()
        self._with = [words.pop(0).encode()] if words[0].startswith("-") and words[1:] else []
        self._without = [words.pop(0)[1:].encode()] if words[0].startswith("!-") and words[1:] else []
        self._anywhere = words[0] == ANYWHERE
        words = words[self._anywhere :]
        self._count = len(words)
        self._before = [_matcher(word, names) for word in words[:-1]]
        self._last = _template(words[-1])
        # what the word before the secret is, if it is always the same
        self.previous = words[-2] if len(words) > 1 else ANY
        self.is_plain = self._anywhere and words[1:] == [SECRET] and not (self._with or self._without)

    def secret(self, operands: Sequence[bytes], options: Collection[bytes]) -> Span | None:
        """Where it is in the last of these operands."""
        count = len(operands)
        if count < self._count or not (self._anywhere or count == self._count):
            return None
        if any(option not in options for option in self._with):
            return None
        if any(option in options for option in self._without):
            return None
        before = operands[count - self._count : -1]
        if not all(matches(operand) for matches, operand in zip(self._before, before, strict=True)):
            return None
        span: Span = self._last.at(operands[-1], 0, len(operands[-1]))[1]
        return span if span[0] >= 0 else None


def _matcher(word: str, names: Names) -> Callable[[bytes], bool]:
    if word == NAMED:
        return names.is_secret
    if ANY not in word:
        literal = word.lower().encode()
        return lambda operand: operand.lower() == literal
    return Regex(rf"\A(?:{_escaped(word)})\z", _FLAGS, memory=_MEMORY).is_in


def _escaped(word: str) -> str:
    return "".join(".*" if part == ANY else re.escape(part) for part in re.split(r"(\*)", word))


def _template(word: str) -> Regex:
    """`*:***@*`: from the first colon, unless that begins a URL, to the last @."""
    before, after = word.split(SECRET)
    if before.endswith(("*:", "*/", "*=", "*%")):
        last = before[-1]
        before, first = f"{_escaped(before[:-2])}[^{last}/]*{last}", "(?:[^/]|/[^/])"
    else:
        before, first = _escaped(before), "."
    rest = f"{re.escape(after[0])}[^{after[0]}]*" if after else ""
    return Regex(f"{before}({first}.*){rest}\\z", _FLAGS, groups=True, memory=_MEMORY)


class Places:
    """All of a command's patterns. `others`: how many have to be tried one by one."""

    def __init__(self, patterns: Iterable[str], names: Names) -> None:
        self._behind: dict[bytes, list[Place]] = {}  # a word
        self._others: list[Place] = []
        globs = []
        for pattern in patterns:
            place = Place(pattern, names)
            if ANY not in place.previous and place.previous != NAMED:
                self._behind.setdefault(place.previous.lower().encode(), []).append(place)
            elif place.is_plain and place.previous != NAMED:
                globs.append(_escaped(place.previous))
            else:
                self._others.append(place)
        self._globs = Regex(rf"\A(?:{'|'.join(globs)})\z", _FLAGS, memory=_MEMORY) if globs else None
        self.others = len(self._others)

    def secret(self, operands: Sequence[bytes], options: Collection[bytes]) -> Span | None:
        """Where it is in the last of these operands, by the first pattern that finds one."""
        previous = operands[-2] if len(operands) > 1 else b""
        if previous and self._globs and self._globs.is_in(previous):
            return 0, len(operands[-1])
        tried = [*self._behind.get(previous.lower(), []), *self._others]
        return next(filter(None, (place.secret(operands, options) for place in tried)), None)

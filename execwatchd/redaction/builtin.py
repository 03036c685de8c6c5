# SPDX-License-Identifier: GPL-2.0-or-later
"""The rules of patterns.py and commands.py at work on one argv."""

import re
from collections.abc import Iterator, Sequence

from execwatchd.redaction import commands, patterns
from execwatchd.redaction.search import Regex, Search, Span, Work, any_of

# Each argument a line, so that `.` stays in it, and a line break inside one a NUL: of the same length.
LINES = bytes.maketrans(b"\0\n", b"\n\0")
# `sh -c` and its script; an option behind -c, or a single word, is none
_SCRIPT = r"^-[A-Z]{0,5}c\n[^-\n][^\n]*?[ \t\0;=]"
_NAME = re.compile(rb"[\w-]+\Z")
_NAME_MAX = 32  # bytes of the name of a command, and more
_NEAR = 256  # bytes in which what belongs to something is behind it


class BuiltIn:
    """Quick where there is no hint of any of them."""

    def __init__(self) -> None:
        hints = [kind.hint for kind in patterns.KINDS] + [commands.hint(one) for one in commands.COMMANDS]
        self.suspects = any_of(hints).is_in
        self._script = Regex(_SCRIPT)
        self._kinds = [_Rules(kind.rules) for kind in patterns.KINDS]
        self._commands = _Commands()

    def spans(self, argv: bytes, work: Work) -> Iterator[Span]:
        """Where they are, in any order. Raises TooMuchError."""
        search = Search(argv.translate(LINES), work)
        search.text = self._with_scripts(search)
        for kind in self._kinds:
            yield from kind.spans(search, 0, len(argv))
        yield from self._commands.spans(search)

    def _with_scripts(self, search: Search) -> bytes:
        """Each with a NUL before it."""
        text, marked = search.text, None
        at = text.find(b"c\n")
        while at >= 0 and (match := search.find(self._script, text.rfind(b"\n", 0, at) + 1, len(text))):
            marked = marked or bytearray(text)
            marked[text.index(b"\n", match[0])] = 0
            at = text.find(b"c\n", match[1])
        return bytes(marked) if marked else text


class _Rules:
    """Found together, in one pass; a value may hold another one."""

    def __init__(self, rules: Sequence[patterns.Rule]) -> None:
        self._rules = [_Rule(rule) for rule in rules]
        self._any = any_of(rule.before + rule.begin for rule in rules)
        self._by_first_byte = [
            [rule for rule in self._rules if not rule.leads or byte in rule.leads] for byte in range(256)
        ]

    def spans(self, search: Search, start: int, end: int) -> Iterator[Span]:
        while self._rules and start < end and (match := search.find(self._any, start, end)):
            start = max(match[1], match[0] + 1)
            if rule := self._found(search, match):
                yield from rule.secret(search, match, end)

    def _found(self, search: Search, match: Span) -> "_Rule | None":
        if len(self._rules) == 1:
            return self._rules[0]
        text = search.text[slice(*match)].lower()
        likely = self._by_first_byte[text[0]]
        if len(likely) > 1:
            likely = [rule for rule in likely if rule.clue in text]
        if len(likely) == 1:
            return likely[0]
        return next((rule for rule in likely if search.is_all(rule.begin, *match)), None)

    def first(self, search: Search, start: int, end: int) -> Iterator[Span]:
        """Only right there."""
        for rule in self._rules:
            if match := search.at(rule.begin, start, end):
                yield from rule.secret(search, match, end)


class _Rule:
    def __init__(self, rule: patterns.Rule) -> None:
        self.begin = Regex(rule.before + rule.begin)
        self.clue, self.leads = rule.clue.encode(), rule.leads.encode()
        self._rule = rule
        self._before = Regex(rule.before) if rule.begin else None
        self._value = Regex(rule.value)
        self._then = Regex(rule.value + rule.then) if rule.then else None
        self._unless = Regex(rule.unless) if rule.unless else None
        self._harmless = Regex(patterns.HARMLESS)
        self._no_word = any_of([patterns.HARMLESS, patterns.NO_WORD]) if rule.word else self._harmless

    def secret(self, search: Search, begin: Span, end: int) -> Iterator[Span]:
        """That of the match which begins like this."""
        start = begin[1]
        if self._before:
            _, start = search.at(self._before, *begin) or begin
        end = _end_of_line(search.text, start, end)
        if self._then and not search.at(self._then, start, end):
            return
        if not (value := search.at(self._value, start, end)):
            return
        if self._unless and search.at(self._unless, begin[0], min(end, value[1] + _NEAR)):
            return
        value = self._stripped(search.text, value)
        quoted = search.text[value[0] - 1 : value[0]] == b"'"  # and $ is only $
        if not search.is_all(self._harmless if quoted else self._no_word, *value):
            yield value

    def _stripped(self, text: bytes, value: Span) -> Span:
        start, end = value
        if self._rule.quoted and text.startswith((b'"', b"'"), start, end):
            start += 1
        return start, end - len(self._rule.behind) * text.endswith(self._rule.behind.encode(), start, end)


def _end_of_line(text: bytes, start: int, end: int) -> int:
    """No value goes beyond."""
    found = text.find(b"\n", start, end)
    return end if found < 0 else found


class _Commands:
    """Where one is named, the rules of that command for what is its own."""

    def __init__(self) -> None:
        names = "|".join(command.names.replace(" ", "|") for command in commands.COMMANDS)
        self._in_arguments = _Names(*commands.name_in_arguments(names))
        self._in_words = _Names(*commands.name_in_words(names))
        self._rest = Regex(commands.REST)
        self._by_name: dict[bytes, list[_Command]] = {}
        for command in commands.COMMANDS:
            compiled = _Command(command)
            for name in command.names.split():
                self._by_name.setdefault(name.encode(), []).append(compiled)

    def spans(self, search: Search) -> Iterator[Span]:
        yield from self._in_all_arguments(search)
        yield from self._in_all_words(search)

    def _in_all_arguments(self, search: Search) -> Iterator[Span]:
        end = len(search.text)
        done = set()
        for name, start in self._in_arguments.found(search):
            for command in self._by_name[name]:
                if command not in done:
                    done.add(command)
                    yield from command.in_arguments(search, start, end)

    def _in_all_words(self, search: Search) -> Iterator[Span]:
        done: dict[_Command, int] = {}
        for name, start in self._in_words.found(search):
            for command in self._by_name[name]:
                if start > done.get(command, 0):
                    _, done[command] = search.at(self._rest, start - 1, len(search.text)) or (0, start)
                    yield from command.in_words(search, start - 1, done[command])


class _Names:
    def __init__(self, anywhere: str, next_to_another: str) -> None:
        self._anywhere = Regex(anywhere)
        self._next = Regex(next_to_another)

    def found(self, search: Search) -> Iterator[tuple[bytes, int]]:
        """Each name of a command, and where what follows it begins."""
        end = len(search.text)
        match = search.find(self._anywhere, 0, end)
        while match:
            start = match[1]
            name = _NAME.search(search.text, max(match[0], start - 1 - _NAME_MAX), start - 1)
            if name:
                yield name[0].lower(), start
            # the name may be the word before the next one
            near = min(start + _NEAR, end)
            match = search.at(self._next, start, near) or search.find(self._anywhere, start - 1, end)


class _Command:
    def __init__(self, command: commands.Command) -> None:
        self._after = [Regex(after) for after in command.after]
        self._rules = [_Rules(rules) for rules in (command.arguments, command.words)]
        self._spans = _Rules.first if command.first else _Rules.spans

    def in_arguments(self, search: Search, start: int, end: int) -> Iterator[Span]:
        if match := search.at(self._after[0], start, min(start + _NEAR, end)):
            yield from self._spans(self._rules[0], search, match[1], end)

    def in_words(self, search: Search, start: int, end: int) -> Iterator[Span]:
        """`start`: of the blank before them."""
        if match := search.at(self._after[1], start, min(start + _NEAR, end)):
            yield from self._spans(self._rules[1], search, max(match[1] - 1, start), end)

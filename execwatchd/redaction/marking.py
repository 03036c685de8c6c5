# SPDX-License-Identifier: GPL-2.0-or-later
"""The words of one command line, and what of them is a secret: by clues, and where the grammar says so."""

import re
from collections.abc import Iterable
from typing import Protocol

from execwatchd.redaction.grammar import Grammar
from execwatchd.redaction.judgement import cookies
from execwatchd.redaction.names import is_harmless, is_reference
from execwatchd.redaction.options import Option, Role
from execwatchd.redaction.search import BYTES, CALL, Work
from execwatchd.redaction.words import Line, Span, Text, Word

# instructions of the interpreter, about
WORD, LETTER, PLACE = 200, 120, 100
_CLUE, _MASK = 650, 150
_LEADING = re.compile(rb"(?:--?[\w-]+=|[\w.-]+=)?(?:[^\s=]*/)?([\w.+-]+)[ \t]")


class Reader(Protocol):
    """What reads the argv of which the line is a part."""

    grammar: Grammar
    work: Work
    spans: list[Span]  # of secrets
    kept: set[int]  # where words begin that name programs and subcommands
    settled: int  # no secret before it is left

    def text(self, text: Text, depth: int, *, cut: bool) -> None:
        """A command line in a word."""


class Marking:
    """Of one line, word by word: the clues are taken in their order."""

    def __init__(self, reader: Reader, line: Line, depth: int) -> None:
        self._reader, self._line, self._depth = reader, line, depth
        self._grammar, self._work = reader.grammar, reader.work
        self._values, self._starts = line.values, line.starts
        self._clue = self._next_clue(0)

    def judge(self, index: int, *, header: bool = False, names: bool = True) -> None:
        """By what the word says itself."""
        last = self._starts[index] + len(self._values[index])
        while self._clue and self._clue[1] - 1 <= last:
            self._judge_clue(self._clue, index, header=header, names=names)

    def _next_clue(self, start: int) -> Span | None:
        text = self._line.text
        clue = self._grammar.judgement.clue.find(text, start, len(text))[0]
        self._work.spend(CALL + ((clue[1] if clue[0] >= 0 else len(text)) - start) // BYTES)
        return clue if clue[0] >= 0 else None

    def _judge_clue(self, clue: Span, index: int, *, header: bool, names: bool) -> None:
        """One that is in this word, or in an earlier one that need not be judged."""
        self._work.spend(_CLUE)
        start, end = clue
        base = self._starts[index]
        after = end - 1  # its last byte may be the first of another one
        if end - 1 >= base:
            word = self._line.word(index)
            here = max(start - base, 0), end - base
            judgement, cut = self._grammar.judgement, self._is_cut(index)
            for span in judgement.spans(word, here, header=header, names=names, cut=cut):
                self._reader.spans += word.spans(*span)
                after = max(after, base + span[1])
        self._clue = self._next_clue(max(after, start + 1))

    def _value(self, index: int) -> None:
        """By what the word says itself, be it a command line."""
        self.judge(index)
        if b" " in self._values[index]:
            self._text_if_any(index)

    def _text_if_any(self, index: int) -> None:
        """One that begins with a command, as in `make CMD="mysql -px"`."""
        self._work.spend(WORD)
        match = _LEADING.match(self._values[index])
        if match and self._grammar.commands.has(match[1]):
            self._text(index, match.start(1))

    def _text(self, index: int, start: int) -> None:
        word = self._line.word(index)
        if self._clue and self._clue[1] - 1 <= (last := self._starts[index] + len(self._values[index])):
            self._clue = self._next_clue(last)  # its own words have them too
        self._reader.text(Text(word.value[start:], word, start), self._depth, cut=self._is_cut(index))

    def _is_cut(self, index: int) -> bool:
        """Whether argv ends in it."""
        return index == len(self._values) - 1 and not self._line.text.endswith(b"\0")

    def _mask(self, index: int, start: int, end: int) -> None:
        """This part of the word is a secret, if it can be one."""
        self._work.spend(_MASK)
        word = self._line.word(index)
        value = word.value[start:end]
        if not is_harmless(value) and not (is_reference(value) and word.expands(start)):
            self._reader.spans += word.spans(start, end)

    def _mark(self, word: Word, spans: Iterable[Span]) -> None:
        for span in spans:
            self._work.spend(_MASK)
            self._reader.spans += word.spans(*span)

    def _apply(self, option: Option, index: int, start: int) -> None:
        """The value of the option is this part of the word."""
        role, value = option.role, self._values[index]
        if role is Role.SECRET:
            self._mask(index, start, len(value))
        elif role is Role.AFTER:
            self._after(option.separators, index, start)
        elif role is Role.COOKIES:
            if b"=" in value[start:]:  # else it is a file
                self._mark(self._line.word(index), cookies(value, start))
        elif role is Role.TEXT:
            self._text(index, start)
        elif role is Role.PLAIN:
            self.judge(index, names=False)
        elif role is Role.HEADERS:
            self.judge(index, header=True)
        else:
            self._value(index)

    def _after(self, separators: tuple[bytes, ...], index: int, start: int) -> None:
        """What is behind the first of these separators that is there."""
        value = self._values[index]
        for separator in separators if b"://" not in value[start:] else ():
            if span := _behind(separator, value, start, cut=self._is_cut(index)):
                self._mask(index, *span)
                return
        self._value(index)


def _behind(separator: bytes, value: bytes, start: int, *, cut: bool) -> Span | None:
    """Up to the last @ with `:@`, up to a comma with `%,`; with `:*` all, if there is no colon."""
    if len(separator) > 2:
        return (start + len(separator), len(value)) if value.startswith(separator, start) else None
    first, until = separator[:1], separator[1:]
    end = value.rfind(b"@", start) if until == b"@" else len(value)
    end = len(value) if end < 0 and cut else end
    at = value.find(first, start, max(end, 0))
    if at < 0:
        return (start, len(value)) if until == b"*" else None
    if until == b"," and (comma := value.find(b",", at)) >= 0:
        end = comma
    return at + 1, end

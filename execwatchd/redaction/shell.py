# SPDX-License-Identifier: GPL-2.0-or-later
"""A shell's command line taken apart: its simple commands, and their words without quotes.

The standard library's shlex forgets where a word stood, raises where a quote isn't closed, as in an argv that
was cut, and doesn't know $'…' or documents. What a shell would expand stays as it is written. No byte is read
twice.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from execwatchd.redaction.search import Work
from execwatchd.redaction.words import Quotes, Text, Word

# instructions of the interpreter, about: for a part of a word and a simple command, beside one for each byte
_COST, _SIMPLE_COST = 135, 60
# Each is possessive, so that none goes back.
_DOUBLE = rb"""(?:[^"\\$]++ | \\.? | \$(?!\()
    | \$\( (?:[^()"'\\]++ | '[^']*+'? | "(?:[^"\\]|\\.)*+"? | \\.?)*+ \)?)*+"""  # $( has quotes of its own
_PART = re.compile(
    rb"""(?P<plain>[^\s\\'"$`;&|()<>]++|\$\{[^}\s'"]*+\}?)
        |(?P<blank>[ \t\r\v\f]++|\\\n)
        |'(?P<single>[^']*+)'?
        |\$'(?P<ansi>(?:[^'\\]|\\.)*+)'?
        |\$?"(?P<double>%(double)b)"?
        |\\(?P<escaped>.)
        |(?P<here><<<|<<-?(?!<))
        |(?P<redirection>[<>](?!\()[<>&|]*+)
        |(?P<operator>\$\((?!\()|[<>]\(|[;&|()`\n]++)
        |(?P<other>.)"""
    % {b"double": _DOUBLE},
    re.DOTALL | re.VERBOSE,
)
# all of a simple command, and the operator behind it
_SIMPLE = re.compile(
    rb"""((?:[^'"\\;&|()`\n$<>]++ | '[^']*+'? | \$'(?:[^'\\]|\\.)*+'? | "%b"? | \\.? | \$(?!\()
          | [<>]++[&|]?+ | &>)*+)
         (\$\(|[;&|()`\n]++|\Z)"""
    % _DOUBLE,
    re.DOTALL | re.VERBOSE,
)
_ESCAPE = re.compile(rb"[^\\]++|\\(?:x[0-9a-fA-F]{1,2}|[0-7]{1,3}|.|\Z)", re.DOTALL)
_CONTROL = {
    b"n": b"\n",
    b"t": b"\t",
    b"r": b"\r",
    b"a": b"\a",
    b"b": b"\b",
    b"f": b"\f",
    b"v": b"\v",
    b"e": b"\x1b",
}
_TRIES = 8
_PIPES = frozenset({b"|", b"|&"})
_SUBSTITUTION = re.compile(rb"\$\((?!\()|`")


@dataclass
class Simple:
    """A simple command. `documents`: what `<<` and `<<<` give to its standard input.

    `pipes`: its output is the input of the next one.
    """

    words: list[Word] = field(default_factory=list)
    targets: list[Word] = field(default_factory=list)
    documents: list[Word] = field(default_factory=list)
    pipes: bool = False


class Part(NamedTuple):
    """Where a simple command is in its text, if that has no documents. `pipes`: as Simple's."""

    start: int
    end: int
    pipes: bool


def parts(text: bytes, work: Work) -> Iterator[Part]:
    """The simple commands, without a look into them. Raises TooMuchError."""
    if b"<<" in text:  # where a document ends is in its command
        yield Part(0, len(text), pipes=False)
        return
    for match in _SIMPLE.finditer(text):
        work.spend(_SIMPLE_COST + match.end() - match.start())
        if match[1]:
            yield Part(*match.span(1), match[2] in _PIPES)


def commands(text: Text, work: Work) -> list[Simple]:
    """Its simple commands, in order; those of substitutions too. Raises TooMuchError."""
    return list(_Lexer(text, work).commands())  # a document may follow what it belongs to


class _Lexer:
    def __init__(self, text: Text, work: Work) -> None:
        self._text, self._work = text, work
        self._simple = Simple()
        self._into = self._simple.words  # what the next word is one of
        self._ends_document = False  # the next word
        self._delimiters: list[tuple[Simple, bytes]] = []  # of documents that begin at the next line
        self._clear()

    def _clear(self) -> None:
        self._start = -1  # of the word, if there is one
        self._values: list[bytes] = []
        self._at: list[int] = []
        self._quotes: list[Quotes] = []

    def commands(self) -> Iterator[Simple]:
        text, end = self._text.value, 0
        while match := _PART.match(text, end):
            start, end = match.span()
            self._work.spend(_COST + end - start)
            kind = match.lastgroup
            if kind in {"plain", "other"}:
                self._add(start, match[0], start)
            elif kind == "blank":
                self._end_word(start)
            elif kind == "operator":
                self._end_word(start)
                document_end = self._documents(end) if b"\n" in match[0] else end
                yield from self._end_command(pipes=match[0] in _PIPES)
                end = document_end
            elif kind in {"here", "redirection"}:
                self._end_word(start)
                self._redirect(match[0])
            elif kind == "escaped":
                self._escaped(start, match["escaped"])
            else:
                self._quoted(match, kind or "")
        self._end_word(len(text))
        yield from self._end_command(pipes=False)

    def _add(self, start: int, value: bytes, place: int) -> None:
        if self._start < 0:
            self._start = start
        self._values.append(value)
        self._at.extend(range(place, place + len(value)))

    def _escaped(self, start: int, value: bytes) -> None:
        if self._start < 0:
            self._start = start
        self._values.append(value)
        self._at.append(start)
        self._quotes = self._quotes or [
            Quotes(start, start, start, start, expands=True)
        ]  # it isn't in one piece

    def _quoted(self, match: re.Match[bytes], kind: str) -> None:
        start, end = match.span()
        inner_start, inner_end = match.span(kind)
        if inner_end == end:
            end += 1  # where it isn't closed
        if self._start < 0:
            self._start = start
        self._quotes.append(Quotes(start, inner_start, inner_end, end, expands=kind == "double"))
        inner = match[kind]
        if kind == "single" or b"\\" not in inner:
            self._add(start, inner, inner_start)
            return
        for piece in _ESCAPE.finditer(inner):
            self._work.spend(_COST)
            value = _unescaped(piece[0], kind)
            self._values.append(value)
            place = inner_start + piece.start()
            same = len(value) == len(piece[0])
            self._at.extend(range(place, place + len(value)) if same else [place] * len(value))

    def _end_word(self, end: int) -> None:
        if self._start < 0:
            return
        value = b"".join(self._values)
        if self._quotes:
            self._at.append(end)
            word = Word(value, self._start, self._text, self._at, self._quotes)
        else:
            word = Word(value, self._start, self._text)
        self._into.append(word)
        if self._ends_document:
            self._delimiters.append((self._simple, value))
        self._into, self._ends_document = self._simple.words, False
        self._clear()

    def _redirect(self, operator: bytes) -> None:
        self._into = self._simple.documents if operator == b"<<<" else self._simple.targets
        self._ends_document = operator in {b"<<", b"<<-"}

    def _documents(self, start: int) -> int:
        """Reads those that begin here; where the last one ends."""
        text = self._text.value
        for simple, delimiter in self._delimiters:
            until = self._line_of(delimiter, start)
            simple.documents.append(Word(text[start:until], start, self._text))
            start = min(until + len(delimiter), len(text))
        self._delimiters.clear()
        return start

    def _line_of(self, delimiter: bytes, start: int) -> int:
        """The next place of it on a line of its own, behind tabs at most; if there is none, the end."""
        text, at = self._text.value, start
        while (at := text.find(delimiter, at)) >= 0:
            self._work.spend(_COST)
            end = at + len(delimiter)
            before = text[text.rfind(b"\n", start - 1, at) + 1 : at]
            if not before.strip(b"\t") and text[end : end + 1] in {b"", b"\n"}:
                return at
            at = end + (not delimiter)
        return len(text)

    def _end_command(self, *, pipes: bool) -> Iterator[Simple]:
        simple = self._simple
        simple.pipes = pipes
        self._simple = Simple()
        self._into, self._ends_document = self._simple.words, False
        if simple.words or simple.targets or simple.documents:
            yield simple


def _unescaped(piece: bytes, kind: str) -> bytes:
    escaped = piece[1:]
    if not piece.startswith(b"\\") or not escaped:
        return piece
    if kind == "double":
        return escaped.replace(b"\n", b"") if escaped in b'"\\$`\n' else piece
    if escaped[0] in b"x" and len(escaped) > 1:
        return bytes([int(escaped[1:], 16)])
    if escaped[0] in b"01234567":
        return bytes([int(escaped, 8) & 255])
    return _CONTROL.get(escaped, escaped)


def substitution(word: Word) -> Text | None:
    """What follows the first $( or ` in a word: a command line, as far as it goes."""
    for match in islice(_SUBSTITUTION.finditer(word.value), _TRIES):
        if word.expands(match.start()):
            return Text(word.value[match.end() :], word, match.end())
    return None

# SPDX-License-Identifier: GPL-2.0-or-later
"""Words, and where each of their bytes stands in argv: quotes may be between, and command lines in words."""

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

Span = tuple[int, int]


class Quotes(NamedTuple):
    """A quoted part of a word, by places in its text: with its quotes, and what is between them."""

    start: int
    inner_start: int
    inner_end: int
    end: int
    expands: bool  # a shell replaces $names in it


class Word(NamedTuple):
    """`value`: without quotes, as a program gets it. `start`: in `text`, or in argv where that is None.

    `at`: the places of its bytes and of its end in the text, where these are not in one piece.
    """

    value: bytes
    start: int
    text: "Text | None" = None
    at: Sequence[int] = ()
    quotes: Sequence[Quotes] = ()

    def spans(self, start: int, end: int) -> list[Span]:
        """Where this part of the value stands in argv. What a part of a word leaves keeps pairs of quotes."""
        if self.at:
            spans = _around(self.quotes, self.at[start], self.at[end])
        else:
            spans = [(self.start + start, self.start + end)]
        if self.text is None:
            return spans
        return [span for part in spans for span in self.text.spans(*part)]

    def expands(self, at: int) -> bool:
        """Whether a shell would take this byte for more than itself."""
        if self.text is None:
            return False
        place = self.at[at] if self.at else self.start + at
        if self.text.value.startswith(b"\\", place):
            return False
        return all(quotes.expands for quotes in self.quotes if quotes.start <= place < quotes.end)


def _around(quotes: Sequence[Quotes], start: int, end: int) -> list[Span]:
    spans = []
    for quote in quotes:
        if quote.end <= start or end <= quote.start or (start <= quote.start and quote.end <= end):
            continue
        if end >= quote.end:
            spans.append((start, quote.inner_end))
            start = quote.end
        elif start <= quote.start:
            spans.append((start, quote.start))
            start = quote.inner_start
    return [span for span in (*spans, (start, end)) if span[0] < span[1]]


class Text(NamedTuple):
    """A command line that is a word, or the part of it from `offset` on."""

    value: bytes
    word: Word
    offset: int = 0

    def spans(self, start: int, end: int) -> list[Span]:
        """Where this part of it stands in argv."""
        return self.word.spans(self.offset + start, self.offset + end)


class Line(NamedTuple):
    """The words of one command: their values in one text, each ended by NUL, and where each begins in it.

    `words` is empty where the text is argv itself.
    """

    text: bytes
    values: Sequence[bytes]
    starts: Sequence[int]
    words: Sequence[Word] = ()

    @classmethod
    def of_argv(cls, argv: bytes) -> "Line":
        values = argv.split(b"\0")
        if not values[-1]:
            values.pop()
        return cls(argv, values, _starts(values))

    @classmethod
    def of_words(cls, words: Sequence[Word], *, cut: bool) -> "Line":
        """`cut`: argv ends in the last one."""
        values = [word.value for word in words]
        text = b"\0".join(values)
        return cls(text if cut else text + b"\0", values, _starts(values), words)

    def word(self, index: int) -> Word:
        return self.words[index] if self.words else Word(self.values[index], self.starts[index])


def _starts(values: Sequence[bytes]) -> Sequence[int]:
    return [0, *map(int.__add__, accumulate(map(len, values)), range(1, len(values) + 1))]

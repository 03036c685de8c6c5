# SPDX-License-Identifier: GPL-2.0-or-later
"""The administrator's own patterns: on the words of argv, and on those of command lines in it."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

from execwatchd.redaction.search import BYTES, CALL, Regex, Work, any_of
from execwatchd.redaction.words import Line, Span

DEFAULT = "default"  # stands for what is built in
# Each word a line, so that `.` stays in it, and a line break inside one a NUL: of the same length.
_LINES = bytes.maketrans(b"\0\n", b"\n\0")
_SEPARATORS = b"\0 \t\"'\\;|&()<>`"
_WORDS = bytes.maketrans(_SEPARATORS, b"\n" * len(_SEPARATORS))
_MATCH = 2 * CALL  # instructions of the interpreter, about
_MEMORY = 2 << 20  # bytes that a pattern may take, and all together
# RE2's instructions of one, and of all: for each byte it may have to try as many
SIZE_MAX, SIZES_MAX = 300, 1500


class Patterns:
    """The groups of a match are secrets, or all of it where it has none."""

    def __init__(self, own: Sequence[str]) -> None:
        self._own = [Regex(pattern, "(?m)", groups=True, memory=_MEMORY) for pattern in own]
        self._any = any_of(own, "(?m)", memory=_MEMORY)

    def suspects(self, argv: bytes) -> bool:
        """Quick. In a command line that is a word, words are what is between blanks, quotes and the like."""
        if self._any.is_in(argv.translate(_LINES)):
            return True
        return b" " in argv and self._any.is_in(b"\n".join(filter(None, argv.translate(_WORDS).split(b"\n"))))

    def work_on(self, size: int) -> int:
        """What there is at least, for so many bytes."""
        return len(self._own) * (CALL + size // BYTES)

    def of_argv(self, argv: bytes, work: Work) -> Iterator[Span]:
        """Where they are. Raises TooMuchError."""
        text = argv.translate(_LINES)
        for regex in self._own:
            start = 0
            while start <= len(text):
                match = regex.find(text, start, len(text))
                if match[0][0] < 0:
                    work.spend(CALL + (len(text) - start) // BYTES)
                    break
                work.spend(_MATCH + (match[0][1] - start) // BYTES)
                yield from [span for span in match[1:] if span[0] >= 0] or match[:1]
                start = max(match[0][1], match[0][0] + 1)

    def of_line(self, line: Line, work: Work) -> Iterator[Span]:
        """The same for the words of a command line in argv."""
        work.spend(CALL + len(line.text) // BYTES)
        if not self._any.is_in(line.text.translate(_LINES)):
            return
        for start, end in self.of_argv(line.text, work):
            yield from _in_words(line, start, end)


def _in_words(line: Line, start: int, end: int) -> Iterator[Span]:
    while start < end:
        index = bisect_right(line.starts, start) - 1
        base, until = line.starts[index], line.starts[index] + len(line.values[index])
        if start < until:
            yield from line.word(index).spans(start - base, min(end, until) - base)
        start = until + 1


def check(pattern: str) -> None:
    """Raises ValueError with the reason."""
    compiled = Regex(pattern, "", memory=_MEMORY)
    if compiled.is_in(b""):
        raise ValueError("it matches where nothing is")
    if compiled.size > SIZE_MAX:
        raise ValueError(f"it is compiled to {compiled.size} instructions, and may have {SIZE_MAX}")


def check_together(wanted: Iterable[str]) -> None:
    """Raises ValueError if they are too large."""
    own = without_default(wanted)
    size = any_of(own, "(?m)", memory=_MEMORY).size if own else 0
    if size > SIZES_MAX:
        raise ValueError(f"they are compiled to {size} instructions, and may have {SIZES_MAX}")


def without_default(wanted: Iterable[str]) -> list[str]:
    """The patterns that are the administrator's."""
    return [pattern for pattern in wanted if pattern != DEFAULT]

# SPDX-License-Identifier: GPL-2.0-or-later
"""One argv read whole: its own words, and those of the command lines in them."""

from collections.abc import Callable, Iterator

from execwatchd.redaction import shell
from execwatchd.redaction.command_line import CommandLine
from execwatchd.redaction.grammar import Grammar
from execwatchd.redaction.marking import Marking
from execwatchd.redaction.names import is_harmless, is_reference
from execwatchd.redaction.options import Options
from execwatchd.redaction.search import BYTES, CALL, Work
from execwatchd.redaction.shell import Part, Simple
from execwatchd.redaction.words import Line, Span, Text, Word

_LINE, _EACH = 500, 5  # instructions of the interpreter, about, for a line and for each of its words
_DEPTH = 6  # command lines in words of command lines
_ECHOES = frozenset({b"echo", b"printf", b"print"})


class Reading:
    """`spans`: the secrets so far, in any order; none is left before `settled`.

    `own`: what the administrator's patterns find in command lines that are words. `kept`: where words begin
    that name programs and subcommands.
    """

    def __init__(self, grammar: Grammar, work: Work, own: Callable[[Line], Iterator[Span]] | None) -> None:
        self.grammar, self.work = grammar, work
        self.spans: list[Span] = []
        self.own: list[Span] = []
        self.kept: set[int] = set()
        self.settled = 0
        self._own = own
        self._waiting = 0  # commands whose output may be a secret, by what the command behind them is

    def read(self, argv: bytes) -> None:
        """Raises TooMuchError."""
        self._line(Line.of_argv(argv), 0)

    def _line(self, line: Line, depth: int) -> Options | None:
        """The options of its command, if that reads a secret from its standard input."""
        self.work.spend(_LINE + _EACH * len(line.values))
        if self._own and depth:
            self.own += self._own(line)
        words = CommandLine(self, line, depth)
        words.read(0, len(line.values))
        return words.reads

    def text(self, text: Text, depth: int, *, cut: bool) -> None:
        """A command line in a word. `cut`: argv ends in it."""
        if depth >= _DEPTH:
            self.spans += text.spans(0, len(text.value))
            return
        hinted, before = -1, None  # up to where there is no other hint; the last part
        for part in shell.parts(text.value, self.work):
            if hinted < part.start:
                hinted = self._next_hint(text.value, part.start)
            if hinted <= part.end or self._own:
                self._part(text, part, before, depth, cut=cut)
            before = part

    def _next_hint(self, text: bytes, start: int) -> int:
        """Where it ends."""
        hint = self.grammar.hint.find(text, start - 1 if start else 0, len(text))[0]
        end = hint[1] - 1 if hint[0] >= 0 else len(text) + 1
        self.work.spend(CALL + (end - start) // BYTES)
        return max(end, start)

    def _part(self, text: Text, part: Part, previous: Part | None, depth: int, *, cut: bool) -> None:
        piped = self._lexed(text, previous)[-1:] if previous and previous.pipes else []
        if not piped and not self._waiting:
            for start, _ in text.spans(part.start, part.end)[:1]:
                self.settled = max(self.settled, start)
        simples = self._lexed(text, part)
        before = piped[0] if piped else None
        for simple in simples:
            is_last = part.end == len(text.value) and simple is simples[-1]
            self._waiting += before is not None
            self._simple(simple, before, depth, cut=cut and is_last)
            self._waiting -= before is not None
            before = simple if simple.pipes else None

    def _lexed(self, text: Text, part: Part) -> list[Simple]:
        of_part = Text(text.value[part.start : part.end], text.word, text.offset + part.start)
        return shell.commands(of_part, self.work)

    def _simple(self, simple: Simple, before: Simple | None, depth: int, *, cut: bool) -> None:
        reads = self._line(Line.of_words(simple.words, cut=cut), depth + 1) if simple.words else None
        for word in simple.words:
            if word.quotes and (inner := shell.substitution(word)):
                self.text(inner, depth + 1, cut=cut)
        for word in simple.documents:
            if reads:
                self._input(word, reads)
            elif self._reads_commands(simple):
                self.text(Text(word.value, word), depth + 1, cut=cut)
        for word in (*simple.documents, *simple.targets):
            Marking(self, Line.of_words([word], cut=cut), depth + 1).judge(0)
        if reads and before and before.words and before.words[0].value in _ECHOES:
            is_format = before.words[0].value == b"printf" and len(before.words) > 2
            for word in before.words[1 + is_format :]:
                self._input(word, reads, whole=is_format)

    def _reads_commands(self, simple: Simple) -> bool:
        name = simple.words[0].value.rpartition(b"/")[2] if simple.words else b""
        options = self.grammar.commands.get(name)
        return options is not None and bool(options.command.script or options.command.joins)

    def _input(self, word: Word, options: Options, *, whole: bool = False) -> None:
        """It is given to the standard input of such a command."""
        after = b"" if whole else options.command.input_after.encode()
        at = word.value.find(after)
        start = at + len(after)
        value = word.value[start:]
        if at >= 0 and not value.startswith(b"-") and not is_harmless(value) and not is_reference(value):
            self.spans += word.spans(start, len(word.value.rstrip(b"\n")))

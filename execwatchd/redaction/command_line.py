# SPDX-License-Identifier: GPL-2.0-or-later
"""A command line from its first word to its last: which options each command has, and where one begins."""

import re
from bisect import bisect_right

from execwatchd.redaction.marking import LETTER, PLACE, WORD, Marking, Reader
from execwatchd.redaction.options import Option, Options, Role
from execwatchd.redaction.search import BYTES, CALL, TooMuchError
from execwatchd.redaction.words import Line

_RUNS = 6  # commands of a command of a command
_ASSIGNMENT = re.compile(rb"[A-Za-z_]\w*\+?=")
_WITHOUT_VALUE = frozenset({Role.FLAGS, Role.RUN, Role.SCRIPT})
_AUTHORIZATION = b"authorization:"


class CommandLine(Marking):
    """Of a simple command, or argv itself. `reads`: options of a command whose standard input is a secret."""

    def __init__(self, reader: Reader, line: Line, depth: int) -> None:
        super().__init__(reader, line, depth)
        self.reads: Options | None = None
        self._given: set[bytes] = set()  # options
        self._script = False  # the next operand is a command line
        self._runs = 0

    def read(self, index: int, end: int) -> None:
        """The command that this word names, and each to which it leads."""
        while index < end:
            index = self._command(index, end)

    def _command(self, index: int, end: int) -> int:
        """Where the next command's name is; `end`: nowhere."""
        while index < end and _ASSIGNMENT.match(self._values[index]):
            self._work.spend(WORD)
            self._settle(index)
            self._value(index)
            index += 1
        if index >= end:
            return end
        self._work.spend(WORD)
        self._settle(index)
        self._keep(index)
        name = self._values[index].rpartition(b"/")[2]
        if not self._grammar.commands.has(name):
            return self._unknown(index, end)
        self.judge(index)
        return self._in_tables(name, self._grammar.commands.get(name) or Options.NONE, index + 1, end)

    def _keep(self, index: int) -> None:
        if not self._depth:
            self._reader.kept.add(self._starts[index])

    def _settle(self, index: int) -> None:
        if not self._depth:
            self._reader.settled = self._starts[index]

    def _unknown(self, index: int, end: int) -> int:
        """From clue to clue, up to the first word that names a command, unless that is an option's value."""
        until, is_text = self._next_start(index + 1, end)
        while self._clue:
            at = bisect_right(self._starts, self._clue[1] - 1) - 1
            if at >= until:
                break
            if at < index:
                self._clue = self._next_clue(self._clue[1])
                continue
            self._settle(at)
            index = self._any_option(at, end)
        if until < end:
            self._settle(until)
            if is_text:
                self._value(until)
        return until

    def _next_start(self, index: int, end: int) -> tuple[int, bool]:
        """The next word that names a command; and whether it only begins with the name of one."""
        text = self._line.text
        start = self._starts[index] - 1 if index < end else len(text)
        while start < len(text):
            match = self._grammar.starts.find(text, start, len(text))[0]
            self._work.spend(CALL + ((match[1] if match[0] >= 0 else len(text)) - start) // BYTES)
            at = bisect_right(self._starts, match[1] - 1) - 1
            if match[0] < 0 or at >= end:
                break
            is_text = text.endswith(b" ", 0, match[1])
            before = self._values[at - 1]
            is_operand = before[:1] != b"-" or before == b"--" or b"=" in before
            if is_text or (is_operand and self._starts[at] >= match[0]):
                return at, is_text
            start = match[1] - 1
        return end, False

    def _in_tables(self, name: bytes, options: Options, index: int, end: int) -> int:
        """The options and operands of a command in the tables."""
        operands: list[bytes] = []
        is_open = True
        self._reads(options, b"*")
        while index < end:
            self._work.spend(WORD)
            self._settle(index)
            value, command = self._values[index], options.command
            if value == options.starts_after:
                return index + 1
            if is_open and options.is_option(value):
                self._reads(options, value)
                is_open = value != b"--"
                index = self._option(options, index, end) if is_open else index + 1
                continue
            if self._script:
                self._script = is_open = False
                self._text(index, 0)
            elif command.starts == len(operands):
                return self._start(index, end, joins=command.joins)
            else:
                name, deeper = self._subcommand(name, index)
                if deeper:
                    options = deeper
                    operands.clear()
                else:
                    operands.append(value)
                    is_open = is_open and not command.options_first
                    self._operand(options, operands, index)
            index += 1
        return end

    def _subcommand(self, name: bytes, index: int) -> tuple[bytes, Options | None]:
        """The name of the command with this word, if that is a subcommand, and its options."""
        longer = name + b" " + self._values[index]
        if not self._grammar.commands.has(longer):
            return name, None
        self._keep(index)
        options = self._grammar.commands.get(longer)
        if options:
            self._reads(options, b"*")
        return longer, options

    def _reads(self, options: Options, option: bytes) -> None:
        if option in options.input:
            self.reads = options

    def _start(self, index: int, end: int, *, joins: bool) -> int:
        """Where the name of the command is to which this one leads."""
        if not joins or index + 1 < end:
            return index
        self._text(index, 0)
        return end

    def _operand(self, options: Options, operands: list[bytes], index: int) -> None:
        places = options.places
        self._work.spend(PLACE * (1 + places.others))
        if span := places.secret(operands, self._given):
            self._mask(index, *span)
        if options.command.harmless:
            self.judge(index, names=False)
        else:
            self._value(index)

    def _option(self, options: Options, index: int, end: int) -> int:
        """The index behind the option and its value."""
        value = self._values[index]
        name, equals, _ = value.partition(b"=")
        self._given.add(name)
        option = options.long(name)
        if option and equals:
            self._apply(option, index, len(name) + 1)
            return index + 1
        if option:
            return self._separate(options, option, name, index, end)
        if value.startswith(b"--"):
            return self._any_option(index, end, names=not options.command.harmless)
        return self._bundle(options, index, end)

    def _separate(self, options: Options, option: Option, name: bytes, index: int, end: int) -> int:
        """An option that has no value joined to it."""
        if option.role in _WITHOUT_VALUE:
            return self._flag(option, index, end)
        index += 1
        is_optional = name.startswith(b"--") and index < end and self._values[index].startswith(b"-")
        if options.is_joined_only(name) or index >= end or is_optional:
            return index
        self._apply(option, index, 0)
        return index + 1

    def _flag(self, option: Option, index: int, end: int) -> int:
        if option.role is Role.RUN:
            return self._run(index + 1, end)
        self._script = self._script or option.role is Role.SCRIPT
        return index + 1

    def _run(self, index: int, end: int) -> int:
        """What find(1) executes."""
        until = index
        while until < end and self._values[until] not in {b";", b"+"}:
            self._work.spend(LETTER)
            until += 1
        self._runs += 1
        if self._runs > _RUNS:
            raise TooMuchError
        self.read(index, until)
        self._runs -= 1
        return until + 1

    def _bundle(self, options: Options, index: int, end: int) -> int:
        """Options of one letter, the last of them maybe with a value."""
        value = self._values[index]
        for at in range(1, len(value)):
            self._work.spend(LETTER)
            letter = options.letter(value[at : at + 1])
            if not letter:
                break
            option, kind = letter
            name = b"-" + value[at : at + 1]
            self._given.add(name)
            self._reads(options, name)
            self._script = self._script or option.role is Role.SCRIPT
            if kind and at + 1 < len(value):
                self._apply(option, index, at + 1)
                return index + 1
            if kind == ":" and index + 1 < end:
                self._apply(option, index + 1, 0)
                return index + 2
        return self._any_option(index, end, names=not options.command.harmless)

    def _any_option(self, index: int, end: int, *, names: bool = True) -> int:
        """By its name alone; also a word that is none."""
        value = self._values[index]
        last = self._starts[index] + len(value)
        while self._clue and self._clue[1] - 1 < last:
            self._judge_clue(self._clue, index, header=False, names=names)
        is_named = self._clue is not None and self._clue[1] - 1 == last
        self.judge(index, names=names)
        if b" " in value:
            self._text_if_any(index)
        if value[-len(_AUTHORIZATION) :].lower() == _AUTHORIZATION:
            return self._authorization(index + 1, end)
        index += 1
        if not (names and is_named and self._has_secret(value)) or index >= end:
            return index
        if self._values[index].startswith(b"-"):
            return index
        word = self._line.word(index)
        if secret := self._grammar.judgement.values.of_option(word, value):
            self._mark(word, [secret])
        return index + 1

    def _has_secret(self, option: bytes) -> bool:
        names = self._grammar.names
        return option[:1] in {b"-", b"/"} and names.is_secret(option) and not names.is_switch(option)

    def _authorization(self, index: int, end: int) -> int:
        """What is behind a word `Authorization:`."""
        if index < end and self._grammar.judgement.values.is_scheme(self._values[index]):
            index += 1
        for each in range(index, end):
            self._work.spend(WORD)
            self._mask(each, 0, len(self._values[each]))
        return end

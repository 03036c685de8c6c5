# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands of the tables, to be looked up: what each option's value is, and where a secret stands."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from enum import Enum, auto
from typing import NamedTuple

from execwatchd.redaction.names import Names
from execwatchd.redaction.tables import Command, Tables

# of a shell, which may precede a command there
_RESERVED = frozenset({"then", "else", "elif", "do", "if", "while", "until", "!", "{"})
_SHORTEST = 4  # bytes of an abbreviated long option, with its dashes


class Role(Enum):
    """What the value of an option is."""

    SECRET = auto()
    PLAIN = auto()
    VALUE = auto()
    COOKIES = auto()
    HEADERS = auto()
    TEXT = auto()
    RUN = auto()  # the option has no value: a command follows
    SCRIPT = auto()  # nor here: the first operand is a command line
    FLAGS = auto()  # nor here
    AFTER = auto()


class Option(NamedTuple):
    """`separators`: of AFTER, what the secret stands behind, and then what it ends before."""

    role: Role
    separators: bytes = b""


_VALUE, _FLAG = Option(Role.VALUE), Option(Role.FLAGS)


class Place:
    """A pattern of operands, of which the last has a secret.

    It may begin with an option, or "!" and an option: it then counts only where that is given, or isn't.
    """

    def __init__(self, pattern: str, names: Names) -> None:
        words = pattern.split()
        self._with = [words.pop(0).encode()] if words[0].startswith("-") else []
        self._without = [words.pop(0)[1:].encode()] if words[0].startswith("!-") else []
        self.anywhere = words[0] == "..."
        words = words[self.anywhere :]
        self._names = names
        self._before = [_word(word) for word in words[:-1]]
        self.count = len(words)
        self._last = _template(words[-1])

    def secret(self, operands: Sequence[bytes], options: Collection[bytes]) -> tuple[int, int] | None:
        """Where it is in the last of these operands."""
        count = len(operands)
        if any(option not in options for option in self._with) or any(
            option in options for option in self._without
        ):
            return None
        if count < self.count or not (self.anywhere or count == self.count):
            return None
        for word, operand in zip(self._before, operands[count - self.count :], strict=False):
            if word is None:
                if not self._names.is_secret(operand):
                    return None
            elif not word.fullmatch(operand):
                return None
        match = self._last.fullmatch(operands[-1])
        return match.span(1) if match else None


def _word(word: str) -> re.Pattern[bytes] | None:
    return None if word == "<secret>" else re.compile(_escaped(word).encode(), re.IGNORECASE | re.DOTALL)


def _escaped(word: str) -> str:
    return "".join(".*" if part == "*" else re.escape(part) for part in re.split(r"(\*)", word))


def _template(word: str) -> re.Pattern[bytes]:
    """`*:***@*`: the secret ends at the last @."""
    before, after = word.split("***")
    if before.endswith(("*:", "*/", "*=", "*%")):
        before = f"{_escaped(before[:-2])}[^{before[-1]}/]*{before[-1]}(?!//)"
    else:
        before = _escaped(before)
    rest = f"{re.escape(after[0])}[^{after[0]}]*" if after else ""
    return re.compile(f"{before}(.+){rest}".encode(), re.IGNORECASE | re.DOTALL)


class Options:
    """Of one command, or of a subcommand with those of its command."""

    NONE: "Options"

    def __init__(self, command: Command, names: Names, of: "Options | None" = None) -> None:
        self.command = command
        self._letters: dict[bytes, str] = dict(of._letters) if of else {}
        self._letters.update(_letters(command.short))
        self._options: dict[bytes, Option] = dict(of._options) if of else {}
        self._options.update(_options(command))
        self._abbreviations = dict(_abbreviations(self._options))
        self._others_have_values = any(flag.startswith("--") for flag in command.flags)
        self.places = [Place(pattern, names) for pattern in command.arguments]
        self.starts_after = command.starts_after.encode() or None
        self.input = frozenset(option.encode() for option in command.input)

    def is_option(self, word: bytes) -> bool:
        """Whether this may be one: it begins with a dash and isn't only that, or is in the tables."""
        return (word[:1] == b"-" and len(word) > 1) or word.partition(b"=")[0] in self._options

    def long(self, name: bytes) -> Option | None:
        """Of a word, or what is before its "="; also of an option of one letter."""
        option = self._options.get(name) or self._abbreviations.get(name)
        if option or not self._others_have_values or not name.startswith(b"--"):
            return option
        return _VALUE

    def is_joined_only(self, name: bytes) -> bool:
        """Whether this option of one letter has no value but one that is joined to it."""
        return self._letters.get(name[1:]) == "::"

    def letter(self, letter: bytes) -> tuple[Option, str] | None:
        """And how it has its value: "" for none, ":" or "::"."""
        value = self._letters.get(letter)
        if value is None:
            return None
        return self._options.get(b"-" + letter, _VALUE if value else _FLAG), value


def _letters(short: str) -> Iterator[tuple[bytes, str]]:
    return ((match[1].encode(), match[2]) for match in re.finditer(r"([^:])(:*)", short))


def _options(command: Command) -> Iterator[tuple[bytes, Option]]:
    for name in ("long", "flags", "value", "plain", "cookies", "headers", "text", "run", "script", "secret"):
        role = Role.VALUE if name == "long" else Role[name.upper()]
        yield from ((option.encode(), Option(role)) for option in getattr(command, name))
    for separators, options in command.after.items():
        yield from ((option.encode(), Option(Role.AFTER, separators.encode())) for option in options)


def _abbreviations(options: Mapping[bytes, Option]) -> Iterator[tuple[bytes, Option]]:
    """As getopt_long(3) takes them, of those options that matter most."""
    for name, option in options.items():
        if name.startswith(b"--") and option.role in {Role.SECRET, Role.AFTER, Role.TEXT}:
            yield from ((name[:end], option) for end in range(_SHORTEST, len(name)))


class Commands:
    """All of the tables, by name; "docker login" is a subcommand of docker."""

    def __init__(self, tables: Tables, names: Names) -> None:
        self._options: dict[bytes, Options] = {}
        for name in sorted(tables.commands, key=len):
            key = name.encode()
            self._options[key] = Options(
                tables.commands[name], names, self._options.get(key.rpartition(b" ")[0])
            )
        self._begins = {
            name.rsplit(b" ", count)[0] for name in self._options for count in range(1, name.count(b" ") + 1)
        }

    def get(self, name: bytes) -> Options | None:
        """None: there is no such command in the tables, or only its subcommands."""
        return self._options.get(name)

    def has(self, name: bytes) -> bool:
        """Whether it, or a subcommand of it, is in the tables."""
        return name in self._options or name in self._begins

    def names(self) -> list[str]:
        """Those of one word that an executable may have."""
        return sorted({name.decode().partition(" ")[0] for name in self._options} - _RESERVED)

    def hints(self) -> list[str]:
        """Patterns, of which one is in each line with a secret that says nothing of itself."""
        names, options = set(), set()
        for key, of in self._options.items():
            name, command = key.decode(), of.command
            said = [*command.secret, *command.cookies, *(o for each in command.after.values() for o in each)]
            options |= {option for option in said if len(option) > 2}
            if command.arguments or command.input or any(len(option) == 2 for option in said):
                last = name.rpartition(" ")[2]
                names.add(last if len(last) > 3 else name.partition(" ")[0])
        named = "|".join(map(re.escape, sorted(names)))
        return [
            rf"(?-i:(?:\A|[\0\s/;|&(`{{\"'=\\])(?:{named})(?:[\0\s\"']|\z))",
            rf"(?-i:[\0\s\"'](?:{'|'.join(map(re.escape, sorted(options)))}))",
        ]


Options.NONE = Options(Command(), Names(Tables()))

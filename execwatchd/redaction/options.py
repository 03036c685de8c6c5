# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands of the tables, to be looked up: what each option's value is, and where a secret stands."""

import re
from collections.abc import Iterator, Mapping
from enum import Enum, auto
from typing import NamedTuple

from execwatchd.redaction.names import Names
from execwatchd.redaction.operands import Places
from execwatchd.redaction.tables import Command, Tables

# executed so often that the name of the subcommand is the better hint
_FREQUENT = frozenset({
    *("docker", "podman", "nerdctl", "buildah", "skopeo", "kubectl", "oc", "helm", "crane", "oras", "cosign"),
    *("regctl", "ctr", "git", "gh"),
})  # fmt: skip
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
    """`separators`: of AFTER, what the secret may stand behind."""

    role: Role
    separators: tuple[bytes, ...] = ()


_VALUE, _FLAG = Option(Role.VALUE), Option(Role.FLAGS)


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
        self.places = Places(command.arguments, names)
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
    separators: dict[str, list[bytes]] = {}
    for separator, options in command.after.items():
        for option in options:
            separators.setdefault(option, []).append(separator.encode())
    for option, several in separators.items():
        yield option.encode(), Option(Role.AFTER, tuple(several))


def _abbreviations(options: Mapping[bytes, Option]) -> Iterator[tuple[bytes, Option]]:
    """As getopt_long(3) takes them, of those options that matter most."""
    for name, option in options.items():
        if name.startswith(b"--") and option.role in {Role.SECRET, Role.AFTER, Role.TEXT}:
            for end in range(_SHORTEST, len(name)):
                if name[end : end + 1] != b"-":  # that may be another option: --proxy of --proxy-user
                    yield name[:end], option


class Commands:
    """All of the tables, by name; "docker login" is a subcommand of docker."""

    def __init__(self, tables: Tables, names: Names) -> None:
        self._options: dict[bytes, Options] = {}
        made: dict[tuple[Command, Options | None], Options] = {}  # many names share theirs
        for name in sorted(tables.commands, key=len):
            command, of = tables.commands[name], self._options.get(name.rpartition(" ")[0].encode())
            key = command, of
            made[key] = self._options[name.encode()] = made.get(key) or Options(command, names, of)
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
            with_secrets = [
                *command.secret,
                *command.cookies,
                *(o for each in command.after.values() for o in each),
            ]
            options |= {option for option in with_secrets if len(option) > 2}
            if command.arguments or command.input or any(len(option) == 2 for option in with_secrets):
                first, _, others = name.partition(" ")
                names.add(others.rpartition(" ")[2] if others and first in _FREQUENT else first)
        named = "|".join(map(re.escape, sorted(names)))
        return [
            rf"(?-i:(?:\A|[\0\s/;|&(`{{\"'=\\])(?:{named})(?:[\0\s\"']|\z))",
            rf"(?-i:[\0\s\"'](?:{'|'.join(map(re.escape, sorted(options)))}))",
        ]


Options.NONE = Options(Command(), Names(Tables()))

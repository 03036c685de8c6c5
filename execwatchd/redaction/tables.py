# SPDX-License-Identifier: GPL-2.0-or-later
"""What secrets.toml and the drop-ins of redact.d say: names, tokens and commands. See execwatchd.redact(5).

Declared here, checked by policy/validate.py. The built-in file is read where this module is imported: a
daemon from root's own checkout may not read it later.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

Strings = tuple[str, ...]
T = TypeVar("T", "Command", "Tables")


@dataclass(frozen=True, eq=False, slots=True)
class Command:
    """A command's options and operands. Options are written with their dashes.

    `short`: those of one letter, as getopt(3) takes them: `a:` has a value, `p::` has it joined or none.
    """

    also: Strings = ()
    short: str = ""
    long: Strings = ()  # with a value
    flags: Strings = ()  # of a command whose other long options all have one
    secret: Strings = ()  # the value is one
    plain: Strings = ()  # the value is none, whatever the option's name is
    value: Strings = ()  # has a value that is judged as any word is, whatever the option's name is
    after: Mapping[str, Strings] = field(default_factory=dict)  # in the value, what follows this separator
    cookies: Strings = ()
    headers: Strings = ()
    text: Strings = ()  # the value is a command line
    run: Strings = ()  # a command follows, up to ; or +
    arguments: Strings = ()  # patterns of operands
    script: Strings = ()  # with such an option the first operand is a command line
    input: Strings = ()  # with such an option, or "*", its standard input is a secret
    input_after: str = ""  # of the input, what follows this
    starts: int = -1  # another command, behind so many operands
    starts_after: str = ""  # another command, behind this word
    joins: bool = False  # that other one is given to a shell
    options_first: bool = False  # behind its first operand it has none
    harmless: bool = False  # names in its arguments are those of no secrets


@dataclass(frozen=True, eq=False)
class Tables:
    """`names`: how names end whose values are secrets; `parts`: the same for a whole last part of a name."""

    names: Strings = ()
    parts: Strings = ()
    keys: Strings = ()  # the same, where the value may be a path, too
    queries: Strings = ()  # the same in the query of a URL only
    harmless: Strings = ()  # of those above, how names end whose values are none
    switches: Strings = ()  # how an option begins that has no value
    schemes: Strings = ()  # what may precede the secret in a header
    tokens: Mapping[str, str] = field(default_factory=dict)  # how they begin, and a pattern of the rest
    commands: Mapping[str, Command] = field(default_factory=dict)

    def over(self, values: Mapping[str, Any]) -> "Tables":
        """With what a file adds: checked values by key."""
        commands = dict(self.commands)
        for name, entry in values.get("commands", {}).items():
            made: dict[Command, Command] = {}  # most names share theirs
            for each in (name, *entry.get("also", ())):
                old = commands.get(each, _NOTHING)
                commands[each] = made[old] = made.get(old) or _with(old, entry)
        others = {name: value for name, value in values.items() if name != "commands"}
        return replace(_with(self, others), commands=commands)


def _with(old: T, values: Mapping[str, Any]) -> T:
    changed = {name: _more(getattr(old, name), value) for name, value in values.items()}
    if isinstance(old, Command) and "short" in values:
        changed["short"] = old.short + values["short"]
    return replace(old, **changed)


def _more(old: Any, new: Any) -> Any:
    if isinstance(new, Mapping):
        return {**old, **{key: _more(old[key], value) if key in old else value for key, value in new.items()}}
    if isinstance(new, list | tuple):
        return (*(old or ()), *new)
    return new


_NOTHING = Command()
HINTS = get_type_hints(Tables)
COMMAND_HINTS = get_type_hints(Command)
BUILT_IN = Tables().over(tomllib.loads((Path(__file__).parent / "secrets.toml").read_text()))


def merged(files: Iterable[Mapping[str, Any]]) -> Tables:
    """The built-in tables with what these files add, in order."""
    tables = BUILT_IN
    for values in files:
        tables = tables.over(values)
    return tables

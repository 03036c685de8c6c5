# SPDX-License-Identifier: GPL-2.0-or-later
r"""load.py DATABASE: puts what `execwatchctl log -o json` prints into the table `execs` in an SQLite file.

The columns are the members of the lines, and these, as Sigma's rules expect them:

command_line    the arguments joined by blanks, with nothing quoted
parent_cmdline  the same of the parent, as far as it is recorded
user            the name of the user, or the UID where this host has no name for it
exe             where an entry has none: the interpreter of a script, else the path as called

Bytes that aren't UTF-8 and characters that don't show, but for tabs and line ends, are escaped as \xHH or
\uHHHH: a rule must match the rest of such a value too, and no value may control the terminal that shows it.
"""

import json
import os
import pwd
import re
import sqlite3
import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

Row = dict[str, str | int]

# Rules name these, and not every event has them. Text is compared as Sigma does, whatever its case.
NUMBERS = "pid", "ppid", "uid", "session"
TEXTS = "kind", "time", "user", "exe", "command_line", "parent_exe", "parent_cmdline", "cwd"
_NUMBER, _TEXT = "INTEGER", "TEXT COLLATE NOCASE"
_QUOTED = re.compile(r"\$'((?:[^'\\]|\\.)*)'|'([^']*)'")
_ESCAPE = re.compile(r"\\([0-7]{3}|x[0-9a-f]{2}|.)")


def row(event: Mapping[str, Any]) -> Row:
    """The columns of an event. Raises ValueError if it isn't one."""
    if not isinstance(event, dict) or "kind" not in event:
        raise ValueError("not a line of execwatchctl log -o json")
    columns = {name: value if isinstance(value, int) else text(value) for name, value in event.items()}
    if "argv" in event:
        columns["command_line"] = " ".join(map(text, event["argv"]))
    if "parent_cmdline" in columns:
        columns["parent_cmdline"] = unquoted(str(columns["parent_cmdline"]))
    if "uid" in event:
        columns["user"] = user(event["uid"])
    if executable := columns.get("exe") or columns.get("interp") or columns.get("filename"):
        columns["exe"] = executable
    return columns


def text(value: Any) -> str:
    """A string, a list of byte values as -o json has them for what isn't UTF-8, or the array of arguments."""
    if isinstance(value, str):
        return value if value.isprintable() else "".join(map(_visible, value))
    if all(isinstance(each, int) for each in value):
        return text(bytes(value).decode(errors="backslashreplace"))
    return json.dumps(value)


def _visible(character: str) -> str:
    if character.isprintable() or character in "\t\n":
        return character
    return character.encode("unicode_escape").decode()


@lru_cache(1024)
def user(uid: int) -> str:
    """The user's name, or the UID if there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return str(uid)


def unquoted(line: str) -> str:
    """A command line as the daemon quotes it for bash, without the quotes."""
    return _QUOTED.sub(lambda quoted: _plain(quoted[1]) if quoted[1] is not None else quoted[2], line)


def _plain(escaped: str) -> str:
    return _ESCAPE.sub(_character, escaped)


def _character(escape: re.Match[str]) -> str:
    digits = escape[1]
    if len(digits) == 1:
        return digits
    byte = int(digits[1:], 16) if digits[0] == "x" else int(digits, 8)
    return chr(byte) if byte in b"\t\n" or 32 <= byte < 127 else escape[0]


class Table:
    """The table, which gets a column for each member that an event has."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        columns = [f'"{name}" {_NUMBER}' for name in NUMBERS] + [f'"{name}" {_TEXT}' for name in TEXTS]
        database.execute(f"CREATE TABLE IF NOT EXISTS execs ({', '.join(columns)})")
        self._columns = {column[1] for column in database.execute("PRAGMA table_info(execs)")}

    def insert(self, columns: Row) -> None:
        """Add a row."""
        for name in columns.keys() - self._columns:
            self._add_column(name, columns[name])
        names, marks = ", ".join(f'"{name}"' for name in columns), ", ".join("?" * len(columns))
        insert = f"INSERT INTO execs ({names}) VALUES ({marks})"  # noqa: S608  _add_column checks names
        self._database.execute(insert, list(columns.values()))

    def _add_column(self, name: str, value: str | int) -> None:
        if not re.fullmatch("[a-z_]+", name):
            raise ValueError(f"no field has the name {name!r}")
        kind = _NUMBER if isinstance(value, int) else _TEXT
        self._database.execute(f'ALTER TABLE execs ADD COLUMN "{name}" {kind}')
        self._columns.add(name)


def load(lines: Iterable[str], database: sqlite3.Connection) -> None:
    """Add all lines, or none if one of them is no event."""
    with database:
        table = Table(database)
        for line in lines:
            table.insert(row(json.loads(line)))


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: execwatchctl log -o json | load.py DATABASE")
    os.umask(0o077)  # not everybody may read the journal
    database = sqlite3.connect(sys.argv[1])
    try:
        load(sys.stdin, database)
    except (ValueError, TypeError, OverflowError, sqlite3.Error) as error:
        sys.exit(f"load.py: nothing was added: {error}")
    database.close()


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-2.0-or-later
# ruff: noqa: N818  the names say what happened
"""Failures that end a command, with its exit codes, and reasons for which a rule isn't changed."""

from collections.abc import Sequence

from execwatchd.shared.rules import MEMBERS, alternatives

EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_CONFIG = 78  # sysexits.h EX_CONFIG; the unit does not restart on it


class Failure(Exception):
    """What went wrong, in one line that names the value; `hint` is a remedy, `code` the exit code."""

    def __init__(self, message: str, hint: str = "", code: int = EXIT_FAILURE) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class ConfigError(Failure):
    """The configuration is rejected whole; `problems` are the lines `file: key: message`."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems), code=EXIT_CONFIG)
        self.problems = tuple(problems)


class ChangeError(Exception):
    """A change of the rules that was not made. Its text is for the caller who wanted it."""


class TableFull(ChangeError):
    """The kernel's table has no room for another UID; `capacity` is how many it holds."""

    def __init__(self, capacity: int) -> None:
        members = [f"{'an' if member.name[0] in 'aeiou' else 'a'} {member.name}" for member in MEMBERS]
        super().__init__(f"the table is full: it holds {capacity} UIDs that have {alternatives(members)}")


class NotChanged(ChangeError):
    """The kernel or the disk refused it; the log says why."""

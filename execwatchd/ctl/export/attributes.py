# SPDX-License-Identifier: GPL-2.0-or-later
r"""The facts of an event by the names of a taxonomy.

Strings there are Unicode, and ours may be any bytes. Where a value isn't UTF-8, its backslashes are doubled
and each invalid byte is \xHH, so that a reader can have the bytes back; `execwatchd.escaped` names these
values, and all others are as they are.
"""

from collections.abc import Callable
from functools import lru_cache

from execwatchd.ctl.export.fields import OURS
from execwatchd.ctl.journal.events import Event, Fact
from execwatchd.ctl.users import group_name_of, name_of

Value = int | str | list[str]
_ACCOUNTS: dict[str, Callable[[int], str]] = {
    "UID": lru_cache(1024)(name_of),
    "EUID": lru_cache(1024)(name_of),
    "GID": lru_cache(1024)(group_name_of),
}


class Attributes:
    """Values by the names of a taxonomy."""

    def __init__(self) -> None:
        self.values: dict[str, Value] = {}
        self._escaped: list[str] = []

    def put(self, name: str, fact: Fact | str) -> None:
        """Set a value."""
        if isinstance(fact, bytes):
            self.values[name] = self._texts(name, (fact,))[0]
        elif isinstance(fact, tuple):
            self.values[name] = self._texts(name, fact)
        else:
            self.values[name] = fact

    def put_account(self, field: str, name: str, fact: Fact) -> None:
        """Beside the id of a user or a group, set its name, if this host has one for it."""
        if isinstance(fact, int) and name.endswith(".id") and (name_of_id := _ACCOUNTS.get(field)):
            account = name_of_id(fact).encode(errors="surrogateescape")
            if account:
                self.put(name.removesuffix("id") + "name", account)

    def put_escaped(self) -> None:
        """Set the names of those values that are escaped, if there are any."""
        if self._escaped:
            self.values[OURS + "escaped"] = self._escaped

    def _texts(self, name: str, raws: tuple[bytes, ...]) -> list[str]:
        try:
            return [raw.decode() for raw in raws]
        except UnicodeDecodeError:
            self._escaped.append(name)
            return [_escaped(raw) for raw in raws]


def _escaped(raw: bytes) -> str:
    return raw.replace(b"\\", rb"\\").decode(errors="backslashreplace")


def facts(event: Event) -> dict[str, Fact]:
    """The event's facts, each by the field that has it in the table.

    COMM of an end is the name of the process itself, which for an exec is NEW_COMM.
    """
    recorded = event.facts()
    if event.kind == "ended" and "COMM" in recorded:
        recorded["NEW_COMM"] = recorded.pop("COMM")
    executable = recorded.get("EXE") or recorded.get("INTERP") or recorded.get("FILENAME")
    return recorded | {"EXE": executable} if executable else recorded

# SPDX-License-Identifier: GPL-2.0-or-later
"""What a process that ended had executed: an end has no command line, the exec of the same id has it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from execwatchd.ctl.journal.events import Event, event
from execwatchd.ctl.ports import Clause, Journal
from execwatchd.shared.message_ids import Kind

_OF_THE_EXEC = "MESSAGE", "FILENAME", "CMDLINE", "ARGV", "ARGC", "TRUNCATED", "REDACTED"


def with_commands(events: Iterable[Event], journal: Journal, sender: Sequence[Clause]) -> Iterator[Event]:
    """The events, each end with what its process had executed, as far as this sender tells."""
    for one in events:
        yield _with_command(one, journal, sender) if one.kind == "ended" else one


def _with_command(end: Event, journal: Journal, sender: Sequence[Clause]) -> Event:
    name, boot, kind = end.raw("EXEC_ID"), end.boot.encode(), Kind.EXEC.value.encode()
    terms = b"EXECWATCH_EXEC_ID=" + name, b"_BOOT_ID=" + boot, b"MESSAGE_ID=" + kind
    found = journal.find([*sender, *((term,) for term in terms)])
    exec_ = event(found) if found else None
    if exec_ is None:
        return end
    return replace(end, fields={**_fields(exec_), **end.fields})


def _fields(one: Event) -> dict[str, bytes]:
    return {name: one.fields[name] for name in _OF_THE_EXEC if name in one.fields}

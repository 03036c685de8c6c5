# SPDX-License-Identifier: GPL-2.0-or-later
"""Completes the entry of a process's end with what that process had executed.

An end has no command line. The entry of the exec has it, and both have the same EXECWATCH_EXEC_ID.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from execwatchd.ctl.journal.events import Event, from_entry
from execwatchd.ctl.ports import Clause, Journal
from execwatchd.shared.message_ids import MessageId

_FIELDS_OF_THE_EXEC = "MESSAGE", "FILENAME", "CMDLINE", "ARGV", "ARGV_RAW", "ARGC", "TRUNCATED", "REDACTED"


def complete_ends(events: Iterable[Event], journal: Journal, sender: Sequence[Clause]) -> Iterator[Event]:
    """The events, each end with the fields of its exec, where this sender has an entry of that."""
    for event in events:
        yield _complete(event, journal, sender) if event.kind == "ended" else event


def exec_of(end: Event, journal: Journal, sender: Sequence[Clause]) -> Event | None:
    """The last exec of the process that ended, where this sender has an entry of it."""
    exec_id, boot, kind = end.raw("EXEC_ID"), end.boot.encode(), MessageId.EXEC.value.encode()
    terms = b"EXECWATCH_EXEC_ID=" + exec_id, b"_BOOT_ID=" + boot, b"MESSAGE_ID=" + kind
    entry = journal.find([*sender, *((term,) for term in terms)])
    return from_entry(entry) if entry else None


def _complete(end: Event, journal: Journal, sender: Sequence[Clause]) -> Event:
    exec_ = exec_of(end, journal, sender)
    return end if exec_ is None else replace(end, fields={**_shared_fields(exec_), **end.fields})


def _shared_fields(exec_: Event) -> Mapping[str, bytes]:
    return {name: exec_.fields[name] for name in _FIELDS_OF_THE_EXEC if name in exec_.fields}

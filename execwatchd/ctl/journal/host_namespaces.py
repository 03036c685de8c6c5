# SPDX-License-Identifier: GPL-2.0-or-later
"""Completes an event with the namespaces that its process shares with the host's init process.

Entries of execs leave them out; the entries that say that the program is attached have them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from execwatchd.ctl.journal.events import PREFIX, Event
from execwatchd.ctl.ports import Clause, Journal
from execwatchd.shared.message_ids import MessageId

_OF_EVENTS = {"exec": ("PIDNS", "MNTNS"), "failed": ("PIDNS", "MNTNS"), "ended": ("PIDNS",)}
_ATTACHED = tuple(
    b"MESSAGE_ID=" + kind.value.encode() for kind in (MessageId.ATTACHED, MessageId.LAYOUT_CHANGED)
)


def complete_namespaces(
    events: Iterable[Event], journal: Journal, sender: Sequence[Clause]
) -> Iterator[Event]:
    """The events, each that has none of its own with the host's namespaces, where this sender wrote them."""
    hosts: dict[str, Mapping[str, bytes]] = {}
    for event in events:
        if event.boot not in hosts:
            hosts[event.boot] = _host(event.boot, journal, sender)
        host = hosts[event.boot]
        shared = {name: host[name] for name in _OF_EVENTS.get(event.kind, ()) if name in host}
        yield replace(event, fields={**shared, **event.fields}) if shared else event


def _host(boot: str, journal: Journal, sender: Sequence[Clause]) -> Mapping[str, bytes]:
    entry = journal.find([*sender, (b"_BOOT_ID=" + boot.encode(),), _ATTACHED])
    fields = entry.fields if entry else {}
    return {name.removeprefix(PREFIX): value for name, value in fields.items() if name.startswith(PREFIX)}

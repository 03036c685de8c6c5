# SPDX-License-Identifier: GPL-2.0-or-later
"""An event with all of its fields, a line each, as `journalctl -o verbose` has it."""

from execwatchd.ctl.journal import times
from execwatchd.ctl.journal.events import ARGUMENTS, NUMBERS, PREFIX, TEXTS, Event
from execwatchd.ctl.view.terminal import printable


def fields(event: Event) -> str:
    """The event's time, and its fields by the names that they have in the journal."""
    names = [name for name in (*NUMBERS, *TEXTS, *ARGUMENTS) if name in event.fields]
    lines = [f"    {PREFIX}{name}={printable(event.raw(name))}" for name in names]
    host = f" {printable(event.host)}" if event.host else ""
    head = f"{times.iso(event.micros)}{host} {event.kind}"
    return "\n".join([head, f"    MESSAGE={printable(event.text)}", *lines])

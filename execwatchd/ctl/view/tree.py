# SPDX-License-Identifier: GPL-2.0-or-later
"""Prints the processes of events as a tree."""

from collections.abc import Collection, Iterable, Iterator
from itertools import takewhile
from typing import Any

from execwatchd.ctl.journal.events import Event, dump
from execwatchd.ctl.journal.process_tree import Forest, Place, Process, walk
from execwatchd.ctl.view import event_line
from execwatchd.ctl.view.moments import moment
from execwatchd.ctl.view.terminal import Console, pad, printable, word


def show(
    events: Iterable[Event], pids: Collection[int], console: Console, output: str = "short"
) -> Iterator[str]:
    """The lines of the tree of the events, or of these pids and their descendants."""
    forest = Forest(pids)
    for event in events:
        forest.add(event)
    for process, place in walk(forest.roots):
        if output == "short":
            yield from lines(process, place, console)
        else:
            yield dump(as_object(process, place.depth), pretty=output == "json-pretty")


def as_object(process: Process, depth: int) -> dict[str, Any]:
    """A process for JSON, with its depth instead of children: any user can make a tree too deep to nest."""
    execs = [event.as_json() for event in process.execs]
    shown: dict[str, Any] = {"pid": process.pid, "ppid": process.ppid, "depth": depth, "execs": execs}
    return shown if process.end is None else {**shown, "end": process.end.as_json()}


def lines(process: Process, place: Place, console: Console) -> Iterator[str]:
    """A line for each exec of the process; the first has its pid and its place in the tree."""
    draw, lasts = console.glyphs, place.lasts
    deeper = f"{draw.ellipsis} " if place.depth > len(lasts) else ""
    above = deeper + "".join("  " if last else draw.trunk for last in lasts[:-1])
    branch, trunk = (
        ((draw.last_branch, "  ") if lasts[-1] else (draw.branch, draw.trunk)) if lasts else ("", "")
    )
    below = above + trunk + (draw.trunk if process.children else "  ")
    for index, event in enumerate(process.execs):
        head = f"{above}{branch}{process.pid} " if index == 0 else f"{below}{draw.same} "
        notes = [_origin(process)] if index == 0 else []
        notes += [event_line.outcome(process.end)] if process.end and event is process.execs[-1] else []
        yield _line(event, head, " ".join(notes), console)


def _line(event: Event, place: str, note: str, console: Console) -> str:
    layout = event_line.layout(console.width)
    head = f"{moment(event.time, dated=layout.dated)} "
    if layout.user:
        head += pad(console.cut(event_line.user(event.number("UID")), layout.user), layout.user) + " "
    head += place
    text = " ".join(filter(None, (event_line.notes(event), event_line.command(event), note)))
    if not (shown := console.fit(text, len(head))):
        return console.fit(head)
    return head + console.paint(shown, "red" if event.kind == "failed" else "bold")


def _origin(process: Process) -> str:
    """The unrecorded processes between a process and its parent in the tree, as far as its exec tells."""
    above = process.parent
    if above is not None and above.pid == process.ppid:
        return ""
    between = takewhile(
        lambda ancestor: above is None or ancestor[0] != above.pid, process.execs[0].ancestors
    )
    if chain := b" < ".join(b"%d:%s" % ancestor for ancestor in between):
        return f"(from {printable(chain)})"
    return f"(from {process.ppid} {word(process.execs[0].raw('PARENT_COMM'))}".rstrip() + ")"

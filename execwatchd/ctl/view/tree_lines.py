# SPDX-License-Identifier: GPL-2.0-or-later
"""Prints a forest of processes."""

from collections.abc import Collection, Iterable, Iterator
from itertools import takewhile
from typing import Any

from execwatchd.ctl.journal.events import Event, dump
from execwatchd.ctl.journal.process_tree import Forest, Place, Process, walk
from execwatchd.ctl.view import columns
from execwatchd.ctl.view.terminal import Console, cut, pad, printable, word


def show(events: Iterable[Event], pids: Collection[int], console: Console, *, as_json: bool) -> int:
    """Print the tree of the events, or of these pids and their descendants; returns how many processes."""
    forest = Forest(pids)
    for one in events:
        forest.add(one)
    count = 0
    for count, (process, place) in enumerate(walk(forest.roots), 1):  # noqa: B007  the count is the result
        if as_json:
            console.line(dump(as_object(process, place.depth)))
        else:
            for line in lines(process, place, console):
                console.line(line)
    return count


def as_object(process: Process, depth: int) -> dict[str, Any]:
    """A process for JSON. Flat, with its depth: nested objects would be as deep as somebody wished."""
    execs = [one.as_json() for one in process.execs]
    shown: dict[str, Any] = {"pid": process.pid, "ppid": process.ppid, "depth": depth, "execs": execs}
    return shown if process.end is None else {**shown, "end": process.end.as_json()}


def lines(process: Process, place: Place, console: Console) -> Iterator[str]:
    """A line for each exec of the process; the first has its pid and its place in the tree."""
    lasts = place.lasts
    deeper = "… " if place.depth > len(lasts) else ""
    above = deeper + "".join("  " if last else "│ " for last in lasts[:-1])
    branch, trunk = (("└─", "  ") if lasts[-1] else ("├─", "│ ")) if lasts else ("", "")
    below = above + trunk + ("│ " if process.children else "  ")
    for index, one in enumerate(process.execs):
        head = f"{above}{branch}{process.pid} " if index == 0 else f"{below}» "
        notes = [_origin(process)] if index == 0 else []
        notes += [columns.outcome(process.end)] if process.end and one is process.execs[-1] else []
        yield _line(one, head, " ".join(notes), console)


def _line(one: Event, place: str, note: str, console: Console) -> str:
    layout = columns.layout(console.width)
    head = f"{one.time:{layout.time}} "
    if layout.user:
        head += pad(cut(columns.user(one.number("UID")), layout.user), layout.user) + " "
    room = None if console.width is None else max(0, console.width - len(head) - len(place))
    text = columns.clip(" ".join(filter(None, (columns.outcome(one), columns.command(one), note))), room)
    if room == 0:
        return columns.clip(head + place, console.width)
    return head + place + console.paint(text, "red" if one.kind == "failed" else "bold")


def _origin(process: Process) -> str:
    """Who started a root, or what stands between a process and the one above it, as far as its exec tells."""
    above = process.parent
    if above is not None and above.pid == process.ppid:
        return ""
    between = takewhile(lambda one: above is None or one[0] != above.pid, process.execs[0].ancestors)
    if chain := b" < ".join(b"%d:%s" % one for one in between):
        return f"(from {printable(chain)})"
    return f"(from {process.ppid} {word(process.execs[0].raw('PARENT_COMM'))}".rstrip() + ")"

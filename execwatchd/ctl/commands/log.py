# SPDX-License-Identifier: GPL-2.0-or-later
"""`execwatchctl log`: the recorded execs, as lines or as a tree."""

import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from execwatchd.ctl.export import ecs, otel
from execwatchd.ctl.journal.end_lookup import complete_ends
from execwatchd.ctl.journal.events import Event, dump, from_entry
from execwatchd.ctl.journal.host_namespaces import complete_namespaces
from execwatchd.ctl.journal.query import needs_execs, never_recorded, query, sender, source
from execwatchd.ctl.ports import Journal, Query, Tools
from execwatchd.ctl.view import event_line, tree, verbose
from execwatchd.ctl.view.output import Output
from execwatchd.ctl.view.pager import Pager, chosen
from execwatchd.ctl.view.terminal import Console, printable
from execwatchd.shared.errors import EXIT_USAGE, Failure

_Printer = Callable[[Event], str]
_OBJECTS = "json", "json-pretty", "verbose", "ecs", "otel"  # with what an entry leaves out


def run(options: Namespace, tools: Tools) -> int:
    """Print the events that the options ask for. Returns 0, also if there are none."""
    _check(options)
    console, pager = terminal(options, tools.console, can_page=not options.follow)
    output = Output(console, pager)
    with tools.journal(source(options)) as journal:
        if options.follow:
            name_damaged_files(journal)
        asked = replace(query(options, journal), on_read=output.read)
        events = _Counted(_events(journal, asked, options, console))
        output.print(_lines(events, options, console, journal))
        if not events.count:
            require_readable(journal)
            _name_what_is_off(options, journal, tools)
        name_damaged_files(journal)
    return 0


def terminal(options: Namespace, console: Console, *, can_page: bool = True) -> tuple[Console, Pager | None]:
    """The console, and its pager if it gets one: that scrolls to the side, so nothing is cut."""
    is_paged = can_page and console.width is not None and console.can_erase and not options.no_pager
    pager = chosen(os.environ) if is_paged else None
    return replace(console, cuts=not options.full and pager is None), pager


class _Counted:
    """Passes events on, and counts those that stand for an exec or an end."""

    def __init__(self, events: Iterator[Event]) -> None:
        self._events = events
        self.count = 0

    def __iter__(self) -> Iterator[Event]:
        for event in self._events:
            self.count += not event.is_missing
            yield event


def _lines(events: Iterable[Event], options: Namespace, console: Console, journal: Journal) -> Iterable[str]:
    if options.tree:
        return tree.show(events, options.pid, console, options.output)
    return map(_printer(options.output, console, options.directory, journal), events)


def name_damaged_files(journal: Journal) -> None:
    """A line for each file of which something is missing in what was shown."""
    for line in journal.damage():
        print(f"execwatchctl: {printable(line)}", file=sys.stderr)


def _name_what_is_off(options: Namespace, journal: Journal, tools: Tools) -> None:
    """`--failed` and `--slow` show nothing where what they need isn't recorded."""
    absent = never_recorded(options, journal)
    attached = _attached(tools) if absent and not options.directory else ()
    for each in absent:
        if each.hook not in attached:
            remedy = f"{each.option} is off (set {each.option} = true in execwatchd.toml)"
            print(f"execwatchctl: no {each.what} is recorded: {remedy}", file=sys.stderr)


def _attached(tools: Tools) -> Sequence[str]:
    """The hooks of the daemon on this host; none if it can't be asked."""
    try:
        with tools.manager() as manager:
            return tuple(manager.properties()["Attached"])
    except Failure:
        return ()


def require_readable(journal: Journal) -> None:
    """Raises Failure if no journal may be read: that it seems empty means nothing then."""
    if not journal.readable():
        hint = "be root, or in the group adm or systemd-journal"
        raise Failure("no system journal here that you may read", hint)


def _check(options: Namespace) -> None:
    if options.tree and options.follow:
        raise Failure("--tree shows what was, --follow what will be", "choose one", EXIT_USAGE)
    if options.reverse and (options.tree or options.follow):
        raise Failure("--reverse goes with neither --tree nor --follow", "choose one", EXIT_USAGE)
    if options.tree and options.output not in ("short", "json", "json-pretty"):
        raise Failure(f"--tree has no output {options.output}", "short, json or json-pretty", EXIT_USAGE)
    if options.tree and options.slow is not None:
        raise Failure("--tree needs all executions, --slow has only ends", "choose one", EXIT_USAGE)


def _events(journal: Journal, asked: Query, options: Namespace, console: Console) -> Iterator[Event]:
    """The events of the query, with what the form of the output needs besides."""
    entries = journal.entries(asked, console.out.flush)
    events: Iterator[Event] = (event for entry in entries if (event := from_entry(entry)) is not None)
    trusted = sender(options.any_sender, options.directory)
    if options.output in _OBJECTS:
        events = complete_namespaces(events, journal, trusted)
    return complete_ends(events, journal, trusted) if needs_execs(options) else events


def _printer(output: str, console: Console, directory: str | None, journal: Journal) -> _Printer:
    local = directory is None
    printers: dict[str, _Printer] = {
        "json": lambda event: dump(event.as_json()),
        "json-pretty": lambda event: dump(event.as_json(), pretty=True),
        "ecs": lambda event: dump(ecs.document(event, local=local)),
        "otel": lambda event: dump(otel.record(event, local=local)),
        "cat": lambda event: printable(event.text),
        "argv": event_line.shell_line,
        "verbose": verbose.fields,
    }
    if output in printers:
        return printers[output]
    return event_line.EventLine(console, hosts=not local, messages=journal.messages())

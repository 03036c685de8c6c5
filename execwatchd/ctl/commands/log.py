# SPDX-License-Identifier: GPL-2.0-or-later
"""`execwatchctl log`: the recorded execs, as lines or as a tree."""

import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence

from execwatchd.ctl.export import ecs, otel
from execwatchd.ctl.journal.end_lookup import complete_ends
from execwatchd.ctl.journal.events import Event, dump, from_entry
from execwatchd.ctl.journal.host_namespaces import complete_namespaces
from execwatchd.ctl.journal.query import needs_execs, never_recorded, query, sender, source
from execwatchd.ctl.ports import Journal, Query, Tools
from execwatchd.ctl.view import event_line, tree
from execwatchd.ctl.view.terminal import Console, printable
from execwatchd.shared.errors import EXIT_USAGE, Failure

_Printer = Callable[[Event], str]
_OBJECTS = "json", "ecs", "otel"  # each with every fact, also those that an entry leaves out


def run(options: Namespace, tools: Tools) -> int:
    """Print the events that the options ask for. Returns 0, also if there are none."""
    _check(options)
    with tools.journal(source(options)) as journal:
        events = _events(journal, query(options, journal), tools.console.out.flush)
        if options.output in _OBJECTS:
            events = complete_namespaces(events, journal, sender(options.any_sender, options.directory))
        if needs_execs(options):
            events = complete_ends(events, journal, sender(options.any_sender, options.directory))
        if options.tree:
            count = tree.show(events, options.pid, tools.console, as_json=options.output == "json")
        else:
            count = _print(events, options, tools.console)
        if not count:
            require_readable(journal)
            _name_what_is_off(options, journal, tools)
    return 0


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
    if options.tree and options.output not in ("short", "json"):
        raise Failure(f"--tree has no output {options.output}", "short or json", EXIT_USAGE)
    if options.tree and options.slow is not None:
        raise Failure("--tree needs all executions, --slow has only ends", "choose one", EXIT_USAGE)


def _events(journal: Journal, wanted: Query, before_wait: Callable[[], object]) -> Iterator[Event]:
    events = (from_entry(entry) for entry in journal.entries(wanted, before_wait))
    return (event for event in events if event is not None)


def _print(events: Iterator[Event], options: Namespace, console: Console) -> int:
    printer = _printer(options.output, console, options.directory)
    count = 0
    for event in events:
        console.line(printer(event))
        count += not event.is_missing
    return count


def _printer(output: str, console: Console, directory: str | None) -> _Printer:
    if output == "json":
        return lambda event: dump(event.as_json())
    if output == "ecs":
        return lambda event: dump(ecs.document(event, local=directory is None))
    if output == "otel":
        return lambda event: dump(otel.record(event, local=directory is None))
    if output == "cat":
        return lambda event: printable(event.text)
    if output == "argv":
        return event_line.shell_line
    return event_line.EventLine(console, hosts=directory is not None)

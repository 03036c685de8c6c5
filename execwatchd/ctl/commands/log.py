# SPDX-License-Identifier: GPL-2.0-or-later
"""`execwatchctl log`: the recorded execs, as lines or as a tree."""

from argparse import Namespace
from collections.abc import Callable, Iterator

from execwatchd.ctl.journal.ended_commands import with_commands
from execwatchd.ctl.journal.events import Event, dump, event
from execwatchd.ctl.journal.query import looks_up, query, sender, source
from execwatchd.ctl.ports import Journal, Query, Tools
from execwatchd.ctl.view import columns, tree_lines
from execwatchd.ctl.view.terminal import Console, printable
from execwatchd.shared.errors import EXIT_USAGE, Failure

_Printer = Callable[[Event], str]


def run(options: Namespace, tools: Tools) -> int:
    """Print what the options ask for; 0, also where there is nothing."""
    _check(options)
    with tools.journal(source(options)) as journal:
        events = _events(journal, query(options, journal), tools.console.out.flush)
        if looks_up(options):
            events = with_commands(events, journal, sender(options.any_sender, options.directory))
        if options.tree:
            count = tree_lines.show(events, options.pid, tools.console, as_json=options.output == "json")
        else:
            count = _print(events, options, tools.console)
        if not count:
            require_readable(journal)
    return 0


def require_readable(journal: Journal) -> None:
    """Raises Failure if there is no journal that may be read: nothing in it says nothing then."""
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
    found = (event(entry) for entry in journal.entries(wanted, before_wait))
    return (one for one in found if one is not None)


def _print(events: Iterator[Event], options: Namespace, console: Console) -> int:
    printer = _printer(options.output, console, options.directory)
    count = 0
    for one in events:
        console.line(printer(one))
        count += 1
    return count


def _printer(output: str, console: Console, directory: str | None) -> _Printer:
    if output == "json":
        return lambda one: dump(one.as_json())
    if output == "cat":
        return lambda one: printable(one.text)
    if output == "argv":
        return columns.command
    return columns.Short(console, hosts=directory is not None)

# SPDX-License-Identifier: GPL-2.0-or-later
"""`execwatchctl show`: one exec whole, the place to go from an alarm."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from itertools import islice

from execwatchd.ctl.commands.log import name_damaged_files, require_readable, terminal
from execwatchd.ctl.journal.events import dump
from execwatchd.ctl.journal.query import sender, source
from execwatchd.ctl.journal.surroundings import surroundings
from execwatchd.ctl.ports import Clause, Entry, Journal, Query, Tools
from execwatchd.ctl.view import exec_sheet
from execwatchd.ctl.view.output import Output
from execwatchd.shared.errors import Failure
from execwatchd.shared.message_ids import MessageId

_EXECS = tuple(b"MESSAGE_ID=" + kind.value.encode() for kind in (MessageId.EXEC, MessageId.EXEC_FAILED))
_COUNTED = 1000  # execs of a pid


def run(options: Namespace, tools: Tools) -> int:
    """Print the exec of this id, or the latest of this pid. Raises Failure if there is none."""
    console, pager = terminal(options, tools.console)
    trusted = sender(options.any_sender, options.directory)
    with tools.journal(source(options)) as journal:
        shown = surroundings(_wanted(options.exec, journal, trusted), journal, trusted)
        if shown is None:
            raise Failure(f"the entry of {options.exec} names no process")
        if options.output == "short":
            Output(console, pager).print(exec_sheet.lines(shown, console))
        else:
            pretty = options.output == "json-pretty"
            Output(console, pager).print([dump(exec_sheet.as_object(shown), pretty=pretty)])
        name_damaged_files(journal)
    return 0


def _wanted(name: str, journal: Journal, trusted: Sequence[Clause]) -> Entry:
    """The latest entry of the exec's id, or of the pid: it may have several, and come round again."""
    is_pid = name.isascii() and name.isdecimal()
    term = (f"EXECWATCH_{'PID' if is_pid else 'EXEC_ID'}={name}").encode(errors="surrogateescape")
    asked = Query((*trusted, _EXECS, (term,)), reverse=True)
    entries = list(islice(journal.entries(asked, lambda: None), _COUNTED if is_pid else 1))
    if not entries:
        require_readable(journal)
        raise Failure(f"no exec of {'process' if is_pid else 'id'} {name} is recorded", "log shows which are")
    if len(entries) > 1:
        count = f"{len(entries)} execs" if len(entries) < _COUNTED else f"{_COUNTED} execs and more"
        hint = f"log --pid {name} shows all"
        print(f"execwatchctl: the latest of {count} of process {name} ({hint})", file=sys.stderr)
    return entries[0]

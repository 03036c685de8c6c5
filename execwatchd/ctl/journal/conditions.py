# SPDX-License-Identifier: GPL-2.0-or-later
"""What options of `log` ask for and only reading an entry decides: no index of the journal has it."""

import os
import re
from argparse import Namespace
from collections.abc import Callable, Iterable, Sequence
from fnmatch import translate

from execwatchd.ctl.journal.end_lookup import exec_of
from execwatchd.ctl.journal.events import Event, from_entry
from execwatchd.ctl.ports import Clause, Entry, Journal
from execwatchd.shared.errors import EXIT_USAGE, Failure

Condition = Callable[[Event], bool]


class Conditions:
    """Holds for an entry of an exec that satisfies all conditions, and for one of its end.

    An end has neither arguments nor a file: they are its exec's. Entries about missing execs satisfy all of
    them, since what is missing might have.
    """

    def __init__(self, conditions: Sequence[Condition], journal: Journal, sender: Sequence[Clause]) -> None:
        self._conditions = conditions
        self._journal = journal
        self._sender = sender

    def __call__(self, entry: Entry) -> bool:
        event = from_entry(entry)
        if event is None or event.is_missing:
            return event is not None
        subject = exec_of(event, self._journal, self._sender) if event.kind == "ended" else event
        return subject is not None and all(holds(subject) for holds in self._conditions)


def acceptance(
    options: Namespace, journal: Journal, sender: Sequence[Clause]
) -> Callable[[Entry], bool] | None:
    """What an entry must satisfy besides the query's clauses, or None if that is nothing."""
    conditions = list(_conditions(options))
    if options.slow is None:
        return Conditions(conditions, journal, sender) if conditions else None
    of_execs = Conditions(conditions, journal, sender)
    return lambda entry: _ran(entry) >= options.slow and (not conditions or of_execs(entry))


def _ran(entry: Entry) -> float:
    """How many µs the process ran, where the entry is that of its end."""
    event = from_entry(entry)
    return (event.number("RUN_TIME_USEC") or 0) if event and event.kind == "ended" else float("inf")


def _conditions(options: Namespace) -> Iterable[Condition]:
    if options.grep is not None:
        yield _grep(options.grep)
    if options.exe:
        yield _executable(options.exe)
    if options.container:
        prefixes = tuple(map(os.fsencode, options.container))
        yield lambda event: event.raw("CONTAINER").startswith(prefixes)


def _grep(text: str) -> Condition:
    from execwatchd.ctl.journal.pattern import Pattern  # noqa: PLC0415  it takes as long as a command takes

    try:
        pattern = Pattern(text)
    except ValueError as error:
        raise Failure(f"not a pattern of RE2: {text}", str(error), EXIT_USAGE) from None
    return lambda event: pattern.is_in(b" ".join(event.argv))


def _executable(globs: Sequence[str]) -> Condition:
    """A glob without a slash is for the name of the file alone."""
    of_paths = [re.compile(translate(glob if "/" in glob else f"*/{glob}")).match for glob in globs]

    def holds(event: Event) -> bool:
        path = os.fsdecode(event.raw("EXE") or event.raw("FILENAME"))
        return any(match(path) or match(f"/{path}") for match in of_paths)

    return holds

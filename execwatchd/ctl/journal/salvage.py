# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads what is left of damaged journal files.

sd-journal drops a file at the first of its indexes that is damaged, and what a search of a damaged index
leaves out is not known. From the head and without a search it gives all entries before the damage.
"""

import heapq
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from tempfile import NamedTemporaryFile

from execwatchd.ctl.journal import file_header
from execwatchd.ctl.journal.reader import Reader
from execwatchd.ctl.ports import Entry, Query, Source
from execwatchd.shared.errors import Failure

_COPIES = "/var/tmp"  # noqa: S108  a directory with room on disk; the name of a copy can't be foreseen
Damaged = Callable[[str], object]


def _realtime(entry: Entry) -> int:
    return entry.realtime


def merged(
    sound: Iterator[Entry], damaged: Sequence[Path], query: Query, on_damage: Damaged
) -> Iterator[Entry]:
    """The entries of `sound` and of the damaged files, in the order of time that the query wants."""
    left = [_left(path, query, on_damage) for path in damaged]
    together = heapq.merge(sound, *left, key=_realtime, reverse=query.reverse)
    if query.lines is None:
        return together
    return islice(together, query.lines) if query.reverse else iter(deque(together, query.lines))


def _left(path: Path, query: Query, on_damage: Damaged) -> Iterator[Entry]:
    """The entries of the query that are left in the file; a reversed order needs memory for them."""
    entries = _entries(path, query, on_damage)
    return reversed(deque(entries, query.lines)) if query.reverse else entries


def _entries(path: Path, query: Query, on_damage: Damaged) -> Iterator[Entry]:
    with ExitStack() as ends:
        try:
            file = ends.enter_context(_whole(path))
            reader = Reader(Source(), [file], on_damage)
        except (OSError, OverflowError, Failure):
            return  # nothing of it can be read
        ends.callback(reader.close)
        while (realtime := reader.next()) is not None:
            query.on_read(realtime)
            if query.covers(realtime) and reader.satisfies(query.clauses):
                entry = reader.entry()
                if query.accepts(entry):
                    yield entry


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """The file, or a copy as long as its header says: sd-journal opens no shorter one."""
    header = file_header.read(path)
    if header is None or header.size <= path.stat().st_size:
        yield path
        return
    with path.open("rb") as file, NamedTemporaryFile(dir=_COPIES, suffix=".journal") as copy:
        shutil.copyfileobj(file, copy)
        copy.truncate(header.size)
        copy.flush()
        yield Path(copy.name)

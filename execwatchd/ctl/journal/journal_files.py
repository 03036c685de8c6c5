# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds the journal files of a source, and a directory's that may have entries of a time.

A collector keeps tens of gigabytes.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from execwatchd.ctl.ports import Source

NAMESPACE = "execwatchd"  # contrib/systemd's drop-in namespace.conf has the daemon write to it
PLACES = Path("/var/log/journal"), Path("/run/log/journal")
_MACHINE_ID = Path("/etc/machine-id")
_AHEAD = 86400  # s that another host's clock may be ahead of this host's
_JOURNALS = ".journal", ".journal~"
_is_machine = re.compile(r"[0-9a-f]{32}(\..+)?").fullmatch  # with a namespace


def files(source: Source) -> list[Path]:
    """The same files as sd-journal opens for this source."""
    if source.directory is not None:
        return sorted(_journals(Path(source.directory)))
    machine = _MACHINE_ID.read_text().strip()
    names = [f"{machine}.{source.namespace or NAMESPACE}", *([] if source.namespace else [machine])]
    places = (place / name for place in PLACES for name in names)
    return sorted(path for place in places if place.is_dir() for path in _files(place))


def received_since(directory: Path, micros: int) -> list[Path]:
    """The files that were written to after this time (µs since the epoch), or else the one written to last.

    Whatever their order, all entries of a file are older than its last change. That is its ctime, which
    no copying sets back.
    """
    changed = sorted((path.stat().st_ctime, path) for path in _journals(directory))
    recent = [path for ctime, path in changed if (ctime + _AHEAD) * 1e6 >= micros]
    return recent or [path for _, path in changed[-1:]]


def _journals(directory: Path) -> Iterator[Path]:
    """The same files as sd_journal_open_directory(3) opens."""
    yield from _files(directory)
    for path in directory.iterdir():
        if _is_machine(path.name) and path.is_dir():
            yield from _files(path)


def _files(directory: Path) -> Iterator[Path]:
    return (path for path in directory.iterdir() if path.suffix in _JOURNALS and path.is_file())

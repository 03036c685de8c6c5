# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds a directory's journal files that may have entries of a time: a collector keeps tens of gigabytes."""

import re
from collections.abc import Iterator
from pathlib import Path

_AHEAD = 86400  # s that another host's clock may be ahead of this host's
_JOURNALS = ".journal", ".journal~"
_is_machine = re.compile(r"[0-9a-f]{32}(\..+)?").fullmatch  # with a namespace


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
    for path in directory.iterdir():
        if path.suffix in _JOURNALS and path.is_file():
            yield path
        elif _is_machine(path.name) and path.is_dir():
            yield from (file for file in path.iterdir() if file.suffix in _JOURNALS and file.is_file())

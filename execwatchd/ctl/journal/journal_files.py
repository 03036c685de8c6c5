# SPDX-License-Identifier: GPL-2.0-or-later
"""Journal files of a directory that may have entries of a time: a collector keeps tens of gigabytes."""

import re
from collections.abc import Iterator
from pathlib import Path

_AHEAD = 86400  # s that a host's clock may be ahead of the one here
_JOURNALS = ".journal", ".journal~"
_is_machine = re.compile(r"[0-9a-f]{32}(\..+)?").fullmatch  # with a namespace


def received_since(directory: Path, micros: int) -> list[Path]:
    """Those that got something after this time, µs since the epoch, or else the last one that did.

    What a file had got before is older, whatever the order in it. A change of the file sets its ctime, and
    no copying sets that back.
    """
    changed = sorted((path.stat().st_ctime, path) for path in _journals(directory))
    recent = [path for ctime, path in changed if (ctime + _AHEAD) * 1e6 >= micros]
    return recent or [path for _, path in changed[-1:]]


def _journals(directory: Path) -> Iterator[Path]:
    """As sd_journal_open_directory(3) finds them."""
    for path in directory.iterdir():
        if path.suffix in _JOURNALS and path.is_file():
            yield path
        elif _is_machine(path.name) and path.is_dir():
            yield from (one for one in path.iterdir() if one.suffix in _JOURNALS and one.is_file())

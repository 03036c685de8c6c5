# SPDX-License-Identifier: GPL-2.0-or-later
"""A process's memory where systemd does not account for it."""

import re
from pathlib import Path

from execwatchd.ctl.ports import Memory

_ANON = re.compile(r"^RssAnon:\s*(\d+) kB$", re.MULTILINE)


def resident(pid: int, proc: Path = Path("/proc")) -> Memory | None:
    """The process's own pages: RssAnon leaves out the mapped ring, which would be counted twice over."""
    try:
        found = _ANON.search((proc / str(pid) / "status").read_text())
    except OSError:
        return None
    return Memory(int(found[1]) * 1024, ring=False) if found else None

# SPDX-License-Identifier: GPL-2.0-or-later
"""A process's memory, for where systemd doesn't account it."""

import re
from pathlib import Path

from execwatchd.ctl.ports import Memory

_ANON = re.compile(r"^RssAnon:\s*(\d+) kB$", re.MULTILINE)


def resident(pid: int, proc: Path = Path("/proc")) -> Memory | None:
    """The process's RssAnon. VmRSS would count the ring twice, since it is mapped twice."""
    try:
        match = _ANON.search((proc / str(pid) / "status").read_text())
    except OSError:
        return None
    return Memory(int(match[1]) * 1024, ring=False) if match else None

# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a long reading of the journal is, on a terminal that shows nothing else meanwhile."""

import time
from datetime import datetime
from typing import TextIO

from execwatchd.ctl.view.moments import moment
from execwatchd.ctl.view.terminal import Console

_AFTER = 2.0  # s without a line
_EVERY = 0.25  # s


class Progress:
    """A line that is written again and again, and erased before others are printed."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._can_erase = Console(out).can_erase
        self._due = time.monotonic() + _AFTER
        self._shown = 0

    def show(self, entries: int, realtime: int) -> None:
        """So many entries were read, up to this point in time."""
        if not self._can_erase or time.monotonic() < self._due:
            return
        self._due = time.monotonic() + _EVERY
        at = moment(datetime.fromtimestamp(realtime / 1e6).astimezone(), dated=False)
        text = f"{entries:,} entries read, at {at}"
        self._out.write("\r" + text.ljust(self._shown))
        self._out.flush()
        self._shown = len(text)

    def erase(self) -> None:
        """Make room for another line."""
        if self._shown:
            self._out.write("\r" + " " * self._shown + "\r")
            self._out.flush()
            self._shown = 0
        self._due = time.monotonic() + _AFTER

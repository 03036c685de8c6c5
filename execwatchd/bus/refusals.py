# SPDX-License-Identifier: GPL-2.0-or-later
"""Refused calls: each is counted. The log has the first, then every half minute how many came since."""

import asyncio
import logging
from collections import Counter

from execwatchd.shared.plural import counted

log = logging.getLogger(__name__)

WINDOW = 30.0  # seconds
_MAX_NAMED = 8  # UIDs that a line names; the rest, which an attacker may have in numbers, are "others"


class Refusals:
    """Counts refused calls; `count` is how many since the start. To be used in a running loop."""

    def __init__(self) -> None:
        self.count = 0
        self._more: Counter[int | None] = Counter()
        self._timer: asyncio.TimerHandle | None = None
        self._has_warned_of_gone = False

    def add(self, uid: int | None, text: str) -> None:
        """Counts a refused call; `uid` None where the caller isn't identified."""
        self.count += 1
        if self._timer is not None:
            self._more[uid if uid in self._more or len(self._more) < _MAX_NAMED else None] += 1
            return
        log.warning("Refused a call: %s", text)
        self._open_window()

    def add_gone(self, change: str) -> None:
        """A change whose caller can't be authorised any more. The first is logged: it may be a mistake."""
        if not self._has_warned_of_gone:
            log.warning(
                "%s took no effect, since its caller left the bus at once and so couldn't be authorised;"
                " callers must wait for the reply, see org.execwatch1(5)",
                change,
            )
            self._has_warned_of_gone = True

    def sum_up(self) -> None:
        """Logs how many were refused since the last line, and continues while there are some."""
        self.close()
        if self._more:
            calls = counted(self._more.total(), "more call")
            log.warning("Refused %s: %s", calls, _by_uid(self._more))
            self._more.clear()
            self._open_window()

    def close(self) -> None:
        """Stops the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _open_window(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(WINDOW, self.sum_up)


def _by_uid(counts: Counter[int | None]) -> str:
    return ", ".join(
        f"{count} by {'others' if uid is None else f'UID {uid}'}" for uid, count in counts.most_common()
    )

# SPDX-License-Identifier: GPL-2.0-or-later
"""Refused calls: each is counted, and the log gets one line at once and a sum every half minute."""

import asyncio
import logging
from collections import Counter

log = logging.getLogger(__name__)

WINDOW = 30.0  # seconds
_MAX_NAMED = 8  # UIDs that a sum names; an attacker has as many as there are users


class Refusals:
    """Counts refused calls; `count` is how many since the start. Made inside the running loop."""

    def __init__(self) -> None:
        self.count = 0
        self._more: Counter[int | None] = Counter()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, uid: int | None, text: str) -> None:
        """One more; `uid` None where the caller is not known."""
        self.count += 1
        if self._timer is not None:
            self._more[uid if uid in self._more or len(self._more) < _MAX_NAMED else None] += 1
            return
        log.warning("Refused a call: %s", text)
        self._open_window()

    def sum_up(self) -> None:
        """Logs what came since the last line, and goes on summing up while there is something to sum up."""
        self.close()
        if self._more:
            log.warning("Refused %d more calls: %s", self._more.total(), _by_uid(self._more))
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

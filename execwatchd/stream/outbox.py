# SPDX-License-Identifier: GPL-2.0-or-later
"""The way out for entries: those of execs, and before them those of the daemon's log."""

import logging
from collections import deque
from typing import TYPE_CHECKING, Protocol

from execwatchd.shared.plural import counted
from execwatchd.stream import journal_fields

if TYPE_CHECKING:
    from collections.abc import Callable

_ROOM = 1000  # log entries that may wait while the journal stalls
_PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))


class Sink(Protocol):
    """Takes entries without blocking."""

    def send(self, datagram: bytes) -> bool:
        """Send one entry. False: not accepted now."""


class Outbox:
    """While the sink takes nothing, log entries wait here, in order; execs wait in the ring."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._waiting: deque[bytes] = deque(maxlen=_ROOM)
        self._dropped = 0
        self.on_stall: Callable[[], None] | None = None

    def send(self, datagram: bytes) -> bool:
        """Send an exec's entry, after all log entries that wait. False: not accepted, the caller keeps it."""
        if self._waiting and not self.flush():
            return False
        return self._sink.send(datagram)

    def post(self, datagram: bytes) -> None:
        """Send a log entry, now or once the sink takes entries again."""
        if self.flush() and self._sink.send(datagram):
            return
        self._dropped += len(self._waiting) == _ROOM
        self._waiting.append(datagram)
        if self.on_stall:
            self.on_stall()

    def flush(self) -> bool:
        """Send the log entries that wait. True: none is left."""
        while self._waiting:
            if not self._sink.send(self._waiting[0]):
                return False
            self._waiting.popleft()
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            text = f"{counted(dropped, 'log line')} dropped while the journal stalled"
            self.post(journal_fields.log_entry(4, text, {}))
            return not self._waiting
        return True


class LogHandler(logging.Handler):
    """Makes journal entries of the daemon's log; `extra=` of a logging call adds fields."""

    def __init__(self, outbox: Outbox) -> None:
        super().__init__()
        self._outbox = outbox

    def emit(self, record: logging.LogRecord) -> None:
        """Post the line without waiting for the journal."""
        priority = next((p for level, p in _PRIORITIES if record.levelno >= level), 7)
        fields = {**getattr(record, "journal", {}), "CODE_FUNC": record.funcName or "", "LOGGER": record.name}
        self._outbox.post(journal_fields.log_entry(priority, self.format(record), fields))

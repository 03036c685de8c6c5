# SPDX-License-Identifier: GPL-2.0-or-later
"""Prints lines as they come, to the console or to its pager, and notices early that its user has quit."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

from execwatchd.ctl.view.pager import Pager
from execwatchd.ctl.view.progress import Progress
from execwatchd.ctl.view.terminal import Console

if TYPE_CHECKING:
    import subprocess

_ENTRIES = 64  # between two looks at the clock
_EVERY = 0.2  # s


class Output:
    """Where the lines of a command go that reads the journal. A pager starts with the first line."""

    def __init__(self, console: Console, pager: Pager | None = None) -> None:
        self._out: TextIO = console.out
        self._pager = pager
        self._process: subprocess.Popen[str] | None = None
        self._progress = Progress(sys.stderr)
        self._entries = 0
        self._due = 0.0

    def read(self, realtime: int) -> None:
        """To be called for each entry that is read. Raises BrokenPipeError if the pager was quit."""
        self._entries += 1
        if self._entries % _ENTRIES == 0 and self._flush():
            if self._process is None:
                self._progress.show(self._entries, realtime)
            elif self._process.poll() is not None:
                raise BrokenPipeError

    def _flush(self) -> bool:
        """Flush the lines, unless that was a moment ago: a reader gets the first at once."""
        if time.monotonic() < self._due:
            return False
        self._due = time.monotonic() + _EVERY
        self._out.flush()
        return True

    def print(self, lines: Iterable[str]) -> None:
        """Print the lines, as far as the user of the pager wants them."""
        with self._ended():
            for line in lines:
                if self._pager is not None and self._process is None:
                    self._start(self._pager)
                if self._process is None:
                    self._progress.erase()
                self._out.write(line + "\n")
                self._flush()
        self._progress.erase()

    def _start(self, pager: Pager) -> None:
        self._progress.erase()
        self._pager = None
        self._process = pager.start()
        if self._process is not None and self._process.stdin is not None:
            self._out = self._process.stdin  # type: ignore[assignment]

    @contextmanager
    def _ended(self) -> Iterator[None]:
        """Waits for the pager; that it ended first is no error."""
        try:
            yield
        except BrokenPipeError:
            if self._process is None:
                raise
        finally:
            if self._process is not None:
                with suppress(BrokenPipeError):
                    self._out.close()
                _uninterrupted(self._process.wait)


def _uninterrupted(wait: Callable[[], object]) -> None:
    """The pager has the terminal: what ^C means is the pager's decision."""
    while True:
        with suppress(KeyboardInterrupt):
            wait()
            return

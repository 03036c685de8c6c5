# SPDX-License-Identifier: GPL-2.0-or-later
"""A terminal as a screen with keys, given back as it was, whatever ends the program.

Plain control sequences that every terminal of the last decades has: no terminfo, and a test can read them.
"""

import os
import select
import signal
import sys
import termios
import tty
from contextlib import suppress
from types import FrameType, TracebackType
from typing import NoReturn, TextIO

_ENTER = "\033[?1049h\033[?25l\033[?7l"  # the other screen, no cursor, long lines don't wrap
_LEAVE = "\033[?7h\033[?25h\033[?1049l"
_SIGNALS = signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT, signal.SIGTERM, signal.SIGHUP


class Screen:
    """Takes the terminal while it is entered; `keys` and `out` are its two ends."""

    def __init__(self, keys: int, out: TextIO) -> None:
        self._keys = keys
        self._out = out
        self._modes = termios.tcgetattr(keys)
        self._is_shown = False
        self._handlers = {number: signal.getsignal(number) for number in _SIGNALS}
        self._woken, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._old_waker = -1

    def __enter__(self) -> "Screen":
        self._old_waker = signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        for number in _SIGNALS:
            signal.signal(number, self._on_signal)
        self._show()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError, termios.error):  # the terminal itself may have gone
            self._hide()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._old_waker)
        os.close(self._woken)
        os.close(self._waker)

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows now."""
        with suppress(OSError):
            columns, rows = os.get_terminal_size(self._out.fileno())
            if columns > 0 and rows > 0:  # 0 is a terminal that doesn't know
                return columns, rows
        return 80, 24

    def draw(self, lines: list[str]) -> None:
        """These, as many as there are rows; in one write, so that nothing flickers."""
        # erased before it is written: behind a full line the cursor is still on its last character
        self._out.write("\033[H" + "\r\n".join("\033[2K" + line for line in lines))
        self._out.flush()

    def wait(self, seconds: float) -> str | None:
        """What was typed within this time; empty: the size or so may have changed. None: no one is there."""
        ready, _, _ = select.select([self._keys, self._woken], [], [], max(0.0, seconds))
        if self._woken in ready:
            with suppress(BlockingIOError):
                os.read(self._woken, 512)
        if self._keys not in ready:
            return ""
        typed = b""
        with suppress(OSError):  # EIO: it was hung up
            typed = os.read(self._keys, 512)
        if not typed:
            return None
        return "" if typed.startswith(b"\033") else typed.decode("ascii", "replace")  # arrows and the like

    def _show(self) -> None:
        tty.setcbreak(self._keys, termios.TCSADRAIN)
        self._out.write(_ENTER)
        self._out.flush()
        self._is_shown = True

    def _hide(self) -> None:
        if not self._is_shown:
            return
        self._is_shown = False
        try:
            self._out.write(_LEAVE)
            self._out.flush()
        finally:
            termios.tcsetattr(self._keys, termios.TCSADRAIN, self._modes)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGTSTP:
            self._hide()
            os.kill(os.getpid(), signal.SIGSTOP)
        elif number == signal.SIGCONT:
            self._show()
        elif number in (signal.SIGTERM, signal.SIGHUP):
            _end(number)


def _end(number: int) -> NoReturn:
    sys.exit(128 + number)

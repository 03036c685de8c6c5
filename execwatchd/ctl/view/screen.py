# SPDX-License-Identifier: GPL-2.0-or-later
"""A terminal as a screen with keys, given back as it was, whatever ends the program.

Plain control sequences that every terminal of the last decades has: no terminfo, and a test can read them.
"""

import errno
import os
import select
import signal
import sys
import termios
import tty
from contextlib import suppress
from types import FrameType, TracebackType
from typing import TextIO

_ENTER = "\033[?1049h\033[?25l\033[?7l"  # the other screen, no cursor, long lines don't wrap
_LEAVE = "\033[?7h\033[?25h\033[?1049l"
_ENDING = signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP
_SIGNALS = *_ENDING, signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT


class Screen:
    """Takes the terminal while it is entered; `keys` and `out` are its two ends.

    A signal only wakes `wait`, which does what it asks for: a handler that wrote, or raised, would do so in
    the middle of a frame, or of giving the terminal back.
    """

    def __init__(self, keys: int, out: TextIO) -> None:
        self._keys = keys
        self._out = out.fileno()
        self._encoding = out.encoding or "utf-8"
        self._modes = termios.tcgetattr(keys)
        self._is_shown = False
        self._is_gone = False
        self._ended_by = 0

    def __enter__(self) -> "Screen":
        self._woken, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._old_waker = signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        self._handlers = {number: signal.signal(number, _wake) for number in _SIGNALS}
        self._show()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hide()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._old_waker)
        os.close(self._woken)
        os.close(self._waker)
        if self._ended_by and kind is None:
            sys.exit(128 + self._ended_by)

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows now."""
        with suppress(OSError):
            columns, rows = os.get_terminal_size(self._out)
            if columns > 0 and rows > 0:  # 0 is a terminal that doesn't know
                return columns, rows
        return 80, 24

    def draw(self, lines: list[str]) -> None:
        """These, as many as there are rows; in one write, so that nothing flickers."""
        if self._is_shown:
            # erased before it is written: behind a full line the cursor is still on its last character
            self._write("\033[H" + "\r\n".join("\033[2K" + line for line in lines))

    def wait(self, seconds: float) -> str | None:
        """What was typed within this time; empty: the size or so may have changed. None: it is to end."""
        if self._is_gone:
            return None
        ready, _, _ = select.select([self._keys, self._woken], [], [], max(0.0, seconds))
        if self._woken in ready:
            return "" if self._heed(self._signals()) else None
        if not ready:
            return ""
        typed = b""
        with suppress(OSError):  # EIO: it was hung up
            typed = os.read(self._keys, 512)
        if not typed:
            return None
        return "" if typed.startswith(b"\033") else typed.decode("ascii", "replace")  # arrows and the like

    def _signals(self) -> bytes:
        """Their numbers, as the interpreter writes them."""
        with suppress(BlockingIOError):
            return os.read(self._woken, 512)
        return b""

    def _heed(self, signals: bytes) -> bool:
        """Do what the signals ask for; False: end."""
        if signal.SIGTSTP in signals and not set(signals) & set(_ENDING):
            self._hide()
            os.kill(os.getpid(), signal.SIGSTOP)
            signals = self._signals()  # to go on, or to end
        self._ended_by = next((number for number in signals if number in _ENDING), 0)
        if self._ended_by:
            return False
        if signal.SIGCONT in signals or not self._is_shown:
            self._show()
        return True

    def _show(self) -> None:
        try:
            tty.setcbreak(self._keys, termios.TCSADRAIN)
        except termios.error as error:
            # stopped here, as the terminal is another job's: SIGCONT has come, and `wait` tries again
            self._is_gone = error.args[0] != errno.EINTR
            return
        self._is_shown = True
        self._write(_ENTER)

    def _hide(self) -> None:
        if self._is_shown:
            self._is_shown = False
            self._write(_LEAVE)
            with suppress(termios.error):  # it may have gone
                termios.tcsetattr(self._keys, termios.TCSADRAIN, self._modes)

    def _write(self, text: str) -> None:
        """Past the stream's buffer: what can't be written would be tried again at the end."""
        left = text.encode(self._encoding, "replace")
        while left and not self._is_gone:
            try:
                left = left[os.write(self._out, left) :]
            except BlockingIOError:  # as another program set it
                select.select([], [self._out], [])
            except OSError:
                self._is_gone = True


def _wake(_number: int, _frame: FrameType | None) -> None:
    """There must be a handler, or the interpreter writes no number."""

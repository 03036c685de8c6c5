# SPDX-License-Identifier: GPL-2.0-or-later
"""A terminal as a screen with keys. It is restored whatever ends the program.

The control sequences are those that every terminal of the last decades has. So terminfo isn't needed, and a
test can read them.
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
    """Takes over the terminal as a context; `keys` is its input and `out` its output.

    Signals only wake `wait`, which acts on them. A handler that wrote or raised would do so in the middle of
    a frame, or while the terminal is being restored.
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
        """Show these lines, one for each row. It is a single write, so that nothing flickers."""
        if self._is_shown:
            # erase each line first: after a full line the cursor is still on its last character
            self._write("\033[H" + "\r\n".join("\033[2K" + line for line in lines))

    def wait(self, seconds: float) -> str | None:
        """What was typed within this time, empty if nothing, or the size may have changed. None: end."""
        if self._is_gone:
            return None
        ready, _, _ = select.select([self._keys, self._woken], [], [], max(0.0, seconds))
        if self._woken in ready:
            return "" if self._act_on(self._signals()) else None
        if not ready:
            return ""
        typed = b""
        with suppress(OSError):  # EIO: the terminal was hung up
            typed = os.read(self._keys, 512)
        if not typed:
            return None
        return "" if typed.startswith(b"\033") else typed.decode("ascii", "replace")  # arrows and the like

    def _signals(self) -> bytes:
        """The numbers of the signals that came, as the interpreter writes them to the pipe."""
        with suppress(BlockingIOError):
            return os.read(self._woken, 512)
        return b""

    def _act_on(self, signals: bytes) -> bool:
        """Act on the signals; False: end."""
        if signal.SIGTSTP in signals and not set(signals) & set(_ENDING):
            self._hide()
            os.kill(os.getpid(), signal.SIGSTOP)
            signals = self._signals()  # SIGCONT, or one to end
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
            # EINTR: it was stopped here, in the background. SIGCONT has come, so that `wait` tries again
            self._is_gone = error.args[0] != errno.EINTR
            return
        self._is_shown = True
        self._write(_ENTER)

    def _hide(self) -> None:
        if self._is_shown:
            self._is_shown = False
            self._write(_LEAVE)
            with suppress(termios.error):  # the terminal may have gone
                termios.tcsetattr(self._keys, termios.TCSADRAIN, self._modes)

    def _write(self, text: str) -> None:
        """Write without the stream's buffer, which would try again at exit what can't be written."""
        left = text.encode(self._encoding, "replace")
        while left and not self._is_gone:
            try:
                left = left[os.write(self._out, left) :]
            except BlockingIOError:  # another program has made the terminal non-blocking
                select.select([], [self._out], [])
            except OSError:
                self._is_gone = True


def _wake(_number: int, _frame: FrameType | None) -> None:
    """Does nothing: the interpreter writes the number to the pipe only for a signal with a handler."""

# SPDX-License-Identifier: GPL-2.0-or-later
"""The one exception that ends a command, and the exit codes it may end with."""

EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_CONFIG = 78  # sysexits.h EX_CONFIG; the unit does not restart on it


class Failure(Exception):  # noqa: N818  it is what the user sees, not a bug
    """What went wrong in one line that names the value, a remedy, and the exit code for it."""

    def __init__(self, message: str, hint: str = "", code: int = EXIT_FAILURE) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message

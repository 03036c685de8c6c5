# SPDX-License-Identifier: GPL-2.0-or-later
"""The pager of a terminal, chosen as systemd's own tools choose it (ENVIRONMENT in journalctl(1))."""

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

_OPTIONS = "FRSXMK"  # of less: quit if it fits, raw colours, chop long lines, leave the screen, end on ^C
_LOGINUID = Path("/proc/self/loginuid")
_NO = {"0", "no", "n", "false", "f", "off"}
_SECURE = "less"  # the only pager that honours LESSSECURE


class Pager(NamedTuple):
    """Commands to try in turn, and the environment that they get."""

    commands: tuple[tuple[str, ...], ...]
    environ: Mapping[str, str]

    def start(self) -> subprocess.Popen[str] | None:
        """The pager with a pipe to it, or None if there is none on this host."""
        for command in self.commands:
            try:
                return subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    env=self.environ,
                    encoding="utf-8",
                    errors="backslashreplace",
                )
            except OSError:
                continue
        return None


def chosen(environ: Mapping[str, str]) -> Pager | None:
    """The pager that this environment asks for; None if it asks for none.

    Who has gained privilege, as by sudo, gets no pager out of an environment of less privilege, and none that
    starts a shell or writes a file.
    """
    wanted = environ.get("SYSTEMD_PAGER", environ.get("PAGER"))
    command = None if wanted is None else tuple(_split(wanted))
    if command in ((), ("cat",)):
        return None
    explicit = environ.get("SYSTEMD_PAGERSECURE")
    secure = _is_elevated(environ) if explicit is None else explicit.lower() not in _NO
    commands = [command] if command and (explicit is not None or not secure) else []
    defaults = (_SECURE,) if secure else ("pager", _SECURE, "more")
    commands += [(name,) for name in defaults if shutil.which(name)]
    return Pager(tuple(commands), _environ(environ, secure=secure))


def _split(text: str) -> Iterator[str]:
    try:
        yield from shlex.split(text)
    except ValueError:  # a quote is open
        yield text


def _environ(environ: Mapping[str, str], *, secure: bool) -> Mapping[str, str]:
    less = {
        "LESS": environ.get("SYSTEMD_LESS", _OPTIONS),
        "LESSCHARSET": environ.get("SYSTEMD_LESSCHARSET", "utf-8"),
    }
    kept = {name: value for name, value in environ.items() if name != "LESSSECURE"}
    return {**kept, **less, **({"LESSSECURE": "1"} if secure else {})}


def _is_elevated(environ: Mapping[str, str]) -> bool:
    """Whether this runs as another user than the one who logged in, or nobody did."""
    if os.geteuid() != os.getuid() or environ.keys() & {"SUDO_UID", "PKEXEC_UID"}:
        return True
    try:
        return int(_LOGINUID.read_text()) != os.geteuid()
    except (OSError, ValueError):  # a kernel without audit
        return True

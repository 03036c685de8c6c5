# SPDX-License-Identifier: GPL-2.0-or-later
"""Points in time and lengths of time, as systemd.time(7) has them: systemd itself reads them.

So everything is a time here that is one to journalctl of the same host.
"""

import os
import re
import subprocess
from datetime import datetime

from execwatchd.shared.errors import EXIT_FAILURE, EXIT_USAGE, Failure

_LAST = 2**63 - 1  # µs; what systemd calls infinity is beyond
_is_moment = re.compile(r"^ *UNIX seconds: @(\d+)(?:\.(\d{6}))?$", re.MULTILINE)
_is_span = re.compile(r"^ *[uμµ]s: (\d+)$", re.MULTILINE)


def parse(text: str) -> int:
    """The point in time that the text names, in µs since the epoch. Raises Failure."""
    micros = _with_offset(text)
    if micros is None and (found := _is_moment.search(_analyzed("timestamp", text))):
        micros = int(found[1] + (found[2] or "000000"))
    if micros is None or not 0 <= micros <= _LAST:
        hint = "such as 2024-01-31 13:00:00, today, yesterday, 1h ago, -15min or @1700000000"
        raise Failure(f"not a point in time: {text}", hint, EXIT_USAGE)
    return micros


def span(text: str) -> int:
    """µs of a length of time such as `10s` or `1h 30min`. Raises ValueError."""
    found = _is_span.search(_analyzed("timespan", text))
    if found is None or int(found[1]) > _LAST:
        raise ValueError(text)
    return int(found[1])


def iso(micros: int) -> str:
    """A point in time, in µs since the epoch, as all JSON has it: in the local time zone, with its offset."""
    return datetime.fromtimestamp(micros / 1e6).astimezone().isoformat(timespec="microseconds")


def _with_offset(text: str) -> int | None:
    """µs of a time with its offset from UTC, as `-o json` prints it: systemd before 254 doesn't read that."""
    try:
        moment = datetime.fromisoformat(text)
        return round(moment.timestamp() * 1e6) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _analyzed(kind: str, text: str) -> str:
    """What systemd-analyze says of the text; empty where it is none of that kind."""
    command: list[str | bytes] = ["systemd-analyze", kind, "--", os.fsencode(text)]
    try:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, "LC_ALL": "C"},
        )
    except OSError as error:
        raise Failure(f"cannot run systemd-analyze: {error.strerror}", code=EXIT_FAILURE) from None
    except ValueError:  # a NUL
        return ""
    return done.stdout

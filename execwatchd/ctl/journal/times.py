# SPDX-License-Identifier: GPL-2.0-or-later
"""Points in time as journalctl takes them (systemd.time(7)), in the local time zone."""

import re
import time as clock
from datetime import UTC, datetime, time, timedelta

from execwatchd.shared.errors import EXIT_USAGE, Failure

_SECOND = 1_000_000
_MINUTE, _HOUR, _DAY = 60 * _SECOND, 3600 * _SECOND, 86400 * _SECOND
_UNITS = {
    **dict.fromkeys(("us", "usec"), 1),
    **dict.fromkeys(("ms", "msec"), 1000),
    **dict.fromkeys(("", "s", "sec", "second", "seconds"), _SECOND),
    **dict.fromkeys(("m", "min", "minute", "minutes"), _MINUTE),
    **dict.fromkeys(("h", "hr", "hour", "hours"), _HOUR),
    **dict.fromkeys(("d", "day", "days"), _DAY),
    **dict.fromkeys(("w", "week", "weeks"), 7 * _DAY),
}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)\s*")
_DAYS = {"yesterday": -1, "today": 0, "tomorrow": 1}
_LAST = 2**63 - 1


def parse(text: str, now: float | None = None) -> int:
    """The point in time that `text` names, in µs since the epoch; `now` is in seconds."""
    try:
        micros = _parse(text.strip(), clock.time() if now is None else now)
    except (ValueError, OverflowError, OSError):
        micros = -1
    if not 0 <= micros <= _LAST:
        hint = "such as 2024-01-31 13:00:00, today, yesterday, 1h ago, -15min or @1700000000"
        raise Failure(f"not a point in time: {text}", hint, EXIT_USAGE)
    return micros


def _parse(spec: str, now: float) -> int:
    if spec == "now":
        return round(now * 1e6)
    if spec.startswith("@"):
        return round(float(spec[1:]) * 1e6)
    if spec in _DAYS:
        return _micros(_day(now) + timedelta(days=_DAYS[spec]))
    if spec.startswith(("-", "+")):
        return round(now * 1e6) + int(spec[0] + "1") * span(spec[1:])
    if spec.endswith(" ago"):
        return round(now * 1e6) - span(spec[: -len(" ago")])
    return _micros(_calendar(spec, now))


def span(text: str) -> int:
    """µs of a length of time such as `10s` or `1h 30min`. Raises ValueError or OverflowError."""
    parts = _PART.findall(text)
    if not parts or _PART.sub("", text).strip() or any(unit not in _UNITS for _, unit in parts):
        raise ValueError(text)
    return round(sum(float(number) * _UNITS[unit] for number, unit in parts))


def _calendar(spec: str, now: float) -> datetime:
    zone = UTC if spec.endswith(" UTC") else None
    text = spec.removesuffix(" UTC")
    if "-" in text:
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo else moment.replace(tzinfo=zone)
    if ":" in text:
        return datetime.combine(datetime.fromtimestamp(now, zone), time.fromisoformat(text), zone)
    raise ValueError(spec)


def _day(now: float) -> datetime:
    return datetime.combine(datetime.fromtimestamp(now), time())


def _micros(moment: datetime) -> int:
    # astimezone() takes a naive moment as local time, with the UTC offset of that day
    return round(moment.astimezone().timestamp() * 1e6)

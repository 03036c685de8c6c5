# SPDX-License-Identifier: GPL-2.0-or-later
"""Points in time as a line shows them: no longer than it must be, and such that `--since` takes it back."""

from datetime import date, datetime


def today() -> date:
    """The date here and now."""
    return datetime.now().astimezone().date()


def moment(time: datetime, *, dated: bool) -> str:
    """Time of day, with `dated` or if it isn't of today with the date, and with the year if it isn't this."""
    now = today()
    if time.year != now.year:
        return f"{time:%Y-%m-%d %H:%M:%S}"
    return f"{time:%b %d %H:%M:%S}" if dated or time.date() != now else f"{time:%H:%M:%S}"

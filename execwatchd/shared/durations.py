# SPDX-License-Identifier: GPL-2.0-or-later
"""How long something took, as a reader wants it."""

_UNITS = ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))


def duration(micros: int) -> str:
    """Two or three digits: `5.34 ms`, `12.3 s`, `3 min 20 s`, `2 d 4 h`."""
    if micros < 999_500:
        return f"{micros / 1000:.3g} ms"
    if micros < 59_950_000:
        return f"{micros / 1e6:.1f} s"
    seconds = round(micros / 1e6)
    size, unit, smaller, name = next(one for one in _UNITS if seconds >= one[0])
    return f"{seconds // size} {unit} {seconds % size // smaller} {name}"

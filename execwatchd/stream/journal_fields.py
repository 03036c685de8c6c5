# SPDX-License-Identifier: GPL-2.0-or-later
"""Fields of a journal entry in journald's native protocol (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/).

A field is the line `KEY=value`; where the value has a newline, it is the line `KEY`, the value's length as 64
bits in little-endian order, the value, and a newline.
"""

import struct
from collections.abc import Mapping

# What all entries on execs have. Facility 10 is authpriv, where syslog's files have records of this kind.
HEADING = b"SYSLOG_IDENTIFIER=execwatchd\nSYSLOG_FACILITY=10\nPRIORITY=6\n"
_DAEMON = 3  # the facility of the daemon's own log


def line(key: bytes, value: bytes) -> bytes:
    """One field of any name."""
    if b"\n" in value:
        return b"%b\n%b%b\n" % (key, struct.pack("<Q", len(value)), value)
    return b"%b=%b\n" % (key, value)


def field(name: bytes, value: bytes) -> bytes:
    """An EXECWATCH_ field; `name` is without the prefix."""
    return line(b"EXECWATCH_" + name, value)


def string(padded: bytes) -> bytes:
    """A string of the kernel, without the NULs that it is padded with."""
    return padded.partition(b"\0")[0]


def log_entry(priority: int, text: str, fields: Mapping[str, str | int]) -> bytes:
    """A whole entry of the daemon's log. `priority`: as in syslog(3)."""
    lines = [line(b"MESSAGE", text.encode(errors="backslashreplace")), b"SYSLOG_IDENTIFIER=execwatchd\n"]
    lines.append(b"SYSLOG_FACILITY=%d\nPRIORITY=%d\n" % (_DAEMON, priority))
    lines += [
        line(key.encode(), str(value).encode(errors="backslashreplace")) for key, value in fields.items()
    ]
    return b"".join(lines)

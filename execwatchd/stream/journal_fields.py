# SPDX-License-Identifier: GPL-2.0-or-later
"""journald's native protocol (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/): an entry as lines of a datagram.

`KEY=value`, or the key, the length as 64 bits little-endian and the value where it has a newline.
"""

import struct
from collections.abc import Mapping


def line(key: bytes, value: bytes) -> bytes:
    """One field."""
    if b"\n" in value:
        return b"%b\n%b%b\n" % (key, struct.pack("<Q", len(value)), value)
    return b"%b=%b\n" % (key, value)


def field(name: bytes, value: bytes) -> bytes:
    """One of our own fields, by its name without the prefix."""
    return line(b"EXECWATCH_" + name, value)


def string(padded: bytes) -> bytes:
    """What a string of the kernel's has before its NUL."""
    return padded.partition(b"\0")[0]


def log_entry(priority: int, text: str, fields: Mapping[str, str | int]) -> bytes:
    """An entry of the daemon's own log. `priority` as in syslog(3)."""
    lines = [line(b"MESSAGE", text.encode(errors="backslashreplace")), b"SYSLOG_IDENTIFIER=execwatchd\n"]
    lines.append(b"PRIORITY=%d\n" % priority)
    lines += [
        line(key.encode(), str(value).encode(errors="backslashreplace")) for key, value in fields.items()
    ]
    return b"".join(lines)

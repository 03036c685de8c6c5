# SPDX-License-Identifier: GPL-2.0-or-later
"""Records as the kernel side sends them, of any schema, without a kernel."""

from collections.abc import Mapping

from execwatchd.kernel import layout

PARTS = ("filename", "interp", "cgroup", "argv", "cwd", "ancestors", "exec_id", "end")
Value = int | bytes

# one of an ordinary exec: `ls -la` by UID 501 from bash in a terminal of a session
ORDINARY: dict[str, Value] = {
    "timestamp": 123_456_789_012,
    "flags": int(layout.Flag.HAS_COMM | layout.Flag.HAS_CGROUP),
    "result": 0,
    "pid": 37926,
    "ppid": 4000,
    "uid": 501,
    "euid": 501,
    "gid": 20,
    "loginuid": 501,
    "session": 3,
    "argc": 2,
    "argv_total": 7,
    "pidns": 4026531836,
    "mntns": 4026531841,
    "nspid": 0,
    "comm": b"bash",
    "new_comm": b"ls",
    "parent_comm": b"sshd",
    "tty": b"pts7",
    "message": b"Hi user 501!",
    "exec_id": b"",
    "end": b"",
    "filename": b"/usr/bin/ls\0",
    "interp": b"",
    "argv": b"ls\0-la\0",
    "cgroup": b"session-3.scope\0user-501.slice\0user.slice\0",
    "cwd": b"",
    "ancestors": b"",
}


def values(**changed: Value) -> dict[str, Value]:
    """ORDINARY with some members changed."""
    assert changed.keys() <= ORDINARY.keys()
    return {**ORDINARY, **changed}


def pack(record: Mapping[str, Value], schema: str = layout.SCHEMA) -> bytes:
    """The bytes of a record; members of a foreign schema that `record` lacks are 0 or empty."""
    names = [field.partition(":")[0] for field in schema.split()]
    parts = [name.removesuffix("_len") for name in names if name.endswith("_len")]
    data = [record.get(part, b"") for part in parts]
    lengths = dict(zip((f"{part}_len" for part in parts), map(_length, data), strict=True))
    codes = [field.partition(":")[2] for field in schema.split()]
    empty = [b"" if code.endswith("s") else 0 for code in codes]
    head = [{**lengths, **record}.get(name, none) for name, none in zip(names, empty, strict=True)]
    return layout.record_head(schema).pack(*head) + b"".join(map(_bytes, data))


def _bytes(value: Value) -> bytes:
    assert isinstance(value, bytes)
    return value


def _length(value: Value) -> int:
    return len(_bytes(value))

# SPDX-License-Identifier: GPL-2.0-or-later
"""Records as the kernel side sends them, of any schema, without a kernel."""

from collections.abc import Mapping

from execwatchd.kernel import layout

PARTS = ("filename", "interp", "cgroup", "exe", "parent_exe", "argv", "cwd", "ancestors", "end")
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
    "exec_id": layout.EXEC_ID.pack(900_000_000, 3),
    "parent_id": layout.EXEC_ID.pack(800_000_000, 2),
    "parent_pid": 4000,
    "exe_device": 254 << 20 | 1,
    "exe_mode": 0o100755,
    "exe_uid": 0,
    "exe_gid": 0,
    "exe_inode": 5001,
    "exe_ctime": 1_700_000_000_123_456_789,
    "caps": 0,
    "end": b"",
    "filename": b"/usr/bin/ls\0",
    "interp": b"",
    "argv": b"ls\0-la\0",
    "cgroup": b"session-3.scope\0user-501.slice\0user.slice\0",
    "exe": b"ls\0bin\0usr\0",
    "parent_exe": b"sshd\0sbin\0usr\0",
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

# SPDX-License-Identifier: GPL-2.0-or-later
"""Decodes records: struct record of bpf/execwatch.h, of this version or of an earlier one."""

import struct
from operator import itemgetter
from typing import NamedTuple

from execwatchd.kernel import layout

REDACTED = 1 << 31  # in `flags`, which the kernel doesn't use: something in argv was replaced


class MalformedError(ValueError):
    """The bytes are not a record of this layout."""


class Record(NamedTuple):
    """One exec, or the end of a process where `end` has something (layout.END).

    Strings are raw bytes; ids as in struct record; `result` 0 or the negative errno.

    `exec_id`: layout.EXEC_ID; layout.NO_EXEC where there is none. `parent_id`: the same, of the exec in
    process `parent_pid`. `argv`: each argument ended by NUL. `cgroup`, `exe`, `parent_exe`, `cwd`: components
    from the leaf up, each ended by NUL. `ancestors`: layout.ANCESTOR each, the parent first.
    """

    message: bytes
    tty: bytes
    comm: bytes
    new_comm: bytes
    parent_comm: bytes
    flags: int
    result: int
    uid: int
    euid: int
    gid: int
    loginuid: int
    session: int
    pidns: int
    mntns: int
    exe_device: int
    exe_mode: int
    exe_uid: int
    exe_gid: int
    exe_inode: int
    exe_ctime: int
    caps: int
    timestamp: int
    exec_id: bytes
    parent_id: bytes
    parent_pid: int
    pid: int
    ppid: int
    nspid: int
    argc: int
    argv_total: int
    filename: bytes
    interp: bytes
    cgroup: bytes
    exe: bytes
    parent_exe: bytes
    argv: bytes
    cwd: bytes
    ancestors: bytes
    end: bytes


_PARTS = ("filename", "interp", "cgroup", "exe", "parent_exe", "argv", "cwd", "ancestors", "end")
# The value of a member that an earlier layout lacks, where it isn't 0.
_ABSENT: dict[str, int | bytes] = {
    "loginuid": layout.NO_ID,
    "session": layout.NO_ID,
    **dict.fromkeys(("comm", "new_comm", "parent_comm", "tty", "message"), b"\0"),
    **dict.fromkeys(_PARTS, b""),
    **dict.fromkeys(("exec_id", "parent_id"), layout.NO_EXEC),
}


class Decoder:
    """Decodes records of one schema. Raises ValueError for a schema that this version can't read."""

    def __init__(self, schema: str = layout.SCHEMA) -> None:
        self._head = layout.record_head(schema)
        names = [field.partition(":")[0] for field in schema.split()]
        self._parts = [name.removesuffix("_len") for name in names if name.endswith("_len")]
        missing = [name for name in Record._fields if name not in (*names, *self._parts)]
        if {"pid", "filename", "argv"} & set(missing):
            raise ValueError(f"no schema of a record: {schema[:80]!r}")
        self._lengths = itemgetter(*(i for i, name in enumerate(names) if name.endswith("_len")))
        self._absent = tuple(_ABSENT.get(name, 0) for name in missing)
        order = [*names, *self._parts, *missing]
        self._pick = itemgetter(*(order.index(name) for name in Record._fields))

    def __call__(self, data: bytes) -> Record:
        """Raises MalformedError."""
        try:
            values = self._head.unpack_from(data)
        except struct.error:
            raise MalformedError(f"{len(data)} bytes are too few for a record") from None
        at = self._head.size
        parts = []
        for length in self._lengths(values):
            if length:  # most parts are empty
                parts.append(data[at : at + length])
                at += length
            else:
                parts.append(b"")
        if len(data) < at:
            raise MalformedError(f"{len(data)} bytes, of which the record's parts have {at}")
        return Record._make(self._pick((*values, *parts, *self._absent)))

# SPDX-License-Identifier: GPL-2.0-or-later
"""The bytes of a record to the datagram of its entry.

Most execs differ from an earlier one in a dozen numbers and their arguments. Their entry is assembled from
the record's bytes and from pieces that an earlier entry left in a cache: the short way. All others go the
long way: the record is decoded (decode.py) and written field by field (exec_entry.py, end_entry.py). Both
give the same datagram.
"""

import sys
from functools import lru_cache

from execwatchd.kernel import layout
from execwatchd.redaction.redactor import Redactor
from execwatchd.shared.visible import has_right_to_left
from execwatchd.stream import end_entry, exec_entry
from execwatchd.stream.arguments import argv_field, command_line
from execwatchd.stream.decode import REDACTED, Decoder, Record
from execwatchd.stream.exec_entry import ID, exec_id
from execwatchd.stream.parents import NoParents, Parents, parent_field

_numbers = layout.members(
    "filename_len", "interp_len", "cgroup_len", "exe_len", "parent_exe_len", "timestamp", "exec_id",
    "parent_id", "parent_pid", "argv_len", "cwd_len", "ancestors_len", "end_len", "pid", "ppid", "nspid",
)  # fmt: skip
_SIZE = _numbers.size
_COMMON = layout.record_head(layout.SCHEMA[: layout.SCHEMA.index("timestamp")]).size
_CWD_FLAGS = int(layout.Flag.HAS_CWD | layout.Flag.CWD_UNREACHABLE | layout.Flag.CWD_DELETED)
# The caches hold 3 MiB at most, whatever is executed. They pay since scripts and checks repeat themselves.
_REMEMBERED = 512  # entries of each cache
_SHORT = 256  # bytes of arguments
_PATHS_SIZE = 1024  # bytes of filename, interp, cgroup, exe and parent_exe
_SOME_EXEC = layout.EXEC_ID.pack(1, 1)


class _LongWayError(Exception):
    """These arguments need the long way: their command line has a remark, or they may have a secret."""


class Encoder:
    """Encodes records of one schema. Raises ValueError for a schema that this version can't read.

    `host_mntns`: the mount namespace that an entry leaves out, as the attach entry has it.
    """

    def __init__(self, schema: str = layout.SCHEMA, host_mntns: int = 0) -> None:
        self._decode = Decoder(schema)
        self._host_mntns = host_mntns
        self._common = lru_cache(maxsize=_REMEMBERED)(self._shared_pieces)
        # The short way knows the current schema only: a record of another is never long enough for it.
        self._least = _SIZE if schema == layout.SCHEMA else sys.maxsize
        self.redact_with(None)
        self.remember_in(NoParents())

    def remember_in(self, parents: Parents) -> None:
        """Where command lines are kept for the entries of children, and looked for."""
        self._remember, self._remembered = parents.remember, parents.remembered

    def redact_with(self, redact: Redactor | None) -> None:
        """Use this redactor from here on; None: write arguments as they are."""
        suspects = redact.suspects if redact else _no_secret

        def arguments(argv: bytes) -> tuple[bytes, bytes, bytes]:
            """Command line, field, and the field for children. An exception isn't cached: no possible secret
            stays in memory.
            """
            if suspects(argv) or not (argv.isascii() or _left_to_right(argv)):
                raise _LongWayError
            line, is_cut = command_line(argv)
            if is_cut:
                raise _LongWayError
            return line, argv_field(argv), parent_field(line)

        self._redact = redact
        self._arguments, self._cached_arguments = arguments, lru_cache(maxsize=_REMEMBERED)(arguments)

    def __call__(self, data: bytes) -> bytes:
        """Raises MalformedError."""
        if len(data) < self._least:
            return self._long_way(data)
        (
            filename_len, interp_len, cgroup_len, exe_len, parent_exe_len, timestamp, start, execs,
            parent_start, parent_execs, parent_pid, argv_len, cwd_len, ancestors_len, end_len,
            pid, ppid, nspid,
        ) = _numbers.unpack_from(data)  # fmt: skip
        at = _SIZE + filename_len + interp_len + cgroup_len + exe_len + parent_exe_len
        end = at + argv_len
        argv = data[at:end]
        try:
            line, field, field_of_children = (
                self._cached_arguments if argv_len <= _SHORT else self._arguments
            )(argv)
        except _LongWayError:
            line = b""
        if (
            not line
            or end_len
            or not parent_pid
            or at > _SIZE + _PATHS_SIZE
            or len(data) < end + cwd_len + ancestors_len
        ):
            return self._long_way(data)
        pieces = self._common(data[:_COMMON] + data[_SIZE:at])
        if not pieces:
            return self._long_way(data)
        form, introduction, remark, common, cwd_flags = pieces
        extras = b""
        if nspid or ancestors_len or cwd_flags:
            cwd_end = end + cwd_len
            extras = exec_entry.extras(
                nspid, cwd_flags, cwd=data[end:cwd_end], ancestors=data[cwd_end : cwd_end + ancestors_len]
            )
        own_id, parent_id = ID % (pid, start, execs), ID % (parent_pid, parent_start, parent_execs)
        self._remember(own_id, field_of_children)
        return form % (
            pid, introduction, line, remark, pid, ppid, timestamp, own_id, parent_id, line, field,
            self._remembered(parent_id, b""), extras, common,
        )  # fmt: skip

    def _long_way(self, data: bytes) -> bytes:
        record = self.record(data)
        if record.end:
            return end_entry.encode(record)
        command, is_cut = command_line(record.argv or record.filename)
        if record.argv:
            self._remember(exec_id(record.pid, record.exec_id), parent_field(command, is_cut=is_cut))
        parent_line = self._remembered(exec_id(record.parent_pid, record.parent_id), b"")
        return exec_entry.written(record, command, is_cut=is_cut, parent_line=parent_line)

    def record(self, data: bytes) -> Record:
        """The decoded record without its secrets. Raises MalformedError."""
        record = self._decoded(data)
        return redacted(record, self._redact) if self._redact else record

    def _decoded(self, data: bytes) -> Record:
        """Without the host's mount namespace."""
        record = self._decode(data)
        return record._replace(mntns=0) if record.mntns == self._host_mntns else record

    def _shared_pieces(self, shared: bytes) -> tuple[bytes, bytes, bytes, bytes, int] | None:
        """What all entries with these parts of their record share: form, introduction, remark, fields, and
        the flags that concern the working directory. None: they need the long way.
        """
        record = self._decoded(shared[:_COMMON] + bytes(_SIZE - _COMMON) + shared[_COMMON:])
        if not exec_entry.is_usual(record):
            return None
        return (
            exec_entry.form(record._replace(exec_id=_SOME_EXEC, parent_pid=1)),
            exec_entry.introduction(record),
            exec_entry.remark(record._replace(argv=b"\0")),  # there are arguments, which need no remark
            exec_entry.common(record),
            record.flags & _CWD_FLAGS,
        )


def _no_secret(_argv: bytes) -> bool:
    return False


def _left_to_right(argv: bytes) -> bool:
    return not has_right_to_left(argv.decode(errors="replace"))


def redacted(record: Record, redactor: Redactor) -> Record:
    """The same record if it has no secrets."""
    argv = record.argv
    if not redactor.suspects(argv):
        return record
    clean = redactor.clean(argv)
    return record if clean == argv else record._replace(argv=clean, flags=record.flags | REDACTED)

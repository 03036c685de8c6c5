# SPDX-License-Identifier: GPL-2.0-or-later
"""A record as the datagram of one journal entry.

The format is systemd's native journal protocol (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/): `KEY=value`
lines, or the key, the length as 64 bits little-endian and the value where it has a newline.
"""

import errno
import os
import re
import struct
from collections.abc import Mapping
from functools import lru_cache

from execwatchd.kernel.layout import ANCESTOR, NO_ID, Flag
from execwatchd.kinds import Kind
from execwatchd.stream import cgroup, quoting
from execwatchd.stream.decode import Record

_TAIL = b"SYSLOG_IDENTIFIER=execwatchd\nPRIORITY=6\nMESSAGE_ID="
_KIND = {
    ok: _TAIL + kind.value.encode() + b"\n" for ok, kind in ((True, Kind.EXEC), (False, Kind.EXEC_FAILED))
}
_TRUNCATED: dict[int, bytes] = {
    int(Flag.TRUNCATED_FILENAME): b"filename",
    int(Flag.TRUNCATED_ARGV): b"argv",
    int(Flag.TRUNCATED_CGROUP): b"cgroup",
    int(Flag.TRUNCATED_CWD): b"cwd",
}
_ANY_TRUNCATED = sum(_TRUNCATED)
# as plain integers: an operation on an IntFlag costs a microsecond
_HAS_COMM, _HAS_CGROUP, _HAS_CWD = int(Flag.HAS_COMM), int(Flag.HAS_CGROUP), int(Flag.HAS_CWD)
_CUT_ARGV, _UNREACHABLE = int(Flag.TRUNCATED_ARGV), int(Flag.CWD_UNREACHABLE)
_NO_UNIT = int(Flag.CGROUP_OUTSIDE | Flag.TRUNCATED_CGROUP)
_PTS = re.compile(rb"pts([0-9]+)").fullmatch


def message(record: Record) -> str:
    """`<pid> <uid> <caller's comm> <message>: <command line>`, on one line whatever the parts contain."""
    return _message(record, quoting.shell(record.argv))


def _message(record: Record, cmdline: str) -> str:
    comm = _escaped_comm(record.comm) if record.flags & _HAS_COMM else "?"
    text = f"{record.pid} {record.uid} {comm} {_user_text(record.message)}: "
    text += cmdline or quoting.shell(record.filename)
    if record.flags & _CUT_ARGV:
        text += f" # cut, {_missing(record)}"
    if record.result:
        text += f" # {_errno_name(record.result)}"
    return text


def _missing(record: Record) -> str:
    if record.result:
        return "as far as it could be read"
    return f"{record.argc} arguments of {record.argv_total} bytes"


def encode(record: Record) -> bytes:
    """The datagram of this exec's entry, every field of the contract that has a value."""
    r = record
    cmdline = quoting.shell(r.argv)
    fields = [
        b"MESSAGE=%b\n" % _message(r, cmdline).encode(),
        _KIND[r.result == 0],
        b"EXECWATCH_PID=%d\nEXECWATCH_PPID=%d\nEXECWATCH_UID=%d\nEXECWATCH_EUID=%d\nEXECWATCH_GID=%d\n"
        b"EXECWATCH_RESULT=%d\nEXECWATCH_TIMESTAMP=%d\n"
        % (r.pid, r.ppid, r.uid, r.euid, r.gid, r.result, r.timestamp),
        _field(b"PARENT_COMM", _string(r.parent_comm)),
        _field(b"FILENAME", r.filename[:-1]) if r.filename else b"",
        _field(b"ARGV", r.argv),
        b"EXECWATCH_CMDLINE=%b\n" % cmdline.encode(),
        _field(b"MESSAGE", _string(r.message)),
        _ids(r.loginuid, r.session, r.pidns, r.mntns, r.nspid),
        _where(r.cgroup, r.flags),
    ]
    if r.flags & _HAS_COMM:
        fields.append(_field(b"COMM", _string(r.comm)))
    if r.interp:
        fields.append(_field(b"INTERP", r.interp[:-1]))
    if r.tty[0]:
        fields.append(_field(b"TTY", _tty(_string(r.tty))))
    if r.ancestors:
        fields.append(_ancestors(r.ancestors))
    if r.flags & _HAS_CWD:
        fields.append(_field(b"CWD", _cwd(r)))
    fields.append(_outcome(r))
    return b"".join(fields)


def _outcome(r: Record) -> bytes:
    """What differs between an exec that succeeded and one that failed; what was cut."""
    cut = r.flags & _ANY_TRUNCATED
    fields = [_field(b"NEW_COMM", _string(r.new_comm))] if not r.result else []
    if not (r.result and cut & _CUT_ARGV):  # else it could not be counted
        fields.append(b"EXECWATCH_ARGC=%d\n" % r.argc)
    if r.result:
        fields.append(b"EXECWATCH_ERRNO=%b\n" % _errno_name(r.result).encode())
    if cut:
        names = b" ".join(name for flag, name in _TRUNCATED.items() if cut & flag)
        fields.append(b"EXECWATCH_TRUNCATED=%b\n" % names)
        if cut & _CUT_ARGV and not r.result:
            fields.append(b"EXECWATCH_ARGV_BYTES=%d\n" % r.argv_total)
    return b"".join(fields)


def log_entry(priority: int, text: str, fields: Mapping[str, str | int]) -> bytes:
    """An entry of the daemon's own log. `priority` as in syslog(3)."""
    lines = [_line(b"MESSAGE", text.encode(errors="backslashreplace")), b"SYSLOG_IDENTIFIER=execwatchd\n"]
    lines.append(b"PRIORITY=%d\n" % priority)
    lines += [
        _line(key.encode(), str(value).encode(errors="backslashreplace")) for key, value in fields.items()
    ]
    return b"".join(lines)


def _field(name: bytes, value: bytes) -> bytes:
    return _line(b"EXECWATCH_" + name, value)


def _line(key: bytes, value: bytes) -> bytes:
    if b"\n" in value:
        return b"%b\n%b%b\n" % (key, struct.pack("<Q", len(value)), value)
    return b"%b=%b\n" % (key, value)


def _string(padded: bytes) -> bytes:
    return padded.partition(b"\0")[0]


def _tty(name: bytes) -> bytes:
    """The device below /dev: the kernel calls /dev/pts/0 pts0."""
    match = _PTS(name)
    return b"pts/" + match[1] if match else name


def _cwd(record: Record) -> bytes:
    unreachable = b"(unreachable)" if record.flags & _UNREACHABLE else b""
    return unreachable + cgroup.path(record.cwd)


@lru_cache(maxsize=1024)
def _escaped_comm(comm: bytes) -> str:
    return quoting.escape(_string(comm))


@lru_cache(maxsize=1024)
def _user_text(padded: bytes) -> str:
    """The message of the map; values that the daemon did not write could have anything in them."""
    text = _string(padded).decode(errors="surrogateescape")
    return "".join(c if c.isprintable() else quoting.escape(c.encode(errors="surrogateescape")) for c in text)


@lru_cache(maxsize=1024)
def _ids(loginuid: int, session: int, pidns: int, mntns: int, nspid: int) -> bytes:
    values = {
        b"LOGINUID": None if loginuid == NO_ID else loginuid,
        b"SESSION": None if session == NO_ID else session,
        b"PIDNS": pidns or None,
        b"MNTNS": mntns or None,
        b"NSPID": nspid or None,
    }
    return b"".join(
        b"EXECWATCH_%b=%d\n" % (name, value) for name, value in values.items() if value is not None
    )


@lru_cache(maxsize=1024)
def _where(components: bytes, flags: int) -> bytes:
    """A path above the daemon's own cgroup namespace is not of the systemd that it runs under: no unit."""
    if not flags & _HAS_CGROUP:
        return b""
    path = cgroup.path(components)
    if flags & _NO_UNIT:
        return _field(b"CGROUP", path)
    place = cgroup.place(path)
    fields = [_field(b"CGROUP", path)]
    if place.unit:
        fields += [_field(b"UNIT", place.unit), _line(b"OBJECT_SYSTEMD_UNIT", place.unit)]
    if place.user_unit:
        fields.append(_field(b"USER_UNIT", place.user_unit))
    if place.container:
        fields.append(_field(b"CONTAINER", place.container))
    return b"".join(fields)


@lru_cache(maxsize=1024)
def _ancestors(chain: bytes) -> bytes:
    """`pid:comm` of each, the parent first."""
    words = (f"{pid}:{quoting.escape(_string(comm))}" for pid, comm in ANCESTOR.iter_unpack(chain))
    return _field(b"ANCESTORS", " ".join(words).encode())


def _errno_name(result: int) -> str:
    return errno.errorcode.get(-result) or os.strerror(-result)

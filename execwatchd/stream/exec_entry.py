# SPDX-License-Identifier: GPL-2.0-or-later
"""An exec as the datagram of one journal entry."""

import errno
import os
import re
from functools import lru_cache

from execwatchd.kernel.layout import ANCESTOR, EXEC_ID, HOST_PIDNS, NO_EXEC, NO_ID, Flag
from execwatchd.shared import quoting
from execwatchd.shared.message_ids import MessageId
from execwatchd.shared.visible import has_right_to_left
from execwatchd.stream import cgroup, executable
from execwatchd.stream.arguments import argv_field, command_line
from execwatchd.stream.decode import REDACTED, Record
from execwatchd.stream.journal_fields import HEADING, field, line, string

_TAIL = HEADING + b"MESSAGE_ID="
_CUT_CMDLINE = 1 << 30  # in `flags`, which the kernel doesn't use: CMDLINE is cut, and may be ARGV is not
_TRUNCATED: dict[int, bytes] = {
    int(Flag.TRUNCATED_FILENAME): b"filename",
    int(Flag.TRUNCATED_ARGV): b"argv",
    int(Flag.TRUNCATED_CGROUP): b"cgroup",
    int(Flag.TRUNCATED_CWD): b"cwd",
    int(Flag.TRUNCATED_EXE): b"exe",
    int(Flag.TRUNCATED_PARENT_EXE): b"parent_exe",
    _CUT_CMDLINE: b"cmdline",
}
_UNUSUAL = sum(_TRUNCATED) | REDACTED
_GAINED: dict[int, bytes] = {
    int(Flag.GAINED_EUID): b"euid",
    int(Flag.GAINED_EGID): b"egid",
    int(Flag.GAINED_CAPS): b"caps",
}
_ANY_GAIN = sum(_GAINED)
# Plain integers, since an operation on an IntFlag costs a microsecond.
_HAS_COMM, _HAS_CGROUP, _HAS_CWD = int(Flag.HAS_COMM), int(Flag.HAS_CGROUP), int(Flag.HAS_CWD)
_BY_KERNEL, _CUT_ARGV, _CUT_CGROUP = int(Flag.BY_KERNEL), int(Flag.TRUNCATED_ARGV), int(Flag.TRUNCATED_CGROUP)
_NO_UNIT = int(Flag.CGROUP_OUTSIDE) | _CUT_CGROUP
_WHERE = _HAS_CGROUP | _NO_UNIT
_CACHED_PATHS = 256  # entries of a cache; a path may be 4 KiB long
# An exec, unique on its boot: its process, when that was made, and the kernel's count of execs. Each program
# that sees the exec gives it the same one.
ID = b"%d-%d-%d"
# Its values: pid, introduction, command line or filename, remark; pid, ppid, timestamp, its ID and the
# parent's; command line with its remark where it is cut; the field of argv, the parent's command line as a
# field, `extras`, `common`.
_ENTRY = (
    b"MESSAGE=%d%b%b%b\nEXECWATCH_PID=%d\nEXECWATCH_PPID=%d\nEXECWATCH_TIMESTAMP=%d\n"
    b"EXECWATCH_EXEC_ID=%b\nEXECWATCH_PARENT_ID=%b\nEXECWATCH_CMDLINE=%b\n%b%b%b%b"
)
_NOTHING = b"%.0b"  # takes a value and writes none of it
_PTS = re.compile(rb"pts([0-9]+)").fullmatch


def message(record: Record) -> str:
    """`<pid> <uid> <caller's comm> <message>: <command line>`, on one line whatever the parts contain."""
    command, is_cut = command_line(record.argv or record.filename)
    return (b"%d%b%b%b" % (record.pid, introduction(record), command, remark(record, is_cut=is_cut))).decode()


def introduction(r: Record) -> bytes:
    """The part of MESSAGE between pid and command line."""
    return _introduction(r.uid, r.comm, r.flags & _HAS_COMM, r.message)


def remark(r: Record, *, is_cut: bool = False) -> bytes:
    """What a reader must know about the command line, as a shell comment behind it. `is_cut`: it is, though
    argv is perhaps not.
    """
    text = _cut_remark(r, is_cut=is_cut)
    shown = b"\0".join((string(r.comm), string(r.message), r.argv or r.filename))  # no character is in two
    if not shown.isascii() and has_right_to_left(shown.decode(errors="replace")):
        text += " # right-to-left"  # a terminal may show the line in another order
    return (f"{text} # {_errno_name(r.result)}" if r.result else text).encode()


def _cut_remark(r: Record, *, is_cut: bool) -> str:
    if r.flags & _CUT_ARGV:
        missing = "as far as it could be read" if r.result else f"{r.argc} arguments of {r.argv_total} bytes"
        return f" # cut, {missing}"
    if not is_cut:
        return ""
    return f" # cut, {r.argc} arguments of {len(r.argv)} bytes" if r.argv else " # cut"


def form(r: Record) -> bytes:
    """What the values of an entry are put into. A failed exec has no id, nor has one of an earlier layout."""
    entry = _ENTRY
    if r.result or r.exec_id == NO_EXEC:
        entry = entry.replace(b"EXECWATCH_EXEC_ID=%b\n", _NOTHING)
    return entry if r.parent_pid else entry.replace(b"EXECWATCH_PARENT_ID=%b\n", _NOTHING)


def encode(r: Record) -> bytes:
    """The datagram of this exec's entry, with every field that has a value that isn't the usual one."""
    command, is_cut = command_line(r.argv or r.filename)
    return written(r, command, is_cut=is_cut)


def written(r: Record, command: bytes, *, is_cut: bool, parent_line: bytes = b"") -> bytes:
    """The same. `command`, `is_cut`: command_line() of its arguments, or of its filename where it has none.
    `parent_line`: the field with the parent's command line, if that is remembered.
    """
    line = command if r.argv else b""
    if is_cut and r.argv:
        r = r._replace(flags=r.flags | _CUT_CMDLINE)
    return form(r) % (
        r.pid, introduction(r), command, remark(r, is_cut=is_cut), r.pid, r.ppid, r.timestamp,
        exec_id(r.pid, r.exec_id), exec_id(r.parent_pid, r.parent_id),
        line + _cut_remark(r, is_cut=is_cut).encode(), argv_field(r.argv), parent_line,
        extras(r.nspid, r.flags, cwd=r.cwd, ancestors=r.ancestors), common(r),
    )  # fmt: skip


def common(r: Record) -> bytes:
    """The fields that many execs share, since nine of ten come from the same few programs and users."""
    return b"".join([
        _who(r.result, r.uid, r.euid, r.gid, r.loginuid, r.session, r.pidns, r.mntns, r.tty, r.message),
        _names(r.comm if r.flags & _HAS_COMM else None, r.new_comm, r.parent_comm, r.result),
        executable.executable(r),
        _privilege(r) if r.caps or r.flags & _ANY_GAIN else b"",
        where(r.cgroup, r.flags),
        b"EXECWATCH_BY_KERNEL=1\n" if r.flags & _BY_KERNEL else b"",
        _unusual(r) if r.flags & _UNUSUAL else b"",
    ])  # fmt: skip


def extras(nspid: int, flags: int, *, cwd: bytes, ancestors: bytes) -> bytes:
    """The fields that few execs have, or that an option adds."""
    parts = []
    if nspid:
        parts.append(b"EXECWATCH_NSPID=%d\n" % nspid)
    if ancestors:
        parts.append(_ancestors(ancestors))
    if flags & _HAS_CWD:
        parts.append(field(b"CWD", executable.directory(cwd, flags)))
    return b"".join(parts)


def is_usual(r: Record) -> bool:
    """Whether nothing was cut or redacted. Its argv must be checked apart."""
    return not r.flags & _UNUSUAL


def _privilege(r: Record) -> bytes:
    gained = b" ".join(name for flag, name in _GAINED.items() if r.flags & flag)
    caps = b"EXECWATCH_CAPS=%x\n" % r.caps if r.caps else b""
    return (b"EXECWATCH_GAINED=%b\n" % gained if gained else b"") + caps


def _unusual(r: Record) -> bytes:
    redacted = b"EXECWATCH_REDACTED=1\n" if r.flags & REDACTED else b""
    is_counted = r.flags & _CUT_ARGV and not r.result
    counts = b"EXECWATCH_ARGC=%d\nEXECWATCH_ARGV_BYTES=%d\n" % (r.argc, r.argv_total) if is_counted else b""
    return redacted + truncated(r.flags) + counts


def truncated(flags: int) -> bytes:
    """The field that names what is cut, or nothing. `flags`: the record's."""
    names = b" ".join(name for flag, name in _TRUNCATED.items() if flags & flag)
    return b"EXECWATCH_TRUNCATED=%b\n" % names if names else b""


def exec_id(pid: int, identity: bytes) -> bytes:
    """As ID has it. `identity`: Record.exec_id or Record.parent_id."""
    return ID % (pid, *EXEC_ID.unpack(identity))


def pid_namespace(number: int) -> int | None:
    """The namespace's number, unless it is unknown or the host's."""
    return None if number in {0, HOST_PIDNS} else number


def terminal(name: bytes) -> bytes:
    """The device's path below /dev. The kernel's name of /dev/pts/0 is pts0."""
    match = _PTS(name)
    return b"pts/" + match[1] if match else name


@lru_cache(maxsize=1024)
def _introduction(uid: int, comm: bytes, has_comm: int, text: bytes) -> bytes:
    name = quoting.escape(string(comm)) if has_comm else "?"
    return f" {uid} {name} {_user_text(text)}: ".encode()


def _user_text(padded: bytes) -> str:
    """The message as printable text. A value that another program put into the map may have any bytes."""
    return quoting.escape_invisible(string(padded).decode(errors="surrogateescape"))


@lru_cache(maxsize=1024)
def _who(  # noqa: PLR0917  its arguments are the key of the cache
    result: int, uid: int, euid: int, gid: int, loginuid: int, session: int, pidns: int, mntns: int,
    tty: bytes, text: bytes,
) -> bytes:  # fmt: skip
    """The kind of entry, and the fields that its process shares with many others."""
    values: dict[bytes, int | bytes | None] = {
        b"RESULT": result or None,
        b"UID": uid,
        b"EUID": euid,
        b"GID": gid,
        b"LOGINUID": None if loginuid == NO_ID else loginuid,
        b"SESSION": None if session == NO_ID else session,
        b"PIDNS": pid_namespace(pidns),
        b"MNTNS": mntns or None,
        b"TTY": terminal(string(tty)) or None,
        b"MESSAGE": string(text),
        b"ERRNO": _errno_name(result).encode() if result else None,
    }
    kind = MessageId.EXEC_FAILED if result else MessageId.EXEC
    fields = [
        field(name, value if isinstance(value, bytes) else b"%d" % value)
        for name, value in values.items()
        if value is not None
    ]
    return _TAIL + kind.value.encode() + b"\n" + b"".join(fields)


@lru_cache(maxsize=1024)
def _names(comm: bytes | None, new_comm: bytes, parent_comm: bytes, result: int) -> bytes:
    fields = [field(b"PARENT_COMM", string(parent_comm))]
    if comm is not None:
        fields.append(field(b"COMM", string(comm)))
    if not result:
        fields.append(field(b"NEW_COMM", string(new_comm)))
    return b"".join(fields)


def where(components: bytes, flags: int) -> bytes:
    """The fields of the cgroup. `components`: as in a record; `flags`: the record's."""
    fields, unit = _where(components, flags & _WHERE)
    if unit and os.getuid() == 0:  # journalctl believes it of no other
        return fields + line(b"OBJECT_SYSTEMD_UNIT", unit)
    return fields


@lru_cache(maxsize=_CACHED_PATHS)
def _where(components: bytes, flags: int) -> tuple[bytes, bytes]:
    """The fields, and the system's unit. A path outside of the daemon's cgroup namespace has no unit: another
    systemd may have made it. Neither has a path that is cut: the unit's name may be missing, and what is left
    may look like another's.
    """
    if not flags & _HAS_CGROUP:
        return b"", b""
    path = cgroup.path(components, cut=bool(flags & _CUT_CGROUP))
    if flags & _NO_UNIT:
        return field(b"CGROUP", path), b""
    place = cgroup.place(path)
    fields = [field(b"CGROUP", path)]
    if place.unit:
        fields.append(field(b"UNIT", place.unit))
    if place.user_unit:
        fields.append(field(b"USER_UNIT", place.user_unit))
    if place.container:
        fields.append(field(b"CONTAINER", place.container))
    return b"".join(fields), place.unit


@lru_cache(maxsize=1024)
def _ancestors(chain: bytes) -> bytes:
    """The field with `pid:comm` of each ancestor, the parent first."""
    words = (f"{pid}:{quoting.escape(string(comm))}" for pid, comm in ANCESTOR.iter_unpack(chain))
    return field(b"ANCESTORS", " ".join(words).encode())


def _errno_name(result: int) -> str:
    try:
        return errno.errorcode.get(-result) or os.strerror(-result)
    except OverflowError:  # -2**31, in a damaged record
        return f"Unknown error {-result}"

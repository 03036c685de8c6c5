# SPDX-License-Identifier: GPL-2.0-or-later
"""The fields of an entry on files: the one that the kernel runs, how it was called, and the parent's."""

import stat
from functools import lru_cache

from execwatchd.kernel.layout import Flag
from execwatchd.stream import cgroup
from execwatchd.stream.decode import Record
from execwatchd.stream.journal_fields import field

_UNUSUAL = stat.S_ISUID | stat.S_ISGID | stat.S_IWOTH
_MINOR_BITS = 20  # of a device's number in the kernel, MINORBITS
# Plain integers, since an operation on an IntFlag costs a microsecond.
_FILELESS, _UPPER = int(Flag.IS_FILELESS), int(Flag.IS_UPPER)
_CWD = int(Flag.TRUNCATED_CWD), int(Flag.CWD_UNREACHABLE), int(Flag.CWD_DELETED)
_EXE = int(Flag.TRUNCATED_EXE), int(Flag.EXE_UNREACHABLE), int(Flag.EXE_DELETED)
_PARENT_EXE = int(Flag.TRUNCATED_PARENT_EXE), int(Flag.PARENT_EXE_UNREACHABLE), int(Flag.PARENT_EXE_DELETED)
_OF_PATHS = sum(_EXE) | sum(_PARENT_EXE)
_CACHED = 256  # entries of a cache; a path may be 4 KiB long


def executable(r: Record) -> bytes:
    """The fields of all files of an exec."""
    paths = _paths(r.filename, r.interp, r.exe, r.parent_exe, r.flags & _OF_PATHS)
    return paths + _facts(r) if r.exe_inode else paths


def directory(components: bytes, flags: int) -> bytes:
    """The working directory, as getcwd(2) and /proc/PID/cwd write it. `flags`: the record's."""
    return _path(components, flags, _CWD)


@lru_cache(maxsize=_CACHED)
def _paths(filename: bytes, interp: bytes, exe: bytes, parent_exe: bytes, flags: int) -> bytes:
    """Of all paths; the first two come with their NULs. A filename that couldn't be read has no field."""
    called, loaded = filename[:-1], interp[:-1]
    runs = _path(exe, flags, _EXE) if exe else b""
    values = {
        b"EXE": runs,
        b"FILENAME": b"" if called == runs else called,
        b"INTERP": loaded,
        b"PARENT_EXE": _path(parent_exe, flags, _PARENT_EXE) if parent_exe else b"",
    }
    return b"".join(field(name, value) for name, value in values.items() if value)


def _path(components: bytes, flags: int, meaning: tuple[int, int, int]) -> bytes:
    """`meaning`: the flags for a path that is cut, not below the process's root, or deleted."""
    cut, unreachable, deleted = (bool(flags & flag) for flag in meaning)
    path = cgroup.path(components, cut=cut)
    return (b"(unreachable)" if unreachable else b"") + path + (b" (deleted)" if deleted else b"")


def _facts(r: Record) -> bytes:
    """Of the file that the kernel runs. Its mode and owner where others than root and the user may change it,
    or where it gives its owner's privilege.
    """
    device = r.exe_device >> _MINOR_BITS, r.exe_device & (1 << _MINOR_BITS) - 1
    parts = [b"EXECWATCH_EXE_ID=%d:%d:%d:%d\n" % (*device, r.exe_inode, r.exe_ctime)]
    if r.exe_mode & _UNUSUAL or r.exe_uid not in (0, r.uid):
        parts.append(b"EXECWATCH_EXE_MODE=%04o\n" % stat.S_IMODE(r.exe_mode))
        parts.append(b"EXECWATCH_EXE_OWNER=%d:%d\n" % (r.exe_uid, r.exe_gid))
    if r.flags & _FILELESS:
        parts.append(b"EXECWATCH_FILELESS=1\n")
    if r.flags & _UPPER:
        parts.append(b"EXECWATCH_UPPER=1\n")
    return b"".join(parts)

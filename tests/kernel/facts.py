# SPDX-License-Identifier: GPL-2.0-or-later
"""What /proc and stat(2) say of the file that a process runs, of its parent's, and of its exec."""

import os
from collections.abc import Mapping
from pathlib import Path

from execwatchd.kernel.layout import EXEC_ID, NO_EXEC, Flag

_TICK = 10**9 // os.sysconf("SC_CLK_TCK")  # ns
_DELETED = b" (deleted)"
NO_FILE: dict[str, object] = {
    "exe": b"",
    **dict.fromkeys(("exe_device", "exe_inode", "exe_ctime", "exe_mode", "exe_uid", "exe_gid"), 0),
}
NO_PARENT: dict[str, object] = {"parent_exe": b"", "parent_pid": 0, "parent_id": 0}


def components(path: bytes) -> bytes:
    """As the kernel side sends a path."""
    return b"".join(name + b"\0" for name in reversed(path.split(b"/")) if name)


def exe(pid: int) -> bytes:
    return os.readlink(b"/proc/%d/exe" % pid)


def file_of(pid: int) -> dict[str, object]:
    """Of the file that a process runs."""
    return {**of_file(Path(f"/proc/{pid}/exe")), "exe": components(exe(pid).removesuffix(_DELETED))}


def of_file(path: Path) -> dict[str, object]:
    """Of an executable file."""
    about = path.stat()
    return {
        "exe": components(bytes(path)),
        "exe_device": device(about.st_dev),
        "exe_inode": about.st_ino,
        "exe_ctime": about.st_ctime_ns,
        "exe_mode": about.st_mode,
        "exe_uid": about.st_uid,
        "exe_gid": about.st_gid,
    }


def device(number: int) -> int:
    """As the kernel has it."""
    return os.major(number) << 20 | os.minor(number)


def parent(pid: int) -> dict[str, object]:
    """Of a process that has executed something, as the parent of one that is about to."""
    if not os.path.exists(f"/proc/{pid}/exe"):  # the kernel, or outside of all pid namespaces
        return NO_PARENT
    return {"parent_exe": components(exe(pid)), "parent_pid": pid, "parent_id": start(pid)}


def start(pid: int) -> int:
    """When a process was made, in clock ticks since boot."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[19])


def ticks(exec_id: object) -> int:
    """The same, by the id of an exec in it; 0: there is none."""
    assert isinstance(exec_id, bytes)
    return int(EXEC_ID.unpack(exec_id or NO_EXEC)[0]) // _TICK


def flags(pid: int) -> Flag:
    """Those of a record that its file has."""
    deleted = Flag.EXE_DELETED if exe(pid).endswith(_DELETED) else Flag(0)
    return deleted if os.stat(f"/proc/{pid}/exe").st_nlink else deleted | Flag.IS_FILELESS


Status = Mapping[str, list[str]]


def caps(about: Status) -> int:
    """The effective capabilities where they are unusual. `about`: /proc/PID/status."""
    return 0 if about["CapEff"] == about["CapBnd"] else int(about["CapEff"][0], 16)


def gained(before: Status, after: Status) -> Flag:
    """The flags of an exec between both."""
    gains = Flag(0)
    if before["Uid"][1] != after["Uid"][1]:
        gains |= Flag.GAINED_EUID
    if before["Gid"][1] != after["Gid"][1]:
        gains |= Flag.GAINED_EGID
    if int(after["CapPrm"][0], 16) & ~int(before["CapPrm"][0], 16):
        gains |= Flag.GAINED_CAPS
    return gains

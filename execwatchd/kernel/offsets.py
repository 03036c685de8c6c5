# SPDX-License-Identifier: GPL-2.0-or-later
"""Which members of the kernel's structures the program reads, and what is lost where a kernel lacks one.

The running kernel's own BTF tells where they are, as compiler flags for bpf/execwatch.c; a structure read
with another kernel's headers would be silently wrong.
"""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from execwatchd.kernel.btf import Btf
from execwatchd.shared.errors import Failure

_REQUIRED = (
    "task_struct.tgid",
    "task_struct.comm",
    "task_struct.real_parent",
    "task_struct.group_leader",
    "task_struct.cred",
    "task_struct.mm",
    "cred.euid",
    "cred.user_ns",
    "user_namespace.parent",
    "user_namespace.owner",
    "mm_struct.arg_start",
    "mm_struct.arg_end",
    "linux_binprm.argc",
    "linux_binprm.filename",
    "linux_binprm.interp",
)

# of the end of a process, where that is wanted
_EXITS = (
    "task_struct.signal",
    "task_struct.start_boottime",
    "task_struct.self_exec_id",
    "task_struct.exit_code",
    "signal_struct.live",
    "signal_struct.flags",
    "signal_struct.group_exit_code",
)

_OCTAL = re.compile(rb"\\([0-7]{3})")  # how mountinfo has white space and the backslash

# journal fields → `name of the flag: path`, where they differ `first path that exists`
_OPTIONAL: dict[str, dict[str, tuple[str, ...]]] = {
    "EXECWATCH_LOGINUID": {"task_struct__loginuid": ("task_struct.loginuid",)},
    "EXECWATCH_SESSION": {"task_struct__sessionid": ("task_struct.sessionid",)},
    "EXECWATCH_TTY": {
        "task_struct__signal": ("task_struct.signal",),
        "signal_struct__tty": ("signal_struct.tty",),
        "tty_struct__name": ("tty_struct.name",),
    },
    "EXECWATCH_MNTNS": {
        "task_struct__nsproxy": ("task_struct.nsproxy",),
        "nsproxy__mnt_ns": ("nsproxy.mnt_ns",),
        "mnt_namespace__ns_inum": ("mnt_namespace.ns.inum",),
    },
    "EXECWATCH_PIDNS": {
        "task_struct__thread_pid": ("task_struct.thread_pid",),
        "pid__level": ("pid.level",),
        "pid__numbers": ("pid.numbers",),
        "upid__nr": ("upid.nr",),
        "upid__ns": ("upid.ns",),
        "pid_namespace__ns_inum": ("pid_namespace.ns.inum",),
    },
    "EXECWATCH_CGROUP": {
        "task_struct__cgroups": ("task_struct.cgroups",),
        "css_set__dfl_cgrp": ("css_set.dfl_cgrp",),
        "cgroup__kn": ("cgroup.kn",),
        "kernfs_node__id": ("kernfs_node.id",),
        "kernfs_node__name": ("kernfs_node.name",),
        "kernfs_node__parent": ("kernfs_node.__parent", "kernfs_node.parent"),  # renamed in 6.15
    },
    "EXECWATCH_CWD": {
        "task_struct__fs": ("task_struct.fs",),
        "fs_struct__root_mnt": ("fs_struct.root.mnt",),
        "fs_struct__root_dentry": ("fs_struct.root.dentry",),
        "fs_struct__pwd_mnt": ("fs_struct.pwd.mnt",),
        "fs_struct__pwd_dentry": ("fs_struct.pwd.dentry",),
        "dentry__d_parent": ("dentry.d_parent",),
        "dentry__d_name": ("dentry.d_name.name",),
        "vfsmount__mnt_root": ("vfsmount.mnt_root",),
        "mount__mnt": ("mount.mnt",),
        "mount__mnt_parent": ("mount.mnt_parent",),
        "mount__mnt_mountpoint": ("mount.mnt_mountpoint",),
    },
}

_OPTIONAL_EXITS: dict[str, dict[str, tuple[str, ...]]] = {
    "EXECWATCH_PEAK_RSS_KB": {
        "signal_struct__maxrss": ("signal_struct.maxrss",),
        "mm_struct__hiwater_rss": ("mm_struct.hiwater_rss",),
    },
}


def flags(*, exits: bool = False) -> tuple[list[str], list[str]]:
    """Compiler flags, and the journal fields that this kernel can't give.

    `exits`: those for the ends of processes too.
    Raises Failure if the kernel has no BTF or lacks what no record can do without.
    """
    try:
        btf = Btf()
    except OSError:
        raise Failure(
            "this kernel has no type information: /sys/kernel/btf/vmlinux can't be read",
            "it needs CONFIG_DEBUG_INFO_BTF=y, as every distribution kernel since 2021 has",
        ) from None
    with btf:
        try:
            required = (*_REQUIRED, *(_EXITS if exits else ()))
            found = [_flag(path.replace(".", "__"), btf.offset(path)) for path in required]
        except KeyError as missing:
            raise Failure(
                f"this kernel's structures lack {missing.args[0]}", "report it with the kernel's version"
            ) from None
        absent = []
        for field, members in {**_OPTIONAL, **(_OPTIONAL_EXITS if exits else {})}.items():
            try:
                found += [_flag(name, _first(btf.offset, paths)) for name, paths in members.items()]
            except KeyError:
                absent.append(field)
        found += [*_special(btf), *(_counters(btf) if exits else ())]
    return [*found, f"-DCGROUP_ROOT={cgroup_root()}ULL"], absent


def _flag(name: str, offset: int) -> str:
    return f"-DO_{name}={offset}"


def _first(offset: Callable[[str], int], paths: tuple[str, ...]) -> int:
    for path in paths[:-1]:
        try:
            return offset(path)
        except KeyError:
            continue
    return offset(paths[-1])


def _special(btf: Btf) -> Iterator[str]:
    """A size, and a bit field, of which the program reads the word it is in."""
    try:
        yield f"-DSIZEOF_upid={btf.size('upid')}"
        bit = btf.bit("task_struct.in_execve")
        yield _flag("task_struct__in_execve", bit // 32 * 4)
        yield f"-DIN_EXECVE_BIT={1 << bit % 32}U"
    except KeyError:  # only a filter: without it each rename is kept, not just those by an exec
        return


def _counters(btf: Btf) -> Iterator[str]:
    """An array of counters, since Linux 6.2: before 6.16 the memory is gone when a process's end is seen."""
    try:
        flags = [
            f"-DSIZEOF_percpu_counter={btf.size('percpu_counter')}",
            _flag("mm_struct__rss_stat", btf.offset("mm_struct.rss_stat")),
            _flag("percpu_counter__count", btf.offset("percpu_counter.count")),
        ]
    except KeyError:
        return
    yield from flags


def cgroup_root(mountinfo: Path = Path("/proc/self/mountinfo")) -> int:
    """The id of the cgroup that this cgroup namespace has as its root; 1, the true root, if none is mounted.

    The id of a cgroup is the inode number of its directory (kernel, cgroup-v2.rst and cgroup_id()).
    """
    for line in mountinfo.read_bytes().removesuffix(b"\n").split(b"\n"):  # any mount point may have any bytes
        mount, _, rest = line.partition(b" - ")
        root, place = mount.split(b" ")[3:5]
        if rest.startswith(b"cgroup2 ") and root == b"/":
            return os.stat(_OCTAL.sub(lambda found: bytes([int(found[1], 8)]), place)).st_ino
    return 1

# SPDX-License-Identifier: GPL-2.0-or-later
"""Generates vmlinux.h: the kernel's structures with the members that the program reads.

Each member is at its offset in the running kernel, by the kernel's own BTF, and has the C type that is
declared here and compared with BTF's. Another kernel's headers would compile too, and read the wrong bytes.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from execwatchd.kernel.btf import Btf, Member, Type
from execwatchd.shared.errors import Failure

# `struct.member[.member…]` → its C type. In C it is called `member[_member…]`. A `bit` is a bit field: in C,
# the u32 that it is in, with the mask MEMBER_BIT.
Members = Mapping[str, str]

_REQUIRED: Members = {
    "task_struct.tgid": "u32",
    "task_struct.flags": "u32",
    "task_struct.start_boottime": "u64",
    "task_struct.self_exec_id": "u64",
    "task_struct.comm": "char[16]",
    "task_struct.real_parent": "struct task_struct *",
    "task_struct.group_leader": "struct task_struct *",
    "task_struct.cred": "struct cred *",
    "task_struct.mm": "struct mm_struct *",
    "cred.euid": "u32",
    "cred.egid": "u32",
    "cred.cap_permitted": "u64",
    "cred.user_ns": "struct user_namespace *",
    "user_namespace.parent": "struct user_namespace *",
    "user_namespace.owner": "u32",
    "mm_struct.arg_start": "u64",
    "mm_struct.arg_end": "u64",
    "linux_binprm.argc": "u32",
    "linux_binprm.filename": "const char *",
    "linux_binprm.interp": "const char *",
}

# for the ends of processes
_EXITS: Members = {
    "task_struct.signal": "struct signal_struct *",
    "task_struct.exit_code": "s32",
    "signal_struct.live": "s32",
    "signal_struct.flags": "u32",
    "signal_struct.group_exit_code": "s32",
}

_PATH: Members = {
    "task_struct.fs": "struct fs_struct *",
    "fs_struct.root.mnt": "struct vfsmount *",
    "fs_struct.root.dentry": "struct dentry *",
    "dentry.d_parent": "struct dentry *",
    "dentry.d_name.name": "const char *",
    "dentry.d_hash.pprev": "void *",
    "dentry.d_seq.seqcount.sequence": "u32",
    "vfsmount.mnt_root": "struct dentry *",
    "mount.mnt": "struct vfsmount",
    "mount.mnt_parent": "struct mount *",
    "mount.mnt_mountpoint": "struct dentry *",
}

_FILE: Members = {
    "linux_binprm.file": "struct file *",
    "file.f_inode": "struct inode *",
    "inode.i_sb": "struct super_block *",
    "inode.i_ino": "u64",
    "inode.i_mode": "u16",
    "inode.i_uid": "u32",
    "inode.i_gid": "u32",
    "inode.i_nlink": "u32",
    "super_block.s_dev": "u32",
}

# By the journal field that is left out where a kernel lacks one of the members. IN_EXECVE costs no field:
# without it the caller's comm is kept at every rename, not only at those by an exec.
_OPTIONAL: Mapping[str, Members] = {
    "IN_EXECVE": {"task_struct.in_execve": "bit"},
    "EXECWATCH_LOGINUID": {"task_struct.loginuid": "u32"},
    "EXECWATCH_SESSION": {"task_struct.sessionid": "u32"},
    "EXECWATCH_TTY": {
        "task_struct.signal": "struct signal_struct *",
        "signal_struct.tty": "struct tty_struct *",
        "tty_struct.name": "char[64]",
    },
    "EXECWATCH_MNTNS": {
        "task_struct.nsproxy": "struct nsproxy *",
        "nsproxy.mnt_ns": "struct mnt_namespace *",
        "mnt_namespace.ns.inum": "u32",
        "task_struct.thread_pid": "struct pid *",
        "pid.numbers": "struct upid[0]",
        "upid.ns": "struct pid_namespace *",
        "pid_namespace.child_reaper": "struct task_struct *",
    },
    "EXECWATCH_PIDNS": {
        "task_struct.thread_pid": "struct pid *",
        "pid.level": "u32",
        "pid.numbers": "struct upid[0]",
        "upid.nr": "u32",
        "upid.ns": "struct pid_namespace *",
        "pid_namespace.ns.inum": "u32",
    },
    "EXECWATCH_CGROUP": {
        "task_struct.cgroups": "struct css_set *",
        "css_set.dfl_cgrp": "struct cgroup *",
        "cgroup.kn": "struct kernfs_node *",
        "kernfs_node.id": "u64",
        "kernfs_node.name": "const char *",
        "kernfs_node.parent": "struct kernfs_node *",
    },
    "EXECWATCH_CWD": {
        **_PATH,
        "fs_struct.pwd.mnt": "struct vfsmount *",
        "fs_struct.pwd.dentry": "struct dentry *",
    },
    "EXECWATCH_EXE": {
        **_PATH,
        "linux_binprm.file": "struct file *",
        "file.f_path.mnt": "struct vfsmount *",
        "file.f_path.dentry": "struct dentry *",
    },
    "EXECWATCH_EXE_ID": _FILE,
    "CTIME_SEC": {"inode.i_ctime_sec": "s64", "inode.i_ctime_nsec": "u32"},  # since Linux 6.11
    "CTIME": {"inode.i_ctime.tv_sec": "s64", "inode.i_ctime.tv_nsec": "s64"},
    # of the overlay module, if it is loaded; it costs no field: an overlay may come later, or never
    "UPPER": {
        "super_block.s_magic": "u64",
        "ovl_inode.vfs_inode": "struct inode",
        "ovl_inode.__upperdentry": "struct dentry *",
    },
    "EXECWATCH_PARENT_ID": {"mm_struct.exe_file": "struct file *"},
    "EXECWATCH_CAPS": {"cred.cap_effective": "u64", "cred.cap_bset": "u64"},
}

_OPTIONAL_EXITS: Mapping[str, Members] = {
    "EXECWATCH_PEAK_RSS_KB": {
        "signal_struct.maxrss": "u64",
        "mm_struct.hiwater_rss": "u64",
    },
    # Since Linux 6.2. It costs no field: before 6.16 the memory is gone when the end of a process is seen.
    "RSS_STAT": {
        "mm_struct.rss_stat": "struct percpu_counter[4]",
        "percpu_counter.count": "s64",
    },
}

# The members that an option can't do without. Without `tty` and `sessionid` an exec by hand looks like any
# other, and with `interactive` no exec would be recorded.
OF_OPTIONS: Mapping[str, Members] = {
    "cwd": _OPTIONAL["EXECWATCH_CWD"],
    "interactive": {**_OPTIONAL["EXECWATCH_SESSION"], **_OPTIONAL["EXECWATCH_TTY"]},
    "exits": _EXITS,
}

OVERLAY = Path("/sys/kernel/btf/overlay")  # the module's types, if it is one and is loaded

_RENAMED = {
    "kernfs_node.parent": "kernfs_node.__parent",  # since Linux 6.15
    "inode.i_ctime.tv_sec": "inode.__i_ctime.tv_sec",  # since Linux 6.6
    "inode.i_ctime.tv_nsec": "inode.__i_ctime.tv_nsec",
}

_INTEGERS = {"char": 1, "u16": 2, "u32": 4, "s32": 4, "u64": 8, "s64": 8}
_C_TYPE = re.compile(r"(?:const )?(?:struct (\w+)|(\w+))(?: (\*)|\[(\d+)\])?")
_OCTAL = re.compile(rb"\\([0-7]{3})")  # how mountinfo has white space and the backslash


def generate(*, exits: bool = False) -> tuple[str, list[str]]:
    """The text of vmlinux.h, and the journal fields that this kernel can't give.

    An optional field's members are there if KERNEL_HAS_… is defined: KERNEL_HAS_TTY for EXECWATCH_TTY.
    `exits`: with the members that the exits of processes need.
    Raises Failure if the kernel has no BTF, or lacks a required member or has it as another type.
    """
    with _kernels_btf() as btf:
        members = {**_REQUIRED, **(_EXITS if exits else {})}
        for problem in _problems(btf, members):
            raise Failure(f"this kernel's {problem}", "report it with the kernel's version")
        optional = {**_OPTIONAL, **(_OPTIONAL_EXITS if exits else {})}
        available = {field: group for field, group in optional.items() if not any(_problems(btf, group))}
        for group in available.values():
            members |= group
        defines = [f"CGROUP_ROOT {cgroup_root()}ULL"]
        defines += [f"KERNEL_HAS_{field.removeprefix('EXECWATCH_')}" for field in available]
        lines = [*(f"#define {define}" for define in defines), *_structs(btf, members)]
    absent = [field for field in optional if field not in available and field.startswith("EXECWATCH_")]
    return "".join(f"{line}\n" for line in lines), absent


def missing(options: Iterable[str]) -> dict[str, str]:
    """Of these options those that this kernel can't give, each with the reason.

    Raises Failure if the kernel has no BTF.
    """
    with _kernels_btf() as btf:
        problems = {name: next(_problems(btf, OF_OPTIONS.get(name, {})), "") for name in options}
    return {name: f"this kernel's {problem}" for name, problem in problems.items() if problem}


def _kernels_btf() -> Btf:
    try:
        return Btf(OVERLAY)
    except OSError:
        raise Failure(
            "this kernel has no type information: /sys/kernel/btf/vmlinux can't be read",
            "it needs CONFIG_DEBUG_INFO_BTF=y, as every distribution kernel since 2021 has",
        ) from None


def _problems(btf: Btf, members: Members) -> Iterator[str]:
    """Says of each member that can't be read as its C type why not."""
    for path, c_type in members.items():
        declared = _type(c_type)
        try:
            actual = _member(btf, path).type
        except KeyError:
            yield f"structures lack {path}"
            continue
        if not declared.fits(actual):
            yield f"{path} has {actual}, not {declared}"


def _member(btf: Btf, path: str) -> Member:
    try:
        return btf.member(path)
    except KeyError:
        if path not in _RENAMED:
            raise
    return btf.member(_RENAMED[path])


def _type(c_type: str) -> Type:
    """Raises ValueError if it isn't one of those that can be compared with BTF's."""
    if c_type == "bit":
        return Type(bits=1)
    match = _C_TYPE.fullmatch(c_type)
    if match is None:
        raise ValueError(f"no C type for a member: {c_type}")
    struct, integer, pointer, count = match.groups()
    size = 0 if struct or pointer else _INTEGERS[integer]
    return Type(size, struct or "", bool(pointer), int(count) if count else None)


def _structs(btf: Btf, members: Members) -> Iterator[str]:
    """Each structure, of its true size, is a union of its members. Those that another contains come first."""
    types = [_type(c_type) for c_type in members.values()]
    yield from (f"struct {name};" for name in sorted({declared.struct for declared in types} - {""}))
    contained = {declared.struct for declared in types if not declared.pointer}
    names = dict.fromkeys(path.partition(".")[0] for path in members)
    for name in sorted(names, key=lambda name: name not in contained):
        yield f"struct {name} {{ union {{"
        yield f"  char size_[{btf.size(name)}];"
        for path, c_type in members.items():
            if path.startswith(f"{name}."):
                yield from _declaration(path, c_type, _member(btf, path).bit)
        yield "}; };"


def _declaration(path: str, c_type: str, bit: int) -> Iterator[str]:
    """The member in a structure of its own, behind padding up to its offset."""
    name, offset = path.partition(".")[2].replace(".", "_"), bit // 8
    if c_type == "bit":
        c_type, offset = "u32", bit // 32 * 4
        yield f"#define {name.upper()}_BIT {1 << bit % 32}U"
    base, bracket, count = c_type.partition("[")
    padding = f"char before_{name}[{offset}]; " if offset else ""
    yield f"  struct {{ {padding}{base} {name}{bracket}{count}; }} __attribute__((packed));"


def cgroup_root(mountinfo: Path = Path("/proc/self/mountinfo")) -> int:
    """The id of the cgroup that this cgroup namespace has as its root; 1, the true root, if none is mounted.

    The id of a cgroup is the inode number of its directory (kernel, cgroup-v2.rst and cgroup_id()).
    """
    for line in mountinfo.read_bytes().removesuffix(b"\n").split(b"\n"):  # any mount point may have any bytes
        mount, _, rest = line.partition(b" - ")
        root, place = mount.split(b" ")[3:5]
        if rest.startswith(b"cgroup2 ") and root == b"/":
            return os.stat(_OCTAL.sub(lambda escape: bytes([int(escape[1], 8)]), place)).st_ino
    return 1

# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's structures, with just the members that the program reads, and their C types.

Which table a member is in says what is lost on a kernel that lacks it.
"""

from collections.abc import Mapping

# `struct.member[.member…]` → its C type. In C it is called `member[_member…]`. A `bit` is a bit field: in C,
# the u32 that it is in, with the mask MEMBER_BIT.
Members = Mapping[str, str]

REQUIRED: Members = {
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
EXITS: Members = {
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
OPTIONAL: Mapping[str, Members] = {
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

OPTIONAL_EXITS: Mapping[str, Members] = {
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
    "cwd": OPTIONAL["EXECWATCH_CWD"],
    "interactive": {**OPTIONAL["EXECWATCH_SESSION"], **OPTIONAL["EXECWATCH_TTY"]},
    "exits": EXITS,
}

RENAMED = {
    "kernfs_node.parent": "kernfs_node.__parent",  # since Linux 6.15
    "inode.i_ctime.tv_sec": "inode.__i_ctime.tv_sec",  # since Linux 6.6
    "inode.i_ctime.tv_nsec": "inode.__i_ctime.tv_nsec",
}

# SPDX-License-Identifier: GPL-2.0-or-later
"""Forbids this process, and those that it forks, to execute any program from now on.

The daemon executes nothing once it runs. Whoever takes it over then has its interpreter, but can start no
other program, neither from a file nor from memory.

Constants: linux/seccomp.h, linux/bpf_common.h, linux/audit.h, linux/elf-em.h, linux/prctl.h. Numbers of the
calls, in Linux: arch/x86/entry/syscalls/syscall_64.tbl and syscall_32.tbl, asm-generic/unistd.h,
arch/arm/tools/syscall.tbl.
"""

import ctypes
import errno
import logging
import os
import struct
from collections.abc import Sequence
from typing import NamedTuple

log = logging.getLogger(__name__)

_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM  # SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO
_LOAD, _AND, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x54, 0x15, 0x06  # BPF_LD|W|ABS, ALU|AND|K, JMP|JEQ|K, RET|K
_NUMBER_AT, _ARCHITECTURE_AT = 0, 4  # in struct seccomp_data
_X32 = 0x40000000  # __X32_SYSCALL_BIT

Instruction = tuple[int, int, int, int]  # struct sock_filter: code, jump if true, jump if false, k


class Entry(NamedTuple):
    """One entry of a machine to the kernel: AUDIT_ARCH_*, and the numbers of execve and execveat there."""

    architecture: int
    execs: Sequence[int]


# By uname(2)'s name of the machine. x32 has x86_64's entry; its numbers have the bit _X32, which is ignored.
MACHINES = {
    "x86_64": (Entry(0xC000003E, (59, 322, 520, 545)), Entry(0x40000003, (11, 358))),
    "aarch64": (Entry(0xC00000B7, (221, 281)), Entry(0x40000028, (11, 387))),
}


def forbid_exec() -> None:
    """execve and execveat fail with EPERM from now on. Needs no_new_privs, and no other thread."""
    machine = os.uname().machine
    if machine not in MACHINES:
        log.warning("executing programs is not forbidden to the daemon: its filter knows no %s", machine)
        return
    code = program(MACHINES[machine])
    buffer = ctypes.create_string_buffer(code, len(code))
    described = struct.pack("@HP", len(code) // 8, ctypes.addressof(buffer))  # struct sock_fprog
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, described, 0, 0):
        reason = os.strerror(ctypes.get_errno())
        log.warning(
            "executing programs is not forbidden to the daemon: the kernel takes no filter: %s", reason
        )


def program(entries: Sequence[Entry]) -> bytes:
    """The filter, as struct sock_filter. All calls by an entry that isn't among these are refused."""
    code: list[Instruction] = [(_RETURN, 0, 0, _REFUSE)]
    for entry in reversed(entries):  # from the end, since a jump counts what is behind it
        code = [*_block(entry, len(code)), *code]
    code.insert(0, (_LOAD, 0, 0, _ARCHITECTURE_AT))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def _block(entry: Entry, behind: int) -> list[Instruction]:
    """What judges the calls of one entry, with `behind` instructions after it, of which the last refuses."""
    count = len(entry.execs)
    return [
        (_JUMP_IF_EQUAL, 0, count + 3, entry.architecture),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_AND, 0, 0, 0xFFFFFFFF ^ _X32),
        *((_JUMP_IF_EQUAL, count - i + behind - 1, 0, number) for i, number in enumerate(entry.execs)),
        (_RETURN, 0, 0, _ALLOW),
    ]

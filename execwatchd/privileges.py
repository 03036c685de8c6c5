# SPDX-License-Identifier: GPL-2.0-or-later
"""Gives up privileges: root at once, CAP_BPF and CAP_PERFMON once the program is attached.

Numbers: linux/capability.h, linux/prctl.h, linux/securebits.h. All of it must run before there is a second
thread, since the kernel keeps credentials for each thread.
"""

import ctypes
import os
import pwd
from collections.abc import Collection

from execwatchd.shared.errors import Failure

CAP_PERFMON, CAP_BPF = 38, 39
_LAST = 63
_PR_SET_KEEPCAPS, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 8, 24, 38, 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_VERSION_3 = 0x20080522
USERS = ("execwatchd", "nobody")  # a foreground run of root becomes the first of them that exists

_libc = ctypes.CDLL(None, use_errno=True)


def become_user() -> str:
    """Become an ordinary user who has just the two capabilities. Returns the name; raises Failure."""
    user = _user()
    _prctl(_PR_SET_KEEPCAPS, 1)
    for capability in range(_LAST + 1):
        if capability not in (CAP_PERFMON, CAP_BPF) and not _drop_from_bounding_set(capability):
            break
    try:
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
        _set((CAP_PERFMON, CAP_BPF))
    except OSError as error:
        raise Failure(f"can't become the user {user.pw_name}: {error.strerror}", "run it as root") from None
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    return user.pw_name


def drop() -> None:
    """Drop every effective, permitted, inheritable and ambient capability; no exec can bring one back."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    _set(())


def have_both() -> bool:
    """Whether CAP_BPF and CAP_PERFMON are effective."""
    wanted = 1 << CAP_PERFMON | 1 << CAP_BPF
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        effective = next(int(line.split()[1], 16) for line in status if line.startswith("CapEff:"))
    return effective & wanted == wanted


def _user() -> pwd.struct_passwd:
    for name in USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise Failure(f"no user {' or '.join(USERS)} exists", "create the user execwatchd")


def _drop_from_bounding_set(capability: int) -> bool:
    """Drop it from the bounding set. False: this kernel has no such capability."""
    return bool(_libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) == 0)


def _set(capabilities: Collection[int]) -> None:
    """Make these the effective and the permitted ones, and none inheritable."""
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable of 0..31, then of 32..63
    for capability in capabilities:
        word = capability // 32 * 3
        data[word] |= 1 << capability % 32
        data[word + 1] |= 1 << capability % 32
    if _libc.capset(header, data):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _prctl(option: int, argument: int) -> None:
    if _libc.prctl(option, argument, 0, 0, 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

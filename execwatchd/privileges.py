# SPDX-License-Identifier: GPL-2.0-or-later
"""Give up what the process may do: root at once, the two capabilities once the program is attached.

Numbers: linux/capability.h, linux/prctl.h, linux/securebits.h. Must run before there is a second thread,
since the kernel keeps these for each thread.
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
USERS = ("execwatchd", "nobody")  # whom a foreground run of root becomes: the first that exists

_libc = ctypes.CDLL(None, use_errno=True)


def become_user() -> str:
    """From root to an ordinary user with just the two capabilities; its name. Raises Failure."""
    user = _user()
    _prctl(_PR_SET_KEEPCAPS, 1)
    for capability in range(_LAST + 1):
        if capability not in (CAP_PERFMON, CAP_BPF) and not _bounded(capability):
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
    """No capability in any set from here on, and none to be had by executing anything."""
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
    raise Failure(f"there is none of the users {', '.join(USERS)}", "create the user execwatchd")


def _bounded(capability: int) -> bool:
    """Out of the bounding set; False: there is no such capability on this kernel."""
    return bool(_libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) == 0)


def _set(capabilities: Collection[int]) -> None:
    """Effective and permitted; nothing inheritable."""
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

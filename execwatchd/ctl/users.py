# SPDX-License-Identifier: GPL-2.0-or-later
"""Users by name or number."""

import grp
import pwd

from execwatchd.shared.errors import Failure
from execwatchd.shared.rules import MAX_UID


def uid_of(user: str) -> int:
    """The UID of a user given by name or number. A number needs no entry in the user database."""
    if user.isascii() and user.isdecimal():
        return _in_range(user)
    try:
        return pwd.getpwnam(user).pw_uid
    except (KeyError, ValueError):
        raise Failure(f"no such user: {user}", "a name or a UID is wanted") from None


def is_user(name: str) -> bool:
    """Whether there is a user of this name, or it is a UID."""
    try:
        uid_of(name)
    except Failure:
        return False
    return True


def _in_range(user: str) -> int:
    uid = int(user) if len(user) < 12 else MAX_UID + 1
    if uid > MAX_UID:
        raise Failure(f"no such UID: {user}", f"UIDs are 0 to {MAX_UID}")
    return uid


def name_of(uid: int) -> str:
    """The user's name, or an empty string where the UID has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return ""


def group_name_of(gid: int) -> str:
    """The group's name, or an empty string where the GID has none."""
    try:
        return grp.getgrgid(gid).gr_name
    except (KeyError, OverflowError):
        return ""

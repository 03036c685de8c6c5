# SPDX-License-Identifier: GPL-2.0-or-later
"""What a cgroup's path says about who runs there: a system unit, a user's unit, a container.

The rules are systemd's cg_path_get_unit() and cg_path_get_user_unit(), src/basic/cgroup-util.c, and
unit_name_is_valid(), src/basic/unit-name.c.
"""

import re
from typing import NamedTuple

from execwatchd.stream.containers import container

_TYPES = b"service|socket|target|device|mount|automount|swap|timer|path|slice|scope"
_UNIT = re.compile(
    rb"(?!@)(?:[A-Za-z0-9:_.\\-]+|[A-Za-z0-9:_.\\-]*@[A-Za-z0-9:_.\\@-]+)\.(?:" + _TYPES + rb")"
)
_SLICE = re.compile(rb"(?!@)[A-Za-z0-9:_.\\-]+\.slice")
_USER_MANAGER = re.compile(rb"user@(0|[1-9][0-9]{0,9})\.service|capsule@[A-Za-z0-9:_.\\-]+\.service")
_NO_UIDS = (2**16 - 1, 2**32 - 1)  # parse_uid(): -1 as 16 and as 32 bits
_SESSION = re.compile(rb"session-[A-Za-z0-9]+\.scope")
_UNIT_NAME_MAX = 256

_CUT = "…/".encode()


class Place(NamedTuple):
    """Each member is empty where the path names none. `container`: the id, with lxc and nspawn the name."""

    path: bytes
    unit: bytes = b""
    user_unit: bytes = b""
    container: bytes = b""


def path(components: bytes, *, cut: bool = False) -> bytes:
    """A path from its components, which come from the leaf up, each ended by NUL, as in a record.

    `cut`: the components above these are missing. Then the path begins with `…/`, which no whole path does.
    """
    names = [name for name in components.split(b"\0") if name not in (b"", b"/")]
    return (_CUT if cut else b"/") + b"/".join(reversed(names))


def place(full: bytes) -> Place:
    """What systemd and the usual container runtimes would say about this path."""
    names = [name for name in full.split(b"/") if name]
    return Place(full, _unit(names), _user_unit(names), container(names))


def _unit(names: list[bytes]) -> bytes:
    rest = _skip_slices(names)
    unit = _unescape(rest[0]) if rest else b""
    return unit if _is_unit(unit) and not unit.endswith(b".slice") else b""


def _user_unit(names: list[bytes]) -> bytes:
    rest = _skip_slices(names)
    if rest and (_is_user_manager(rest[0]) or _SESSION.fullmatch(rest[0])):
        return _unit(rest[1:])
    return b""


def _is_user_manager(name: bytes) -> bool:
    match = _USER_MANAGER.fullmatch(name)
    uid = int(match[1] or 0) if match else -1
    return 0 <= uid < 2**32 and uid not in _NO_UIDS


def _skip_slices(names: list[bytes]) -> list[bytes]:
    for i, name in enumerate(names):
        if not _is_unit(_unescape(name)) or not _SLICE.fullmatch(_unescape(name)):
            return names[i:]
    return []


def _is_unit(name: bytes) -> bool:
    return len(name) < _UNIT_NAME_MAX and bool(_UNIT.fullmatch(name))


def _unescape(name: bytes) -> bytes:
    """systemd puts an underscore before a name that a file of the kernel in a cgroup may have."""
    return name.removeprefix(b"_")

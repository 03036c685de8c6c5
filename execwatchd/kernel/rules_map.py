# SPDX-License-Identifier: GPL-2.0-or-later
"""The maps `config` and `defaults`: what an exec by a UID gets, as the kernel sees it."""

import errno
import struct

from execwatchd.kernel import layout
from execwatchd.kernel.libbpf import Map
from execwatchd.shared.errors import TableFull
from execwatchd.shared.rules import Action

_UID = struct.Struct("=I")
_ACTIONS = (Action.RECORD, Action.IGNORE)  # enum action
_DEFAULT = _UID.pack(0)


class UserMap:
    """UID → message (UTF-8, at most 63 bytes), action and limit (execs a second, 0: none), by the
    descriptors of both maps.
    """

    def __init__(self, config: int, defaults: int) -> None:
        self._config = Map(config)
        self._defaults = Map(defaults)
        self.capacity = self._config.info.max_entries

    def users(self) -> dict[int, tuple[bytes, Action, int]]:
        """All that is in the map."""
        found = {}
        for key in list(self._config.keys()):
            value = self._config.get(key)
            if value is not None:
                found[_UID.unpack(key)[0]] = _unpack(value)
        return found

    def set_user(self, uid: int, message: bytes, action: Action, limit: int = 0) -> None:
        """Raises TableFull."""
        try:
            self._config.set(_UID.pack(uid), _pack(message, action, limit))
        except OSError as error:
            if error.errno == errno.E2BIG:
                raise TableFull(self.capacity) from None
            raise

    def remove_user(self, uid: int) -> None:
        """The UID gets the default from now on. Raises OSError ENOENT if it has no entry."""
        self._config.delete(_UID.pack(uid))

    def default(self) -> tuple[bytes, Action, int]:
        """What a UID without an entry gets."""
        return _unpack(self._defaults.get(_DEFAULT) or bytes(layout.RULE.size))

    def set_default(self, message: bytes, action: Action, limit: int = 0) -> None:
        """What a UID without an entry gets from now on."""
        self._defaults.set(_DEFAULT, _pack(message, action, limit))


def _pack(message: bytes, action: Action, limit: int) -> bytes:
    return layout.RULE.pack(message, _ACTIONS.index(action), limit)


def _unpack(value: bytes) -> tuple[bytes, Action, int]:
    message, action, limit = layout.RULE.unpack(value[: layout.RULE.size])
    return message.rstrip(b"\0"), _ACTIONS[action], limit

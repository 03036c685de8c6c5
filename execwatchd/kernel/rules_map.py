# SPDX-License-Identifier: GPL-2.0-or-later
"""The rules as the kernel sees them: map `config` by UID, and map `defaults` for every other UID."""

import errno
import struct

from execwatchd.kernel import layout
from execwatchd.kernel.libbpf import Map
from execwatchd.shared.errors import TableFull
from execwatchd.shared.rules import Action, Rule, limit_of, per_second

_UID = struct.Struct("=I")
_ACTIONS = (Action.RECORD, Action.IGNORE)  # enum action
_DEFAULT = _UID.pack(0)


class RulesMap:
    """The rule of each UID, by the descriptors of both maps. A rule here sets every member."""

    def __init__(self, config: int, defaults: int) -> None:
        self._config = Map(config)
        self._defaults = Map(defaults)
        self.capacity = self._config.info.max_entries

    def rules(self) -> dict[int, Rule]:
        """All that are in the map."""
        values = {key: self._config.get(key) for key in list(self._config.keys())}
        return {_UID.unpack(key)[0]: unpack(value) for key, value in values.items() if value is not None}

    def set(self, uid: int, rule: Rule) -> None:
        """Raises TableFull."""
        try:
            self._config.set(_UID.pack(uid), pack(rule))
        except OSError as error:
            if error.errno == errno.E2BIG:
                raise TableFull(self.capacity) from None
            raise

    def remove(self, uid: int) -> None:
        """The UID gets the default from now on. Raises OSError ENOENT if it has no rule."""
        self._config.delete(_UID.pack(uid))

    def default(self) -> Rule:
        """What a UID without a rule gets."""
        return unpack(self._defaults.get(_DEFAULT) or bytes(layout.RULE.size))

    def set_default(self, rule: Rule) -> None:
        """What a UID without a rule gets from now on."""
        self._defaults.set(_DEFAULT, pack(rule))


def pack(rule: Rule) -> bytes:
    """A rule as the program reads it: the message in UTF-8, the action's number, the limit in execs a second.

    Raises ValueError if a member isn't set.
    """
    if rule.message is None or rule.action is None or rule.limit is None:
        raise ValueError(f"not every member is set: {rule}")
    return layout.RULE.pack(rule.message.encode(), _ACTIONS.index(rule.action), per_second(rule.limit))


def unpack(value: bytes) -> Rule:
    """The rule that `pack` made this of."""
    message, action, limit = layout.RULE.unpack(value[: layout.RULE.size])
    return Rule(message.rstrip(b"\0").decode(errors="replace"), _ACTIONS[action], limit_of(limit))

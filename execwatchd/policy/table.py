# SPDX-License-Identifier: GPL-2.0-or-later
"""The message table: the configuration files' layer, the bus's layer over it, and the kernel's map below.

It is the only writer of the kernel's map, which holds what is in effect for each UID that any layer names;
every other UID gets the map's default entry.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, Protocol, TypeVar

from execwatchd.policy.configuration import Config, printable
from execwatchd.policy.state import State, StateStore
from execwatchd.policy.writer import ConfigMap, Entry, MapWriter
from execwatchd.shared.errors import NoSuchMessage, NotChanged, TableFull
from execwatchd.shared.rules import Action, per_second

STATE_ORIGIN = "state"

T = TypeVar("T")


class Row(NamedTuple):
    """A UID that has a message, an action or a limit of its own, with what is in effect for it.

    `origin` is `state`, or the file that set the first of the three that it has.
    """

    uid: int
    message: str
    action: Action
    origin: str
    limit: str


class _Snapshot(NamedTuple):
    default_message: str
    default_action: Action
    default_limit: str
    rows: dict[int, Row | None]


class Listener(Protocol):
    """Told after each change, once for each thing that really changed; must not raise."""

    def message_changed(self, uid: int) -> None:
        """The row of this UID changed, appeared or went."""

    def default_changed(self, name: str, value: str) -> None:
        """The property `DefaultMessage`, `DefaultAction` or `DefaultLimit` has this value now."""


class MessageTable:
    """What is in effect for each UID, and the changes to it; call it from one event loop only."""

    def __init__(self, kernel: ConfigMap, state: StateStore) -> None:
        self._kernel = MapWriter(kernel)
        self._store = state
        self._state = state.state
        self._config = Config()
        self._changing = asyncio.Lock()
        self.listeners: list[Listener] = []

    @property
    def default_message(self) -> str:
        """The message of every UID that has none of its own."""
        own = self._state.default_message
        return self._config.settings.default_message if own is None else own

    @property
    def default_action(self) -> Action:
        """The action of every UID that has none of its own."""
        return self._state.default_action or self._config.settings.default_action

    @property
    def default_limit(self) -> str:
        """The limit of every UID that has none of its own; the files' alone."""
        return self._config.settings.limit_per_user

    def message(self, uid: int) -> str:
        """The message that an exec by this UID gets now."""
        own = self._state.messages.get(uid, self._config.settings.messages.get(uid))
        return self.default_message if own is None else own

    def action(self, uid: int) -> Action:
        """The action that an exec by this UID gets now."""
        own = self._state.actions.get(uid) or self._config.settings.actions.get(uid)
        return own or self.default_action

    def limit(self, uid: int) -> str:
        """The limit of this UID's execs now."""
        return self._own_limit(uid) or self.default_limit

    def limits(self) -> list[tuple[int, str]]:
        """The limit of every UID that has one of its own, in order."""
        return [(uid, self.limit(uid)) for uid in sorted(self._state.limits | self._config.settings.limits)]

    def rows(self) -> list[Row]:
        """Every UID that any layer names, in order."""
        return [self._row(uid) for uid in sorted(self._named_by(self._config, self._state))]

    def message_file(self, uid: int) -> str | None:
        """The configuration file that has a message for this UID."""
        path = self._config.origin("messages", uid)
        return printable(path) if path else None

    def apply_settings(self, config: Config) -> None:
        """Makes `config` the file layer, and the kernel's map agree with it, whatever it held before.

        Raises TableFull or NotChanged, and then the old file layer and the map's content are still in place.
        """
        self._check_room(config, self._state)
        uids = self._uids() | self._named_by(config, self._state)
        self._change(config, self._state, uids)

    async def set_message(self, uid: int, message: str) -> bool:
        """Sets and keeps a message; False if it was set already. Raises TableFull or NotChanged."""
        return await self._commit(lambda state: {"messages": {**state.messages, uid: message}}, {uid})

    async def remove_message(self, uid: int) -> None:
        """Back to the file's message, else the default; raises NoSuchMessage or NotChanged."""
        if not await self._commit(lambda state: {"messages": _without(state.messages, uid)}, {uid}):
            raise NoSuchMessage(f"UID {uid} has no message that was set over D-Bus")

    async def set_action(self, uid: int, action: Action | None) -> bool:
        """Sets and keeps an action, None forgets it; False if it was so. Raises TableFull or NotChanged."""
        if action is None:
            return await self._commit(lambda state: {"actions": _without(state.actions, uid)}, {uid})
        return await self._commit(lambda state: {"actions": {**state.actions, uid: action}}, {uid})

    async def set_limit(self, uid: int, limit: str | None) -> bool:
        """Sets and keeps a limit, None forgets it; False if it was so. Raises TableFull or NotChanged."""
        if limit is None:
            return await self._commit(lambda state: {"limits": _without(state.limits, uid)}, {uid})
        return await self._commit(lambda state: {"limits": {**state.limits, uid: limit}}, {uid})

    async def set_default_message(self, message: str) -> bool:
        """Sets and keeps the default; False if it was set already. Raises NotChanged."""
        return await self._commit(lambda _: {"default_message": message}, None)

    async def set_default_action(self, action: Action) -> bool:
        """Sets and keeps the default; False if it was set already. Raises NotChanged."""
        return await self._commit(lambda _: {"default_action": action}, None)

    async def _commit(self, change: Callable[[State], dict[str, Any]], uids: set[int] | None) -> bool:
        """State file first, then the kernel's map; `uids` None means all, for the default reaches all."""
        async with self._changing:
            old = self._state
            new = replace(old, **change(old))
            if new == old:
                return False
            self._check_room(self._config, new)
            await self._store.save(new)
            try:
                self._change(self._config, new, self._uids() if uids is None else uids)
            except (TableFull, NotChanged):
                await self._store.save(old)
                raise
            return True

    def _change(self, config: Config, state: State, uids: Iterable[int]) -> None:
        """Replaces both layers at once, with the kernel's map and the listeners following, or not at all."""
        before = self._snapshot(uids)
        old = self._config, self._state
        self._config, self._state = config, state
        try:
            self._kernel.write({uid: self._entry(uid) for uid in uids}, self._default_entry())
        except BaseException:
            self._config, self._state = old
            raise
        self._notify(before, self._snapshot(uids))

    def _check_room(self, config: Config, state: State) -> None:
        if len(self._named_by(config, state)) > self._kernel.capacity:
            raise TableFull(self._kernel.capacity)

    def _notify(self, before: _Snapshot, after: _Snapshot) -> None:
        for listener in self.listeners:
            if after.default_message != before.default_message:
                listener.default_changed("DefaultMessage", after.default_message)
            if after.default_action != before.default_action:
                listener.default_changed("DefaultAction", after.default_action)
            if after.default_limit != before.default_limit:
                listener.default_changed("DefaultLimit", after.default_limit)
            for uid, row in after.rows.items():
                if row != before.rows[uid]:
                    listener.message_changed(uid)

    def _snapshot(self, uids: Iterable[int]) -> _Snapshot:
        rows = {uid: self._row(uid) if self._is_named(uid) else None for uid in uids}
        return _Snapshot(self.default_message, self.default_action, self.default_limit, rows)

    def _row(self, uid: int) -> Row:
        return Row(uid, self.message(uid), self.action(uid), self._origin(uid), self.limit(uid))

    def _origin(self, uid: int) -> str:
        state, settings = self._state, self._config.settings
        for table, own, file in (
            ("messages", state.messages, settings.messages),
            ("actions", state.actions, settings.actions),
            ("limits", state.limits, settings.limits),
        ):
            if uid in own:
                return STATE_ORIGIN
            if uid in file:
                path = self._config.origin(table, uid)
                return printable(path) if path else ""
        return ""

    def _entry(self, uid: int) -> Entry | None:
        if not self._is_named(uid):
            return None
        return Entry(self.message(uid).encode(), self.action(uid), per_second(self.limit(uid)))

    def _default_entry(self) -> Entry:
        return Entry(self.default_message.encode(), self.default_action, per_second(self.default_limit))

    def _is_named(self, uid: int) -> bool:
        layers = self._state, self._config.settings
        return any(uid in table for one in layers for table in (one.messages, one.actions, one.limits))

    def _own_limit(self, uid: int) -> str | None:
        return self._state.limits.get(uid) or self._config.settings.limits.get(uid)

    def _uids(self) -> set[int]:
        """Every UID that a layer names, or that a predecessor left in the kernel's map."""
        return self._named_by(self._config, self._state) | set(self._kernel.uids)

    @staticmethod
    def _named_by(config: Config, state: State) -> set[int]:
        layers = state, config.settings
        return {uid for one in layers for table in (one.messages, one.actions, one.limits) for uid in table}


def _without(table: Mapping[int, T], uid: int) -> dict[int, T]:
    return {key: value for key, value in table.items() if key != uid}

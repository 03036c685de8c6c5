# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of rules: the state over the configuration files, and the kernel's map that follows both.

It is the only writer of the kernel's map, which holds the rule that applies to each UID that a layer has;
every other UID gets the map's default.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol

from execwatchd.policy.configuration import Config, printable
from execwatchd.policy.layer import Layer
from execwatchd.policy.state import StateStore
from execwatchd.policy.writer import RulesMap, RuleWriter
from execwatchd.shared.errors import NotChanged, TableFull
from execwatchd.shared.rules import MEMBERS, Member, Rule

STATE_ORIGIN = "state"


class _Applied(NamedTuple):
    rule: Rule
    origin: str


class _Snapshot(NamedTuple):
    """The default, and what applies to each of some UIDs; None for a UID that no layer has."""

    default: Rule
    applied: dict[int, _Applied | None]


class Listener(Protocol):
    """Called after each change, once for each default and each UID that really changed; must not raise."""

    def rule_changed(self, uid: int) -> None:
        """The rule of this UID, or its origin, changed; or it appeared or went."""

    def default_changed(self, member: Member, value: str) -> None:
        """The default of this member has this value now."""


class RuleTable:
    """The rule that applies to each UID, and the changes to it; call it from one event loop only."""

    def __init__(self, kernel: RulesMap, store: StateStore) -> None:
        self._kernel = RuleWriter(kernel)
        self._store = store
        self._state = store.state
        self._config = Config()
        self._changing = asyncio.Lock()
        self.listeners: list[Listener] = []

    @property
    def default(self) -> Rule:
        """The rule of every UID that no layer has."""
        return self._state.default.over(self._files.default)

    def rule(self, uid: int) -> Rule:
        """The rule that applies to an exec by this UID now."""
        return self._state.rule(uid).over(self._files.rule(uid)).over(self.default)

    def rules(self) -> dict[int, Rule]:
        """The rule that applies to each UID that a layer has, in order."""
        return {uid: self.rule(uid) for uid in sorted(self._config.uids(self._state))}

    def values(self, member: Member) -> dict[int, Any]:
        """The UIDs that a layer sets this member for, in order, with the values that apply."""
        values = self._files.values(member) | self._state.values(member)
        return dict(sorted(values.items()))

    def origin(self, uid: int) -> str:
        """`state`, or the file that set the first member of the UID's rule that a layer sets."""
        for member in MEMBERS:
            if member.of(self._state.rule(uid)) is not None:
                return STATE_ORIGIN
            if member.of(self._files.rule(uid)) is not None:
                return self.file(uid, member) or ""
        return ""

    def file(self, uid: int, member: Member) -> str | None:
        """The configuration file that sets this member for this UID."""
        path = self._config.origin(member.table, uid)
        return printable(path) if path else None

    def apply_settings(self, config: Config) -> None:
        """Makes `config` the file layer, and the kernel's map agree with it, whatever it held before.

        Raises TableFull or NotChanged, and then the old file layer and the map's content are still in place.
        """
        self._check_room(config, self._state)
        uids = self._uids_anywhere() | config.uids(self._state)
        self._change(config, self._state, uids)

    async def set_value(self, uid: int, member: Member, value: object) -> bool:
        """Sets and keeps a member of the UID's rule; None: the state doesn't set it any more.

        False if it was so already. Raises TableFull or NotChanged.
        """
        return await self._commit(lambda state: state.with_value(uid, member, value), {uid})

    async def set_default(self, member: Member, value: object) -> bool:
        """Sets and keeps the default of a member; False if it was set already. Raises NotChanged."""
        return await self._commit(lambda state: state.with_default(member, value), None)

    async def _commit(self, change: Callable[[Layer], Layer], uids: set[int] | None) -> bool:
        """State file first, then the kernel's map; `uids` None means all, for the default reaches all."""
        async with self._changing:
            old = self._state
            new = change(old)
            if new == old:
                return False
            self._check_room(self._config, new)
            await self._store.save(new)
            try:
                self._change(self._config, new, self._uids_anywhere() if uids is None else uids)
            except (TableFull, NotChanged):
                await self._store.save(old)
                raise
            return True

    def _change(self, config: Config, state: Layer, uids: Iterable[int]) -> None:
        """Replaces both layers at once, with the kernel's map and the listeners following, or not at all."""
        before = self._snapshot(uids)
        old = self._config, self._state
        self._config, self._state = config, state
        try:
            after = self._snapshot(uids)
            rules = {uid: applied and applied.rule for uid, applied in after.applied.items()}
            self._kernel.write(rules, after.default)
        except BaseException:
            self._config, self._state = old
            raise
        self._notify(before, after)

    def _check_room(self, config: Config, state: Layer) -> None:
        if len(config.uids(state)) > self._kernel.capacity:
            raise TableFull(self._kernel.capacity)

    def _notify(self, before: _Snapshot, after: _Snapshot) -> None:
        for listener in self.listeners:
            for member in MEMBERS:
                if member.of(after.default) != member.of(before.default):
                    listener.default_changed(member, member.of(after.default))
            for uid, applied in after.applied.items():
                if applied != before.applied[uid]:
                    listener.rule_changed(uid)

    def _snapshot(self, uids: Iterable[int]) -> _Snapshot:
        return _Snapshot(self.default, {uid: self._applied(uid) for uid in uids})

    def _applied(self, uid: int) -> _Applied | None:
        is_named = uid in self._state.rules or uid in self._files.rules
        return _Applied(self.rule(uid), self.origin(uid)) if is_named else None

    @property
    def _files(self) -> Layer:
        return self._config.settings.rules

    def _uids_anywhere(self) -> set[int]:
        """Every UID that a layer has, or that a predecessor left in the kernel's map."""
        return self._config.uids(self._state) | set(self._kernel.uids)

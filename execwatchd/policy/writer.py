# SPDX-License-Identifier: GPL-2.0-or-later
"""Changes to the kernel's map of rules: only differences are written, and a change that fails is undone."""

import logging
from collections.abc import Iterable, Mapping
from typing import Protocol

from execwatchd.shared.errors import ChangeError, NotChanged
from execwatchd.shared.rules import Rule

log = logging.getLogger(__name__)


class RulesMap(Protocol):
    """The kernel's hash map from UID to rule, and its rule for every other UID. The rules set every member.

    Any of these may raise OSError; a failed call has changed nothing.
    """

    @property
    def capacity(self) -> int:
        """How many UIDs fit."""

    def rules(self) -> dict[int, Rule]:
        """What the map holds now, by UID."""

    def set(self, uid: int, rule: Rule) -> None:
        """Adds or replaces a UID's rule; raises TableFull."""

    def remove(self, uid: int) -> None:
        """Removes a UID's rule, which is there."""

    def default(self) -> Rule:
        """The rule of every UID that the map doesn't hold."""

    def set_default(self, rule: Rule) -> None:
        """Replaces that rule."""


class RuleWriter:
    """The only writer of the map. It remembers what the map holds, and so reads it only once."""

    def __init__(self, kernel: RulesMap) -> None:
        self._kernel = kernel
        self._rules = kernel.rules()
        self._default = kernel.default()

    @property
    def uids(self) -> Iterable[int]:
        """The UIDs that the map holds."""
        return self._rules.keys()

    @property
    def capacity(self) -> int:
        """How many UIDs fit."""
        return self._kernel.capacity

    def write(self, rules: Mapping[int, Rule | None], default: Rule) -> None:
        """Gives each of these UIDs its rule (None: it has none) and sets the default.

        Raises TableFull or NotChanged, and then the map is as it was.
        """
        old, old_default = {uid: self._rules.get(uid) for uid in rules}, self._default
        try:
            self._write(rules, default)
        except (ChangeError, OSError) as error:
            self._undo(old, old_default)
            if isinstance(error, ChangeError):
                raise
            log.error("The kernel's map refused a change: %s", error)  # noqa: TRY400  the errno says it all
            raise NotChanged(f"the kernel refused the change, so it was not made: {error.strerror}") from None

    def _write(self, rules: Mapping[int, Rule | None], default: Rule) -> None:
        # At every moment each UID has its old or its new rule. A UID that leaves the map falls back to the
        # default, so it leaves after the default has changed. A UID that must not see the default change is
        # in the map with its new rule before.
        leaving = self._leaving(rules)
        for uid in sorted(rules, key=self._is_new):
            rule = rules[uid]
            if rule is None or rule == self._rules.get(uid):
                continue
            if leaving and self._is_new(uid) and len(self._rules) >= self.capacity:
                self._remove(leaving.pop())
            self._set(uid, rule)
        self._set_default(default)
        for uid in leaving:
            self._remove(uid)

    def _leaving(self, rules: Mapping[int, Rule | None]) -> list[int]:
        return [uid for uid, rule in rules.items() if rule is None and uid in self._rules]

    def _is_new(self, uid: int) -> bool:
        return uid not in self._rules

    def _set(self, uid: int, rule: Rule) -> None:
        self._kernel.set(uid, rule)
        self._rules[uid] = rule

    def _remove(self, uid: int) -> None:
        self._kernel.remove(uid)
        del self._rules[uid]

    def _set_default(self, default: Rule) -> None:
        if default != self._default:
            self._kernel.set_default(default)
            self._default = default

    def _undo(self, old: Mapping[int, Rule | None], old_default: Rule) -> None:
        try:
            for uid in self._leaving(old):
                self._remove(uid)
            self._write(old, old_default)
        except (ChangeError, OSError) as error:
            log.critical("The kernel's map refused a change and its undoing; restart the daemon: %s", error)

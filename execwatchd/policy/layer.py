# SPDX-License-Identifier: GPL-2.0-or-later
"""One layer of rules, and the form that it has in a file: a key for each default, a table for each member."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from execwatchd.shared.rules import MEMBERS, Member, Rule

_NOTHING = Rule()


@dataclass(frozen=True)
class Layer:
    """What the configuration files or the state set: for single UIDs, and by default for all others.

    A UID for which nothing is set isn't in `rules`.
    """

    default: Rule = field(default_factory=Rule)
    rules: Mapping[int, Rule] = field(default_factory=dict)

    @classmethod
    def of_file(cls, values: Mapping[str, Any]) -> "Layer":
        """From a file's checked values by key; other keys don't matter."""
        tables = {member: values.get(member.table, {}) for member in MEMBERS}
        uids = dict.fromkeys(uid for table in tables.values() for uid in table)
        return cls(
            _rule({member: values.get(member.default_key) for member in MEMBERS}),
            {uid: _rule({member: table.get(uid) for member, table in tables.items()}) for uid in uids},
        )

    def defaults(self) -> dict[str, Any]:
        """The defaults that are set, by their keys in a file."""
        values = {member.default_key: member.of(self.default) for member in MEMBERS}
        return {key: value for key, value in values.items() if value is not None}

    def tables(self) -> dict[str, dict[int, Any]]:
        """What is set for UIDs, by the names that the tables have in a file; empty tables too."""
        return {member.table: self.values(member) for member in MEMBERS}

    def values(self, member: Member) -> dict[int, Any]:
        """The UIDs that this member is set for, with its values."""
        values = {uid: member.of(rule) for uid, rule in self.rules.items()}
        return {uid: value for uid, value in values.items() if value is not None}

    def rule(self, uid: int) -> Rule:
        """What is set for this UID itself."""
        return self.rules.get(uid, _NOTHING)

    def with_value(self, uid: int, member: Member, value: Any) -> "Layer":
        """The same with another value of one UID; None: it isn't set any more."""
        rule = self.rule(uid)._replace(**{member.name: value})
        others = {other: kept for other, kept in self.rules.items() if other != uid}
        return replace(self, rules=others if rule == _NOTHING else {**others, uid: rule})

    def with_default(self, member: Member, value: Any) -> "Layer":
        """The same with another default."""
        return replace(self, default=self.default._replace(**{member.name: value}))


def _rule(values: Mapping[Member, Any]) -> Rule:
    return Rule(**{member.name: value for member, value in values.items()})

# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules as tests write them."""

from execwatchd.shared.rules import BUILT_IN, Action, Rule, limit_of


def rule(message: str, action: Action = Action.RECORD, per_second: int = 0) -> Rule:
    """A rule that sets every member; 0 execs a second: no limit."""
    return BUILT_IN._replace(message=message, action=action, limit=limit_of(per_second))

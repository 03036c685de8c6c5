# SPDX-License-Identifier: GPL-2.0-or-later
"""The tables, compiled."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from execwatchd.redaction.judgement import Judgement
from execwatchd.redaction.options import Commands
from execwatchd.redaction.search import Regex, any_of
from execwatchd.redaction.tables import Tables, merged


class Grammar:
    """`hint`: quick; what it finds nothing in has no secret. `starts`: where a command may begin."""

    def __init__(self, tables: Tables) -> None:
        self.judgement = Judgement(tables)
        self.names = self.judgement.names
        self.commands = Commands(tables, self.names)
        names = "|".join(map(re.escape, self.commands.names()))
        self.starts = Regex(rf"(?-i:(?:\A|\0|=)(?:[^\0\s=]*/)?(?:{names})[\0 ])")
        self.hint = any_of([*self.judgement.clues, *self.commands.hints()], "(?i)")


def check(files: Sequence[Mapping[str, Any]]) -> None:
    """Raises ValueError if what they add to the built-in tables can't be compiled."""
    if files:
        Grammar(merged(files))

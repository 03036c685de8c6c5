# SPDX-License-Identifier: GPL-2.0-or-later
"""Which journal files of a source are damaged, so that nothing of them is left out in silence."""

import re
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

from execwatchd.ctl.journal import file_header
from execwatchd.ctl.journal.journal_files import files
from execwatchd.ctl.ports import Source

_LACKING = "fields of its entries are unreadable"
_place = re.compile(r"s=([0-9a-f]{32});i=([0-9a-f]+);").match  # of an entry, at the start of its cursor


class DamagedFiles:
    """Knows them by their headers, and by the cursors of damaged entries that were read."""

    def __init__(self, source: Source) -> None:
        self.files: Sequence[Path] = ()
        with suppress(OSError):  # no such directory: opening it says so
            self.files = files(source)
        self._damage = {path: what for path in self.files if (what := file_header.damage(path))}
        self._unnamed = dict(self._damage)

    def among(self, paths: Collection[Path]) -> list[Path]:
        """Those of the paths that sd-journal can't read whole."""
        return [path for path in paths if self._damage.get(path, _LACKING) != _LACKING]

    def note(self, cursor: str) -> None:
        """The entry with this cursor is damaged."""
        place = _place(cursor)
        path = self._holder(bytes.fromhex(place[1]), int(place[2], 16)) if place else None
        if path is not None and path not in self._damage:
            self._damage[path] = self._unnamed[path] = _LACKING

    def lines(self) -> list[str]:
        """A line for each damaged file, but for those of earlier calls."""
        unnamed, self._unnamed = self._unnamed, {}
        return [f"{path} was not read whole: {what}" for path, what in unnamed.items()]

    def _holder(self, sequence: bytes, number: int) -> Path | None:
        """The file that has the entry of this number."""
        for path in (*self._damage, *self.files):
            with suppress(OSError):
                header = file_header.read(path)
                if (
                    header
                    and header.sequence == sequence
                    and header.first_number <= number <= header.last_number
                ):
                    return path
        return None

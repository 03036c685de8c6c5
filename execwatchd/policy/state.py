# SPDX-License-Identifier: GPL-2.0-or-later
"""The state file: what was set over the bus, as JSON. It is on disk before a caller is answered."""

import asyncio
import json
import logging
import os
import time
from pathlib import Path
from typing import NamedTuple

from execwatchd.policy.layer import Layer
from execwatchd.shared import atomic_file
from execwatchd.shared.errors import NotChanged
from execwatchd.shared.message_ids import MessageId, log_fields

log = logging.getLogger(__name__)

VERSION = 1  # of the form of the file


class Loaded(NamedTuple):
    """What a state file has, or the reason why it is rejected."""

    state: Layer = Layer()
    rejected: str = ""


class StateStore:
    """The state and its file. `path` None: no file. `state` is what was loaded or saved last.

    A file that is rejected is renamed, with an entry in the log, and the state is empty.
    """

    def __init__(self, path: Path | None, loaded: Loaded | None = None) -> None:
        """`loaded`: what reader.state read at `path`."""
        self._path = path
        self._keeps_rejected = False  # a rejected file is still at `path`, and must not be overwritten
        self.problem = ""  # on one line: why what was set over the bus is not in effect
        self.state, rejected = loaded or Loaded()
        if path and rejected:
            self._reject(path, rejected)

    async def save(self, state: Layer) -> None:
        """Returns once `state` is on disk; raises NotChanged, and then the file is as it was."""
        if self._path is not None:
            # In a thread: fsync can take seconds on a busy disk, and the event loop feeds the journal.
            await asyncio.to_thread(self._write, self._path, state)
        self.state = state

    def _reject(self, path: Path, reason: str) -> None:
        try:
            fate = f"set aside as {_set_aside(path)}"
        except OSError as error:
            self._keeps_rejected = True
            fate = f"left in place, as it cannot be renamed: {error.strerror}"
        self.problem = f"what was set over D-Bus before this start is not in effect: {path} was {fate}"
        log.error(
            "State file %s rejected, %s: %s. What was set over D-Bus is not in effect.",
            path,
            fate,
            reason,
            extra=log_fields(MessageId.STATE_REJECTED, EXECWATCH_FILE=str(path), EXECWATCH_REASON=reason),
        )

    def _write(self, path: Path, state: Layer) -> None:
        try:
            if self._keeps_rejected:
                _set_aside(path)
                self._keeps_rejected = False
            content = {"version": VERSION, **state.defaults(), **state.tables()}
            text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
            atomic_file.write(path, text.encode(), mode=0o600, durable=True)
        except OSError as error:
            log.error("Cannot write %s: %s", path, error.strerror)  # noqa: TRY400  the errno says it all
            raise NotChanged(f"the change could not be saved, so it was not made: {error.strerror}") from None


def _set_aside(path: Path) -> Path:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    target = path.with_name(f"{path.name}.rejected-{stamp}")
    number = 1
    while os.path.lexists(target):  # no race: only this daemon writes here
        number += 1
        target = path.with_name(f"{path.name}.rejected-{stamp}-{number}")
    path.rename(target)
    return target

# SPDX-License-Identifier: GPL-2.0-or-later
"""The configuration accepted last: it is kept, and stays in effect while the files are invalid."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path

from execwatchd.policy.configuration import Config
from execwatchd.policy.state import Loaded
from execwatchd.shared import atomic_file
from execwatchd.shared.errors import ConfigError
from execwatchd.shared.message_ids import MessageId, log_fields

log = logging.getLogger(__name__)

# The program is compiled for these, and the running daemon has no privilege left to load another.
_AT_START = ("failures", "cwd", "ancestors", "interactive", "exits", "argv_bytes", "ring_size")


@dataclass(frozen=True)
class StartFiles:
    """What was read at a start. `config`: None if the files have `problems`. `last`: what `keep` wrote."""

    config: Config | None
    problems: ConfigError | None
    last: Config | None
    state: Loaded

    def choose(self, *, taking_over: bool) -> Config:
        """The files' configuration; at a take-over with invalid ones the last accepted.

        Raises ConfigError at a cold start only: a unit that fails for good loses its descriptor store.
        """
        if self.problems:
            if not taking_over:
                raise self.problems
            reject(self.problems)
        return self.config or self.last or Config()


def reject(error: Exception) -> None:
    """Logs an entry for each line of the error. A ConfigError has a line for each problem."""
    for problem in str(error).splitlines():
        log.error(
            "configuration rejected, the old one stays: %s",
            problem,
            extra=log_fields(MessageId.CONFIG_REJECTED, EXECWATCH_REASON=problem),
        )


def warn_of_restart(old: Config, new: Config) -> None:
    """Logs which of the changed settings take effect only at a restart."""
    changed = [name for name in _AT_START if getattr(old.settings, name) != getattr(new.settings, name)]
    if changed:
        log.warning("a change of %s takes effect at a restart: systemctl restart", ", ".join(changed))


def keep(path: Path | None, config: Config) -> None:
    """Keeps an accepted configuration at `path`. That it fails is only logged: a take-over with an invalid
    configuration then has what was kept before, or the defaults.
    """
    if path is None:
        return
    origins = [[list(key), str(file)] for key, file in config.origins.items()]
    content = {"settings": config.settings.in_file(), "origins": origins}
    try:
        atomic_file.write(path, json.dumps(content).encode(), mode=0o600)
    except OSError as error:
        log.warning("the accepted configuration could not be kept in %s: %s", path, error.strerror)

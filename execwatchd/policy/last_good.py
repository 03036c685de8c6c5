# SPDX-License-Identifier: GPL-2.0-or-later
"""The configuration accepted last: it is kept, and stays in effect while the files are invalid."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from execwatchd.policy.configuration import Config
from execwatchd.policy.layer import Layer
from execwatchd.policy.state import Loaded
from execwatchd.shared import atomic_file
from execwatchd.shared.errors import EXIT_CONFIG, Failure
from execwatchd.shared.message_ids import MessageId, log_fields
from execwatchd.shared.rules import MAX_UIDS

log = logging.getLogger(__name__)


class Chosen(NamedTuple):
    """The configuration to start with. `rejected`: why it isn't the files', and `which` it is then."""

    config: Config
    rejected: Failure | None = None
    which: str = ""


@dataclass(frozen=True)
class StartFiles:
    """What was read at a start. `config`: None if the files have `problems`. `last`: what `keep` wrote."""

    config: Config | None
    problems: Failure | None
    last: Config | None
    state: Loaded

    def choose(self, *, taking_over: bool) -> Chosen:
        """The first of the files' configuration, the one accepted last and the defaults that is valid and
        fits into the kernel's table together with the state.

        Raises the files' problems at a first start only, where no configuration was accepted before: to
        record wins over refusing to start.
        """
        problems = self.problems
        if problems and not self.last and not taking_over:
            raise problems
        if self.config:
            problems = too_many_uids(self.config, self.state.state)
            if not problems:
                return Chosen(self.config)
        if self.last and not too_many_uids(self.last, self.state.state):
            return Chosen(self.last, problems, "the one accepted last applies")
        return Chosen(Config(), problems, "the defaults apply")


def too_many_uids(config: Config, state: Layer) -> Failure | None:
    """Why the files and the state do not fit into the kernel's table together; None if they do."""
    count = len(config.uids(state))
    if count <= MAX_UIDS:
        return None
    return Failure(
        f"the files and what was set over D-Bus have {count} UIDs together, and the table holds {MAX_UIDS}",
        "remove some of them",
        EXIT_CONFIG,
    )


def reject(error: Exception, which: str = "the old one stays") -> None:
    """Logs an entry for each line of the error. A ConfigError has a line for each problem.

    `which`: the configuration that is in effect instead.
    """
    for problem in str(error).splitlines():
        log.error(
            "configuration rejected, %s: %s",
            which,
            problem,
            extra=log_fields(MessageId.CONFIG_REJECTED, EXECWATCH_REASON=problem),
        )


def keep(path: Path | None, config: Config) -> None:
    """Keeps an accepted configuration at `path`. That it fails is only logged: a start with an invalid
    configuration then has what was kept before.
    """
    if path is None:
        return
    origins = [[list(key), str(file)] for key, file in config.origins.items()]
    content = {"settings": config.settings.in_file(), "origins": origins, "secrets": config.secrets}
    try:
        atomic_file.write(path, json.dumps(content).encode(), mode=0o600)
    except OSError as error:
        log.warning(
            "the accepted configuration could not be kept in %s: %s; a start with invalid files will have the"
            " one that was kept before",
            path,
            error.strerror,
        )

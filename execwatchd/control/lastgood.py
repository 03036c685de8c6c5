# SPDX-License-Identifier: GPL-2.0-or-later
"""The configuration that was accepted last, for a daemon that takes over and finds an invalid one."""

import json
import logging
from pathlib import Path

from pydantic import ValidationError

from execwatchd.control.config import Config
from execwatchd.control.settings import Settings

log = logging.getLogger(__name__)


def save(path: Path | None, config: Config) -> None:
    """Best effort: without it a take-over with an invalid configuration has only the defaults."""
    if path is None:
        return
    origins = [[list(key), str(file)] for key, file in config.origins.items()]
    content = {"settings": config.settings.model_dump(mode="json"), "origins": origins}
    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.write_text(json.dumps(content))
        temporary.replace(path)
    except OSError as error:
        log.warning("the accepted configuration could not be kept in %s: %s", path, error.strerror)


def load(path: Path | None) -> Config | None:
    """None: there is none, or none that this version understands."""
    if path is None:
        return None
    try:
        content = json.loads(path.read_bytes())
        origins = {tuple(key): Path(file) for key, file in content["origins"]}
        return Config(Settings.model_validate(content["settings"]), origins, tuple(set(origins.values())))
    except (OSError, ValueError, KeyError, TypeError, ValidationError):
        return None

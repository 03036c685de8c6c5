# SPDX-License-Identifier: GPL-2.0-or-later
"""The merged configuration, and which file each of its values is from."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from execwatchd.policy.layer import Layer
from execwatchd.policy.settings import Key, Settings

_BUILT_IN = "built in"


@dataclass(frozen=True)
class Config:
    """The merged settings, the file that each value is from, and the files read, in order.

    `secrets`: what the files of redact.d add to the built-in tables, as tables.merged takes it.
    """

    settings: Settings = field(default_factory=Settings)
    origins: Mapping[Key, Path] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    secrets: tuple[Mapping[str, Any], ...] = ()

    def origin(self, *key: str | int) -> Path | None:
        """The file that set `default_message` or `"messages", 501`; None where it is built in."""
        return self.origins.get(key)

    def uids(self, state: Layer) -> set[int]:
        """Every UID that the files or the state have; the kernel's table needs room for them."""
        return self.settings.rules.rules.keys() | state.rules.keys()


def render(config: Config) -> str:
    """The merged configuration as TOML, each value with a comment that names its file."""
    lines: list[str] = []
    for name, value in config.settings.in_file().items():
        if isinstance(value, Mapping):
            lines.extend(("", f"[{name}]"))
            lines.extend(_line(value[uid], config.origin(name, uid), uid) for uid in sorted(value))
        else:
            lines.append(_line(value, config.origin(name), name))
    return "\n".join((*lines, ""))


def _line(value: object, origin: Path | None, key: str | int) -> str:
    comment = printable(origin) if origin else _BUILT_IN
    if value is None:
        return f"# {key} is chosen by the number of CPUs  # {comment}"
    # Without control characters, which no value may have, a JSON string is a TOML basic string.
    return f"{key} = {json.dumps(value, ensure_ascii=False)}  # {comment}"


def printable(path: Path) -> str:
    """A path on one line, with escapes for what isn't printable."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(path))

# SPDX-License-Identifier: GPL-2.0-or-later
"""The configuration files: which are read, in what order, and how they merge.

The rules are those of UAPI.6 (https://uapi-group.org/specifications/specs/configuration_files_specification/):
the first main file of /etc, /run, /usr/lib counts; drop-ins of all three are read in the order of their
names, a name in an earlier directory hides the same name in a later one; an empty file or a link to
/dev/null stands for no file. A later value overrides an earlier one, in the tables one for each UID.
"""

import json
import os
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from execwatchd.control.errors import ConfigError
from execwatchd.control.settings import Key, Settings, keys

DIRECTORIES = ("etc/execwatchd", "run/execwatchd", "usr/lib/execwatchd")  # highest precedence first
FILE = "execwatchd.toml"
_BUILT_IN = "built in"


class _FileError(Exception):
    """A problem with a file as a whole; the text may begin with a place in it."""


@dataclass(frozen=True)
class Config:
    """The merged settings, the file that each value comes from, and the files read, in order."""

    settings: Settings = field(default_factory=Settings)
    origins: Mapping[Key, Path] = field(default_factory=dict)
    files: tuple[Path, ...] = ()

    def origin(self, *key: str | int) -> Path | None:
        """The file that set `default_message` or `"messages", 501`; None where it is built in."""
        return self.origins.get(key)


def load(root: Path = Path("/")) -> Config:
    """Reads and merges every configuration file under `root`; no file at all is fine.

    Raises ConfigError with all problems of all files.
    """
    from execwatchd.control import model  # noqa: PLC0415  the daemon itself does without pydantic

    merged: dict[str, Any] = {}
    origins: dict[Key, Path] = {}
    files, found = _files(root)
    read = []
    for path in files:
        try:
            values = _parse(_read(path))
            settings = model.settings(values)
        except model.ModelError as error:
            found.extend(f"{printable(path)}: {problem}" for problem in error.problems)
        except _FileError as error:
            found.append(f"{printable(path)}: {error}")
        else:
            read.append(path)
            valid = {name: getattr(settings, name) for name in values}
            _merge(merged, valid)
            origins.update((key, path) for key in keys(valid))
    if found:
        raise ConfigError(found)
    return Config(Settings(**merged), origins, tuple(read))


def render(config: Config) -> str:
    """The merged configuration as TOML, each value with a comment that names the file it comes from."""
    scalars: list[str] = []
    tables: list[str] = []
    for name in (one.name for one in fields(Settings)):
        value = getattr(config.settings, name)
        if isinstance(value, Mapping):
            tables.extend(("", f"[{name}]"))
            tables.extend(_line(config, name, uid) for uid in sorted(value))
        else:
            scalars.append(_line(config, name))
    return "\n".join((*scalars, *tables, ""))


def _line(config: Config, name: str, uid: int | None = None) -> str:
    value = getattr(config.settings, name)
    value, key = (value, (name,)) if uid is None else (value[uid], (name, uid))
    origin = config.origin(*key)
    comment = printable(origin) if origin else _BUILT_IN
    if value is None:
        return f"# {key[-1]} is chosen by the number of CPUs  # {comment}"
    # Without control characters, which no value may have, a JSON string is a TOML basic string.
    return f"{key[-1]} = {json.dumps(value, ensure_ascii=False)}  # {comment}"


def printable(path: Path) -> str:
    """A path on one line, whatever bytes it has."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(path))


def _files(root: Path) -> tuple[list[Path], list[str]]:
    """The files to read in order, and the problems of finding them."""
    mains = [path for directory in DIRECTORIES if os.path.lexists(path := root / directory / FILE)]
    drop_ins: dict[str, Path] = {}
    found = []
    for directory in reversed(DIRECTORIES):
        path = root / directory / f"{FILE}.d"
        try:
            drop_ins.update((name, path / name) for name in _names(path))
        except OSError as error:
            found.append(f"{printable(path)}: cannot be read: {error.strerror}")
    in_order = [drop_ins[name] for name in sorted(drop_ins, key=os.fsencode)]
    return [path for path in (*mains[:1], *in_order) if not _is_masked(path)], found


def _names(directory: Path) -> list[str]:
    try:
        return [name for name in os.listdir(directory) if name.endswith(".toml") and name[0] != "."]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_masked(path: Path) -> bool:
    try:
        info = path.stat()
    except OSError:
        return False  # reading it will say why
    return (stat.S_ISREG(info.st_mode) and info.st_size == 0) or os.path.realpath(path) == "/dev/null"


def _read(path: Path) -> bytes:
    try:
        # O_NONBLOCK: opening a FIFO must not wait for its writer
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise _FileError("not a regular file")
            return file.read()
    except OSError as error:
        raise _FileError(f"cannot be read: {error.strerror}") from None


def _parse(raw: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(raw.decode())
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _FileError(f"line {line}: not UTF-8: byte 0x{raw[error.start]:02x}") from None
    except RecursionError:
        raise _FileError("nested too deeply") from None
    except ValueError as error:  # TOMLDecodeError, and int()'s own limit on digits
        reason, _, place = str(error).rpartition(" (at ")
        raise _FileError(f"{place.rstrip(')')}: {reason}" if reason else str(error)) from None


def _merge(merged: dict[str, Any], values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, Mapping):
            merged.setdefault(name, {}).update(value)
        else:
            merged[name] = value

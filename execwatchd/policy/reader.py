# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads configuration files, state, and the configuration accepted last. That needs pydantic, so the daemon
leaves it to a forked process, which ends.

Which files are read, in what order, and how they merge are the rules of UAPI.6
(https://uapi-group.org/specifications/specs/configuration_files_specification/):
the first main file of /etc, /run, /usr/lib counts; drop-ins of all three are read in the order of their
names, a name in an earlier directory hides the same name in a later one; an empty file or a link to
/dev/null stands for no file. A later value overrides an earlier one; in a table, for its UID only.
"""

import json
import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from execwatchd.policy import validate
from execwatchd.policy.configuration import Config, printable
from execwatchd.policy.last_good import StartFiles
from execwatchd.policy.layer import Layer
from execwatchd.policy.settings import Key, Settings, keys
from execwatchd.policy.state import Loaded
from execwatchd.shared.errors import ConfigError

DIRECTORIES = ("etc/execwatchd", "run/execwatchd", "usr/lib/execwatchd")  # highest precedence first
FILE = "execwatchd.toml"


class _FileError(Exception):
    """A problem with a file as a whole. Its text may start with a line and column."""


def configuration(root: Path = Path("/")) -> Config:
    """Reads and merges every configuration file under `root`; no file at all is fine.

    Raises ConfigError with all problems of all files.
    """
    merged: dict[str, Any] = {}
    origins: dict[Key, Path] = {}
    files, problems = _files(root)
    read = []
    for path in files:
        try:
            values = validate.settings(_parse(_read(path)))
        except validate.InvalidError as error:
            problems.extend(f"{printable(path)}: {problem}" for problem in error.problems)
        except _FileError as error:
            problems.append(f"{printable(path)}: {error}")
        else:
            read.append(path)
            _merge(merged, values)
            origins.update((key, path) for key in keys(values))
    if problems:
        raise ConfigError(problems)
    return Config(Settings.of_file(merged), origins, tuple(read))


def state(path: Path | None) -> Loaded:
    """What the state file has; no file is an empty state."""
    if path is None:
        return Loaded()
    try:
        return Loaded(Layer.of_file(validate.state(path.read_bytes())))
    except FileNotFoundError:
        return Loaded()
    except validate.InvalidError as error:
        return Loaded(rejected=error.problems[0])
    except OSError as error:
        return Loaded(rejected=error.strerror or str(error))


def last_good(path: Path | None) -> Config | None:
    """What `last_good.keep` wrote. None: there is no such file, or this version doesn't understand it."""
    if path is None:
        return None
    try:
        content = json.loads(path.read_bytes())
        origins = {tuple(key): Path(file) for key, file in content["origins"]}
        settings = Settings.of_file(validate.settings(content["settings"]))
        return Config(settings, origins, tuple(set(origins.values())))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def at_start(last: Path | None, state_file: Path | None) -> StartFiles:
    """All three. Problems with them are in the result, not raised."""
    config, problems = None, None
    try:
        config = configuration()
    except ConfigError as error:
        problems = error
    return StartFiles(config, problems, last_good(last), state(state_file))


def _files(root: Path) -> tuple[list[Path], list[str]]:
    """The files to read, in order, and the problems with listing them."""
    mains = [path for directory in DIRECTORIES if os.path.lexists(path := root / directory / FILE)]
    drop_ins: dict[str, Path] = {}
    problems = []
    for directory in reversed(DIRECTORIES):
        path = root / directory / f"{FILE}.d"
        try:
            drop_ins.update((name, path / name) for name in _names(path))
        except OSError as error:
            problems.append(f"{printable(path)}: cannot be read: {error.strerror}")
    in_order = [drop_ins[name] for name in sorted(drop_ins, key=os.fsencode)]
    return [path for path in (*mains[:1], *in_order) if not _is_masked(path)], problems


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

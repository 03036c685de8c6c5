# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads configuration files, state, and the configuration accepted last. That needs pydantic, so the daemon
leaves it to a forked process, which ends.

Which files are read, in what order, and how they merge are the rules of UAPI.6
(https://uapi-group.org/specifications/specs/configuration_files_specification/):
the first main file of /etc, /run, /usr/lib counts; drop-ins of all three are read in the order of their
names, a name in an earlier directory hides the same name in a later one; an empty file or a link to
/dev/null stands for no file. A later value overrides an earlier one; in a table, for its UID only.
"""

import codecs
import json
import os
import stat
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from execwatchd.policy import validate
from execwatchd.policy.configuration import Config, printable
from execwatchd.policy.last_good import StartFiles, too_many_uids
from execwatchd.policy.layer import Layer
from execwatchd.policy.settings import Key, Settings, keys
from execwatchd.policy.state import Loaded
from execwatchd.redaction import grammar
from execwatchd.shared.errors import ConfigError, Failure
from execwatchd.shared.rules import MAX_UIDS

DIRECTORIES = ("etc/execwatchd", "run/execwatchd", "usr/lib/execwatchd")  # highest precedence first
FILE = "execwatchd.toml"
DROP_INS, SECRETS = f"{FILE}.d", "redact.d"

_LARGEST = 16 << 20  # bytes of a file: ten times what all UIDs that the table holds take


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
        values = _values(path, validate.settings, problems)
        if values is not None:
            read.append(path)
            _merge(merged, values)
            origins.update((key, path) for key in keys(values))
    secrets = _secrets(root, read, problems)
    config = Config(Settings.of_file(merged), origins, tuple(read), secrets)
    rules = config.settings.rules
    if len(rules.rules) > MAX_UIDS:
        problems.append(f"{printable(read[-1])}: up to here the files have {_too_many(rules)}")
    if problems:
        raise ConfigError(problems)
    return config


def _values(
    path: Path, check: Callable[[Mapping[str, Any]], dict[str, Any]], problems: list[str]
) -> dict[str, Any] | None:
    """What the file has; None if it has problems, which are added to the others."""
    try:
        return check(_parse(_read(path)))
    except validate.InvalidError as error:
        problems.extend(f"{printable(path)}: {problem}" for problem in error.problems)
    except OSError as error:
        problems.append(f"{printable(path)}: cannot be read: {error.strerror}")
    except _FileError as error:
        problems.append(f"{printable(path)}: {error}")
    return None


def _secrets(root: Path, read: list[Path], problems: list[str]) -> tuple[dict[str, Any], ...]:
    """What the files of redact.d have, in order; `read` is added to."""
    secrets = []
    for path in _drop_ins(root, SECRETS, problems):
        values = _values(path, validate.secrets, problems)
        if values is not None:
            secrets.append(values)
            read.append(path)
    try:
        grammar.check(secrets)
    except ValueError as error:
        problems.append(f"{printable(read[-1])}: up to here the files of {SECRETS} have too much: {error}")
    return tuple(secrets)


def checked(state_file: Path) -> tuple[Config, str]:
    """The configuration, and why the state could not be counted with it; empty if it could.

    Raises ConfigError, or Failure if both have too many UIDs together.
    """
    config, loaded = configuration(), state(state_file)
    if problem := too_many_uids(config, loaded.state):
        raise problem
    return config, loaded.rejected


def state(path: Path | None) -> Loaded:
    """What the state file has; no file is an empty state."""
    if path is None:
        return Loaded()
    try:
        layer = Layer.of_file(validate.state(_read(path)))
    except FileNotFoundError:
        return Loaded()
    except validate.InvalidError as error:
        return Loaded(rejected=error.problems[0])
    except _FileError as error:
        return Loaded(rejected=str(error))
    except OSError as error:
        return Loaded(rejected=error.strerror or str(error))
    return Loaded(layer) if len(layer.rules) <= MAX_UIDS else Loaded(rejected=f"it has {_too_many(layer)}")


def last_good(path: Path | None) -> Config | None:
    """What `last_good.keep` wrote. None: there is no such file, or this version doesn't understand it."""
    if path is None:
        return None
    try:
        content = json.loads(_read(path))
        origins = {tuple(key): Path(file) for key, file in content["origins"]}
        settings = Settings.of_file(validate.settings(content["settings"]))
        secrets = tuple(map(validate.secrets, content.get("secrets", ())))
        grammar.check(secrets)
        return Config(settings, origins, tuple(set(origins.values())), secrets)
    except (OSError, _FileError, ValueError, KeyError, TypeError, RecursionError):
        return None


def at_start(last: Path | None, state_file: Path | None) -> StartFiles:
    """All three. Problems with them are in the result, not raised."""
    try:
        config = configuration()
    except ConfigError as error:
        return without_files(error, last, state_file)
    return StartFiles(config, None, last_good(last), state(state_file))


def without_files(problem: Failure, last: Path | None, state_file: Path | None) -> StartFiles:
    """The same where the configuration files have this problem."""
    return StartFiles(None, problem, last_good(last), state(state_file))


def _too_many(rules: Layer) -> str:
    return f"{len(rules.rules)} UIDs, and the table holds {MAX_UIDS}"


def _files(root: Path) -> tuple[list[Path], list[str]]:
    """The files to read, in order, and the problems with listing them."""
    mains = [path for directory in DIRECTORIES if os.path.lexists(path := root / directory / FILE)]
    problems: list[str] = []
    drop_ins = _drop_ins(root, DROP_INS, problems)
    return [*(path for path in mains[:1] if not _is_masked(path)), *drop_ins], problems


def _drop_ins(root: Path, below: str, problems: list[str]) -> list[Path]:
    """In the order in which they are read."""
    found: dict[str, Path] = {}
    for directory in reversed(DIRECTORIES):
        path = root / directory / below
        try:
            found.update((name, path / name) for name in _names(path))
        except OSError as error:
            problems.append(f"{printable(path)}: cannot be read: {error.strerror}")
    in_order = [found[name] for name in sorted(found, key=os.fsencode)]
    return [path for path in in_order if not _is_masked(path)]


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
    """Raises OSError, or _FileError if it isn't a file that could be meant."""
    # O_NONBLOCK: opening a FIFO must not wait for its writer
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise _FileError("not a regular file")
        content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise _FileError(f"larger than {_LARGEST >> 20} MiB")
    return content


def _parse(raw: bytes) -> dict[str, Any]:
    raw = raw.removeprefix(codecs.BOM_UTF8)  # some editors write it, and TOML has no word on it
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

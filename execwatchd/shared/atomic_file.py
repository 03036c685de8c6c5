# SPDX-License-Identifier: GPL-2.0-or-later
"""A file is written whole or not at all: its reader never sees half of it."""

import os
from contextlib import suppress
from pathlib import Path


def write(path: Path, content: bytes, *, mode: int, durable: bool = False) -> None:
    """Puts `content` at `path`, with this mode whatever the umask. A link there is replaced, not followed.

    `durable`: it is on the disk when this returns, and a crash of the host leaves the old or the new file.

    Raises OSError, and then the old file is as it was and nothing is left of the new one. The one exception
    is a directory that could be synced before the file was replaced but not after it.
    """
    # A fixed name, so that kills leave one file at most. It is hidden and doesn't end like the target's name,
    # so that no collector of such files reads it.
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)  # left by a kill, or a link that was put there
    try:
        _create(temporary, content, mode, durable=durable)
        if durable:  # a directory that can't be synced is noticed while the old file stands
            _sync_directory(path.parent)
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()  # on a full disk its space is needed
        raise
    if durable:
        _sync_directory(path.parent)


def _create(path: Path, content: bytes, mode: int, *, durable: bool) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        os.fchmod(fd, mode)
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(fd, rest) :]
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

# SPDX-License-Identifier: GPL-2.0-or-later
"""What several unit tests need of their surroundings."""

import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import date
from functools import partial

import pytest

from execwatchd.ctl.export.fields import FIELDS
from execwatchd.ctl.journal import events
from execwatchd.ctl.view import moments
from tests.running import nothing_is_left_running

__all__ = ["nothing_is_left_running"]


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Times are shown in UTC, on the day of most of the tests' events."""
    monkeypatch.setenv("TZ", "UTC0")
    monkeypatch.setattr(moments, "today", lambda: date(2023, 11, 14))
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


FullDisk = Callable[[str], AbstractContextManager[None]]


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> FullDisk:
    """A disk that is full from this call on: `write`, which has room for the first half, or `fsync of the
    file`, or `fsync of the directory`.
    """
    write = os.write

    def write_half(fd: int, data: bytes) -> int:
        if len(data) < 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, data[: len(data) // 2])

    def fsync(fd: int, *, of_directory: bool) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode) == of_directory:
            raise OSError(errno.ENOSPC, "No space left on device")

    @contextmanager
    def full(call: str) -> Iterator[None]:
        name, _, of = call.partition(" of the ")
        instead = partial(fsync, of_directory=of == "directory") if name == "fsync" else write_half
        with monkeypatch.context() as patch:
            patch.setattr(os, name, instead)
            yield

    return full


@pytest.fixture
def every_field(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries may have each field of the table of names, also those that no daemon writes yet."""
    monkeypatch.setattr(events, "TEXTS", tuple(FIELDS.keys() - {*events.NUMBERS, *events.ARGUMENTS}))

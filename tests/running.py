# SPDX-License-Identifier: GPL-2.0-or-later
"""Fails a test that leaves an asyncio task or a process behind; a tier's conftest imports the fixture."""

import asyncio
import os
import subprocess
import time
from asyncio import runners
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

_PATIENCE = 5  # s


@pytest.fixture(autouse=True)
def nothing_is_left_running() -> Iterator[None]:
    """What a fixture of a wider scope has started before may stay."""
    with checked():
        yield


@contextmanager
def checked() -> Iterator[None]:
    """Raises AssertionError for what was started within and not ended."""
    before = children()
    with pytest.MonkeyPatch.context() as patch:
        tasks, started = _note_tasks(patch), _note_children(patch)
        yield
    left = children() - before
    left = (left & started) | _await_orphans(left - started)
    found = [*map(repr, tasks), *map(_describe, left)]
    assert not found, f"left behind: {', '.join(found)}"


def _note_tasks(patch: pytest.MonkeyPatch) -> list[asyncio.Task[Any]]:
    """What asyncio.run() and asyncio.Runner find unfinished at their end: they cancel it without a word."""
    tasks: list[asyncio.Task[Any]] = []
    cancel_all = runners._cancel_all_tasks  # type: ignore[attr-defined]

    def note_and_cancel(loop: asyncio.AbstractEventLoop) -> None:
        tasks.extend(asyncio.all_tasks(loop))
        cancel_all(loop)

    patch.setattr(runners, "_cancel_all_tasks", note_and_cancel)
    return tasks


def _note_children(patch: pytest.MonkeyPatch) -> set[int]:
    """Pids of those that this process starts from now on, as opposed to orphans that come to it."""
    pids: set[int] = set()
    fork, init = os.fork, subprocess.Popen.__init__

    def noted_fork() -> int:
        pid = fork()
        pids.add(pid)
        return pid

    def noted_init(self: subprocess.Popen[Any], *arguments: Any, **options: Any) -> None:
        init(self, *arguments, **options)
        pids.add(self.pid)

    patch.setattr(os, "fork", noted_fork)
    patch.setattr(subprocess.Popen, "__init__", noted_init)
    return pids


def _await_orphans(pids: set[int]) -> set[int]:
    """Those that don't end by themselves. A shell doesn't wait for all that it has started."""
    end = time.monotonic() + _PATIENCE
    while pids := {pid for pid in pids if os.waitpid(pid, os.WNOHANG) == (0, 0)}:
        if time.monotonic() > end:
            break
        time.sleep(0.01)
    return pids


def children() -> set[int]:
    """Pids of this process's children, with zombies."""
    pids: set[int] = set()
    for task in Path(f"/proc/{os.getpid()}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # the thread has ended
            pids.update(map(int, (task / "children").read_text().split()))
    return pids


def _describe(pid: int) -> str:
    with suppress(OSError):
        comm, _, rest = Path(f"/proc/{pid}/stat").read_text().partition(" (")[2].rpartition(") ")
        return f"process {pid} {comm}, state {rest[0]}"
    return f"process {pid}"

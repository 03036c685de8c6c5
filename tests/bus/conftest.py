# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests that are coroutines, a private bus for each, and a check that nothing is left running."""

import asyncio
import contextlib
import inspect
import os
import shutil
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bus.harness import PrivateBus, scratch

_SECONDS = 120  # against a hang; nothing is asserted on it


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Runs a test that is a coroutine function."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    test = pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names})
    asyncio.run(_without_leftovers(test))
    return True


async def _without_leftovers(test: Coroutine[Any, Any, None]) -> None:
    async with asyncio.timeout(_SECONDS):
        await test
    await asyncio.sleep(0)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, f"tasks left behind: {left}"


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    before = _children()
    yield
    assert _children() <= before, "processes left behind"


def _children() -> set[str]:
    found: set[str] = set()
    for task in Path(f"/proc/{os.getpid()}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # the thread has ended
            found.update((task / "children").read_text().split())
    return found


@pytest.fixture
def directory() -> Iterator[Path]:
    path = scratch()
    yield path
    shutil.rmtree(path)


@pytest.fixture
def bus(directory: Path) -> Iterator[PrivateBus]:
    private = PrivateBus(directory)
    private.start()
    yield private
    private.stop()

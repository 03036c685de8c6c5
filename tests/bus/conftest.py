# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests that are coroutines, and a private bus for each."""

import asyncio
import inspect
import shutil
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bus.harness import PrivateBus, Service, scratch
from tests.running import nothing_is_left_running

__all__ = ["nothing_is_left_running"]

_SECONDS = 120  # against a hang; nothing is asserted on it


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Runs a test that is a coroutine function."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    test = pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names})
    asyncio.run(_run(test))
    return True


async def _run(test: Coroutine[Any, Any, None]) -> None:
    async with asyncio.timeout(_SECONDS):
        await test
    await asyncio.sleep(0)  # what the test has cancelled ends


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


@pytest.fixture
def service(bus: PrivateBus, directory: Path) -> Iterator[Service]:
    running = Service(bus, directory)
    yield running
    running.stop()
    print(running.log())  # pytest shows it where the test failed

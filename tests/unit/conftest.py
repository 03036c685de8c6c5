# SPDX-License-Identifier: GPL-2.0-or-later
"""What several unit tests need of their surroundings."""

import time
from collections.abc import Iterator

import pytest

from tests.running import nothing_is_left_running

__all__ = ["nothing_is_left_running"]


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Times are shown in UTC."""
    monkeypatch.setenv("TZ", "UTC0")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()

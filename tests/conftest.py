# SPDX-License-Identifier: GPL-2.0-or-later
"""What holds for every tier: no test is skipped in a full run, and none leaves a program in the kernel."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests import kernel_objects

settings.register_profile("untimed", deadline=None)  # the machine may be busy, and no test asserts on time
settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-skips", action="store_true", help="a skipped test fails the run")
    parser.addoption("--all-kernels", action="store_true", help="not only the oldest kernel of tests/matrix")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not session.config.getoption("--no-skips") or reporter is None or exitstatus:
        return
    skipped = len(reporter.stats.get("skipped", []))
    if skipped:
        reporter.write_line(f"\n{skipped} skipped: a test that cannot run is a failure here", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left_in_the_kernel() -> Iterator[None]:
    kernel_objects.keep_orphans()
    if os.geteuid():
        yield
        return
    before = kernel_objects.loaded()
    yield
    if left := kernel_objects.await_end(before):
        pytest.fail(f"left in the kernel by this session:\n{kernel_objects.text(left)}")

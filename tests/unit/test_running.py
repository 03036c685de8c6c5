# SPDX-License-Identifier: GPL-2.0-or-later
"""The check that a test leaves nothing running notices tasks, children and orphans."""

import asyncio
import os
import subprocess

import pytest

from tests import running


@pytest.fixture(autouse=True)
def nothing_is_left_running() -> None:
    """Not here: what these tests leave is the point."""


def end_a_child() -> None:
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)


async def forget_a_task() -> None:
    asyncio.create_task(asyncio.sleep(60), name="forgotten")  # noqa: RUF006  that is the point


def test_a_task_is_noticed() -> None:
    with pytest.raises(AssertionError, match=r"left behind: .*'forgotten'"), running.checked():
        asyncio.run(forget_a_task())


def test_a_child_is_noticed() -> None:
    processes = []
    with pytest.raises(AssertionError, match=r"left behind: process \d+ sleep"), running.checked():
        processes.append(subprocess.Popen(["sleep", "60"]))
    processes[0].kill()
    processes[0].wait()


def test_a_child_that_nobody_waited_for_is_noticed() -> None:
    with pytest.raises(AssertionError, match=r"left behind: process \d+ .*, state Z"), running.checked():
        end_a_child()
    assert os.waitpid(-1, os.WNOHANG)[1] == 0


def test_an_orphan_is_noticed_unless_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    with running.checked():
        subprocess.run(["sh", "-c", "sleep 0 &"], check=True)
    monkeypatch.setattr(running, "_PATIENCE", 0)
    with pytest.raises(AssertionError, match=r"left behind: process \d+ sleep") as error, running.checked():
        orphan = int(subprocess.check_output(["sh", "-c", "sleep 60 >/dev/null & echo $!"]))
    assert f"process {orphan} sleep" in str(error.value)
    os.kill(orphan, 9)
    os.waitpid(orphan, 0)

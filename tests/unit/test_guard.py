# SPDX-License-Identifier: GPL-2.0-or-later
import asyncio
import logging

import pytest

from execwatchd.shared.guard import Guard


def steps(*errors: BaseException | None) -> None:
    guard = Guard("the housekeeping")
    for error in errors:
        with guard.step():
            if error:
                raise error


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [(record.levelno, record.getMessage()) for record in caplog.records]


FAILED = (logging.ERROR, "the housekeeping failed, and is tried again")
WORKS = (logging.INFO, "the housekeeping works again")


def test_a_step_that_fails_is_logged_and_does_not_end_the_task(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    steps(None, OSError(24, "Too many open files"), None)
    assert lines(caplog) == [FAILED, WORKS]
    assert "Too many open files" in caplog.text


def test_the_same_error_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    steps(*[OSError(24, "Too many open files")] * 3, OSError(12, "x"), None, None, OSError(12, "x"))
    assert lines(caplog) == [FAILED, FAILED, WORKS, FAILED]


@pytest.mark.parametrize("error", [asyncio.CancelledError(), KeyboardInterrupt(), SystemExit(0)])
def test_what_is_to_end_the_task_ends_it(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(type(error)):
        steps(error)
    assert lines(caplog) == []

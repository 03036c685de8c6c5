# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeps what runs for the daemon's whole life going when one of its steps fails."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)


class Guard:
    """Logs what the steps of `task` raise: once for each kind of error, and when a step succeeds again."""

    def __init__(self, task: str) -> None:
        self._task = task
        self._error = ""

    @contextmanager
    def step(self) -> Iterator[None]:
        """Around one step. Whatever error ends it is logged; a cancellation passes."""
        try:
            yield
        except Exception as error:
            if repr(error) != self._error:
                log.exception("%s failed, and is tried again", self._task)
            self._error = repr(error)
        else:
            if self._error:
                log.info("%s works again", self._task)
            self._error = ""

# SPDX-License-Identifier: GPL-2.0-or-later
"""Somebody at a text terminal can be asked for a password, as systemctl and busctl have it.

A desktop session has an agent of its own, which --fallback leaves the question to.
"""

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_START_SECONDS = 10.0


@contextmanager
def password_agent() -> Iterator[None]:
    """polkit's agent for this process meanwhile, where there is one and somebody whom it could ask."""
    agent = _start() if os.geteuid() and sys.stdin.isatty() and sys.stderr.isatty() else None
    try:
        yield
    finally:
        if agent is not None:
            agent.terminate()
            agent.wait()


def _start() -> subprocess.Popen[bytes] | None:
    ready, notify = os.pipe()
    # without --process it serves its parent
    command = ["pkttyagent", "--fallback", f"--notify-fd={notify}"]
    try:
        agent = subprocess.Popen(command, pass_fds=[notify])
    except OSError:
        agent = None
    os.close(notify)
    if agent is not None:
        select.select([ready], [], [], _START_SECONDS)  # it closes its end once it is registered
    os.close(ready)
    return agent

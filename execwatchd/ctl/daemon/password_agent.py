# SPDX-License-Identifier: GPL-2.0-or-later
"""Lets polkit ask for a password at a text terminal, as systemctl and busctl do.

Where a desktop session has an agent, --fallback leaves the question to that.
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
    """Runs polkit's agent for this process, if it is installed and there is a terminal to ask at."""
    agent = _start() if os.geteuid() and sys.stdin.isatty() and sys.stderr.isatty() else None
    try:
        yield
    finally:
        if agent is not None:
            agent.terminate()
            agent.wait()


def _start() -> subprocess.Popen[bytes] | None:
    ready, notify = os.pipe()
    # without --process the agent serves its parent
    command = ["pkttyagent", "--fallback", f"--notify-fd={notify}"]
    try:
        agent = subprocess.Popen(command, pass_fds=[notify])
    except OSError:
        agent = None
    os.close(notify)
    if agent is not None:
        select.select([ready], [], [], _START_SECONDS)  # the agent closes its end once it is registered
    os.close(ready)
    return agent

# SPDX-License-Identifier: GPL-2.0-or-later
"""The options that add to a record or leave some out: ancestors, interactive."""

import os
import subprocess
from dataclasses import replace

import pytest

from execwatchd.kernel import layout
from execwatchd.kernel.layout import NO_ID
from execwatchd.stream.decode import Decoder
from tests.kernel.watch import DEFAULT, comm_of, status, watching


def parents(pid: int) -> list[tuple[int, bytes]]:
    """The ancestors of a process, the parent first, by /proc."""
    found = []
    while (pid := int(status(pid)["PPid"][0])) != 0:
        found.append((pid, comm_of(pid)))
    return found


@pytest.mark.parametrize("count", [1, layout.MAX_ANCESTORS])
def test_ancestors(count: int) -> None:
    with watching(replace(DEFAULT, ancestors=count)) as watch:
        child = subprocess.Popen(["sleep", "60"])
        record = watch.first(lambda one: one.pid == child.pid)
        expected = parents(child.pid)[:count]
        child.kill()
        child.wait()
    chain = [(pid, comm.rstrip(b"\0")) for pid, comm in layout.ANCESTOR.iter_unpack(record.ancestors)]
    assert chain == expected
    assert chain[0][0] == record.ppid == os.getpid()


def run(*command: str, loginuid: int = NO_ID) -> int:
    """The pid of a command that ran without a terminal, and in a login session of this user, or in none."""
    inner = 'echo "$0" >/proc/self/loginuid; exec "$@"'
    child = subprocess.Popen(["setsid", "sh", "-c", inner, str(loginuid), *command], stdin=subprocess.DEVNULL)
    assert child.wait() == 0
    return child.pid


def test_interactive_leaves_out_what_has_neither_terminal_nor_session() -> None:
    with watching(replace(DEFAULT, interactive=True)) as watch:
        run("/bin/true", "without")
        # script gives its command a terminal, and has none itself
        run("script", "-qec", "/bin/true with-terminal", "/dev/null")
        record = watch.first(lambda one: one.argv == b"/bin/true\0with-terminal\0")
        assert record.tty.startswith(b"pts")
        run("/bin/true", "with-session", loginuid=0)
        record = watch.first(lambda one: one.argv == b"/bin/true\0with-session\0")
        assert record.session != NO_ID
        watch.detach()
        watch.read()
        counted = watch.generation.counters()
        records = [one.argv for one in map(Decoder(), watch.records)]
    assert b"/bin/true\0without\0" not in records
    assert counted.ignored > 0
    assert counted.seen == len(records) + counted.ignored
    assert counted.lost == 0

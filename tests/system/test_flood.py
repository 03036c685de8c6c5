# SPDX-License-Identifier: GPL-2.0-or-later
"""A user's flood of long arguments that are not printable, while journald reads nothing or little.

What another user executes is all in the journal, and of the flood the rest is counted, under its user's name.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from execwatchd.shared.message_ids import MessageId
from tests.kernel.watch import Helper, Runner
from tests.system.harness import Boot, Box, Entry, wait_until
from tests.system.storm import UID, at_rest

FLOODER, OTHER = UID + 21000, UID + 21001
FLOOD, COUNT, BATCHES = 4000, 100, 10
LONG = "\x01" * 4000
STOPPED, RUNNING = 0.5, 0.01  # s, by turns
ONLY_THESE = f"""\
mkdir -p $R/etc/execwatchd/execwatchd.toml.d
cat >$R/etc/execwatchd/execwatchd.toml.d/flood.toml <<T
default_action = "ignore"
ring_size = "4MiB"
actions = {{ {FLOODER} = "record", {OTHER} = "record" }}
T
"""


@contextmanager
def stalled(journald: int) -> Iterator[None]:
    os.kill(journald, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(journald, signal.SIGCONT)


@contextmanager
def slow(journald: int) -> Iterator[None]:
    ended = threading.Event()

    def hold_up() -> None:
        while not ended.wait(RUNNING):
            with stalled(journald):
                ended.wait(STOPPED)

    thread = threading.Thread(target=hold_up)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def execs(box: Box, uid: int) -> list[Entry]:
    wanted = ("-u", "execwatchd", f"MESSAGE_ID={MessageId.EXEC.value}", f"EXECWATCH_UID={uid}")
    return box.journal(*wanted, "--output-fields=EXECWATCH_PID")


def losses(box: Box, total: int) -> list[Entry]:
    """The entries of losses, once they tell of so many."""
    entries = box.journal("-u", "execwatchd", f"MESSAGE_ID={MessageId.EVENTS_LOST.value}")
    return entries if sum(int(entry["EXECWATCH_LOST"]) for entry in entries) == total else []


@pytest.mark.parametrize("journald", [stalled, slow])
def test_a_flood_loses_its_own_execs_only(
    journald: Callable[[int], AbstractContextManager[None]], boot: Boot, runner: Runner, public: Path
) -> None:
    box = boot(ONLY_THESE)
    box.systemctl("start", "execwatchd")

    def start(uid: int, count: int, *argument: str) -> Helper:
        helper = runner.start("many", public / "target", *map(str, (uid, count, uid)), *argument).ready()
        helper.go()
        return helper

    with journald(box.main_pid("systemd-journald.service")):
        flood = start(FLOODER, FLOOD, LONG)
        for _ in range(BATCHES):
            assert start(OTHER, COUNT // BATCHES).end() == 0
        assert flood.end() == 0
        assert start(OTHER, COUNT).end() == 0
    lost = at_rest(box)["Lost"]
    assert lost > 0
    reported = wait_until(lambda: losses(box, lost), "the whole loss is reported")
    assert [entry["EXECWATCH_LOST_UIDS"] for entry in reported] == [
        f"{FLOODER}={entry['EXECWATCH_LOST']}" for entry in reported
    ]
    assert len(execs(box, OTHER)) == 2 * COUNT
    assert len(execs(box, FLOODER)) == FLOOD - lost

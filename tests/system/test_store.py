# SPDX-License-Identifier: GPL-2.0-or-later
"""A file descriptor store without room for all: nothing is lost uncounted, and the user is told."""

import pytest

from execwatchd.shared.message_ids import MessageId
from tests.system.harness import Boot, Box, wait_until
from tests.system.storm import ONLY_STORM, Storm, arrived, at_rest, counters, losses

UNIT = "execwatchd.service"
STORE_FULL = f"MESSAGE_ID={MessageId.STORE_FULL.value}"
REMEDY = "set FileDescriptorStoreMax=512 for the unit"


def started(boot: Boot, room: int) -> Box:
    drop_in = "$R/etc/systemd/system/execwatchd.service.d"
    setting = f"[Service]\\nFileDescriptorStoreMax={room}\\n"
    box = boot(f"{ONLY_STORM}mkdir -p {drop_in}; printf '{setting}' >{drop_in}/store.conf\n")
    box.systemctl("start", "execwatchd")
    return box


def status(box: Box) -> str:
    return box.show(UNIT, "StatusText")


def kill(box: Box) -> None:
    old = box.show(UNIT, "MainPID")
    box.systemctl("kill", "--signal=KILL", UNIT)
    wait_until(
        lambda: box.show(UNIT, "MainPID") not in (old, "0") and box.show(UNIT, "ActiveState") == "active",
        "the daemon is back",
    )


@pytest.mark.parametrize("room", [3, 10, 13])
def test_a_kill_in_a_stall_with_a_store_that_is_too_small(room: int, boot: Boot, storm: Storm) -> None:
    box = started(boot, room)
    assert box.show(UNIT, "NFileDescriptorStore") == str(room)
    (entry,) = wait_until(lambda: box.journal("-u", UNIT, STORE_FULL), "an entry of the refusal")
    assert REMEDY in entry["MESSAGE"]
    assert entry["PRIORITY"] == "3"
    wait_until(lambda: REMEDY in status(box), "the status says so")
    count = 3_000
    box.shell("kill -STOP $(pidof systemd-journald)")
    try:
        storm.run("small", count)
        before = counters(box)
        kill(box)
    finally:
        box.shell("kill -CONT $(pidof systemd-journald)")
    total = at_rest(box)
    assert total["Seen"] >= before["Seen"]
    found = arrived(box, "small", "-t", "execwatchd")
    assert found.total() == len(found) == total["Forwarded"] - 1
    assert total["Forwarded"] + total["Lost"] == count + 1
    assert sum(losses(box)) == total["Lost"] == 0
    (incomplete,) = box.journal("-t", "execwatchd", f"MESSAGE_ID={MessageId.STORE_INCOMPLETE.value}")
    assert "link.sched_process_exec" in incomplete["MESSAGE"]
    storm.run("after", 100)
    assert at_rest(box)["Forwarded"] == count + 1 + 101
    assert arrived(box, "after") == dict.fromkeys(range(100), 1)
    wait_until(lambda: REMEDY in status(box), "the status still says so")
    assert box.show(UNIT, "NFileDescriptorStore") == str(room)


def test_a_store_with_room_for_all(boot: Boot, storm: Storm) -> None:
    """As many as there are: nothing is refused, and a kill loses nothing."""
    box = started(boot, 14)
    assert box.show(UNIT, "NFileDescriptorStore") == "14"
    storm.run("all", 100)
    kill(box)
    assert at_rest(box)["Forwarded"] == 101
    assert arrived(box, "all") == dict.fromkeys(range(100), 1)
    assert "FileDescriptorStoreMax" not in status(box)
    assert box.journal("-t", "execwatchd", STORE_FULL) == []
    (entry,) = box.journal("-u", UNIT, "--grep=took over the attached program")
    assert entry["PRIORITY"] == "6"

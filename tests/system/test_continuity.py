# SPDX-License-Identifier: GPL-2.0-or-later
"""An exec is in the journal or counted as lost, whatever happens to the daemon, the journal or the bus."""

import itertools
import os
import random
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from execwatchd.ctl.ports import EXIT_UNHEALTHY
from execwatchd.shared.message_ids import MessageId
from tests import kernel_objects
from tests.system import storm as storms
from tests.system.harness import Boot, Box, wait_until
from tests.system.storm import ONLY_STORM, Storm, arrived, at_rest, counters, losses

SMALL_RING = """\
mkdir -p $R/etc/execwatchd/execwatchd.toml.d
echo 'ring_size = "64KiB"' >$R/etc/execwatchd/execwatchd.toml.d/ring.toml
"""


@pytest.fixture
def watching(boot: Boot) -> Box:
    """A system whose daemon runs and records the storm's UID only."""
    box = boot(ONLY_STORM)
    box.systemctl("start", "execwatchd")
    return box


@pytest.fixture
def programs() -> Iterator[None]:
    """Fails a test that leaves a program or a map in the kernel; attachments end before their programs."""
    before = kernel_objects.loaded()
    yield
    left = kernel_objects.await_end(before)
    assert not left, kernel_objects.text(left)


def _descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _kill(box: Box) -> None:
    old = box.show("execwatchd", "MainPID")
    box.systemctl("kill", "--signal=KILL", "execwatchd")
    wait_until(
        lambda: (
            box.show("execwatchd", "MainPID") not in (old, "0")
            and box.show("execwatchd", "ActiveState") == "active"
        ),
        "the daemon is back",
    )


def test_kills_during_a_storm_lose_nothing(watching: Box, storm: Storm) -> None:
    kills, count = 20, 20_000
    running = storm.start("kill", count, pause_us=800)
    for _ in range(kills):
        time.sleep(random.uniform(0, 0.3))
        _kill(watching)
    assert running.wait() == 0
    total = at_rest(watching)
    found = arrived(watching, "kill")
    assert set(found) == set(range(count))
    assert found.total() - count <= kills
    assert total["Lost"] == 0
    assert total["Forwarded"] == count + 1


def test_restarts_during_a_storm_lose_and_double_nothing(watching: Box, storm: Storm) -> None:
    count = 10_000
    running = storm.start("restart", count)
    while running.poll() is None:
        watching.systemctl("restart", "execwatchd")
    assert running.returncode == 0
    total = at_rest(watching)
    found = arrived(watching, "restart")
    assert set(found) == set(range(count))
    assert found.total() == count
    assert (total["Lost"], total["Forwarded"]) == (0, count + 1)


def test_other_options_during_a_storm_lose_nothing(watching: Box, storm: Storm) -> None:
    count, switches = 10_000, 6
    running = storm.start("switch", count, pause_us=200)
    for i in range(switches):
        value = "true" if i % 2 == 0 else "false"
        watching.shell(f"echo 'cwd = {value}' >/etc/execwatchd/execwatchd.toml.d/cwd.toml")
        watching.systemctl("restart", "execwatchd")
    assert running.wait() == 0
    total = at_rest(watching)
    found = arrived(watching, "switch")
    assert set(found) == set(range(count))
    # in the instant of a switch both programs see an exec; each counts it
    assert found.total() == total["Forwarded"] - 1
    assert total["Lost"] == 0
    entries = watching.journal("-u", "execwatchd", f"MESSAGE_ID={MessageId.LAYOUT_CHANGED.value}")
    assert len(entries) == switches


def test_upgrade_to_another_layout_during_a_storm_loses_nothing(watching: Box, storm: Storm) -> None:
    """A later version whose records have one member more reads what the one before left in the ring."""
    lib = "/usr/lib/execwatchd/execwatchd"
    count = 10_000
    running = storm.start("upgrade", count, pause_us=200)
    watching.shell(
        f"sed -i 's/  __u64 timestamp;/&\\n  __u64 added;/' {lib}/bpf/execwatch.h &&"
        f" sed -i 's/ timestamp:Q/& added:Q/' {lib}/kernel/layout.py &&"
        f" find {lib} -name 'layout.*.pyc' -delete && grep -q added:Q {lib}/kernel/layout.py"
    )
    watching.systemctl("restart", "execwatchd")
    assert running.wait() == 0
    total = at_rest(watching)
    found = arrived(watching, "upgrade")
    assert set(found) == set(range(count))
    assert found.total() == total["Forwarded"] - 1
    assert total["Lost"] == 0


def test_upgrade_of_the_same_layout_takes_over_without_compiling(watching: Box, storm: Storm) -> None:
    count = 4_000
    running = storm.start("same", count)
    watching.shell("echo '# another version' >>/usr/lib/execwatchd/execwatchd/errors.py")
    watching.systemctl("restart", "execwatchd")
    assert running.wait() == 0
    assert at_rest(watching)["Forwarded"] == count + 1
    assert arrived(watching, "same") == dict.fromkeys(range(count), 1)
    said = [str(entry["MESSAGE"]) for entry in watching.journal("-u", "execwatchd", "--grep=attached")]
    assert [line.partition(":")[0] for line in said] == ["attached", "took over the attached program"]


@pytest.mark.parametrize("changed", ["bpf/kernel/include/linux/kconfig.h", "kernel/header.py"])
def test_upgrade_of_anything_that_the_program_is_made_of_reaches_the_kernel(
    changed: str, watching: Box, storm: Storm
) -> None:
    count = 2_000
    comment = "// another version" if changed.endswith(".h") else "# another version"
    running = storm.start("made-of", count, pause_us=200)
    watching.shell(f"echo '{comment}' >>/usr/lib/execwatchd/execwatchd/{changed}")
    watching.systemctl("restart", "execwatchd")
    assert running.wait() == 0
    assert at_rest(watching)["Lost"] == 0
    assert set(arrived(watching, "made-of")) == set(range(count))
    entries = watching.journal("-u", "execwatchd", f"MESSAGE_ID={MessageId.LAYOUT_CHANGED.value}")
    assert len(entries) == 1


def test_stalled_journal_loses_only_what_is_counted(boot: Boot, storm: Storm) -> None:
    box = boot(ONLY_STORM + SMALL_RING)
    box.systemctl("start", "execwatchd")
    count = 6_000
    box.shell("kill -STOP $(pidof systemd-journald)")
    try:
        storm.run("stall", count)
        stalled = counters(box)  # the bus answers throughout
        box.call("SetMessage", "us", str(storms.UID), "still here")
        assert stalled["Lost"] > 0
        _kill(box)  # the record in hand survives too
    finally:
        box.shell("kill -CONT $(pidof systemd-journald)")
    total = at_rest(box)
    # what journald had not read when its sender was killed bears no unit: it looks that up when it reads
    found = arrived(box, "stall", "-t", "execwatchd")
    assert found.total() == len(found) == total["Forwarded"] - 1
    assert total["Forwarded"] + total["Lost"] == count + 1
    wait_until(lambda: losses(box), "the loss is told")
    assert losses(box) == [total["Lost"]]


def test_restarted_journald_loses_nothing(watching: Box, storm: Storm) -> None:
    count = 6_000
    running = storm.start("journald", count)
    for _ in range(3):
        time.sleep(0.3)
        watching.systemctl("restart", "systemd-journald")
    assert running.wait() == 0
    assert at_rest(watching)["Lost"] == 0
    assert arrived(watching, "journald") == dict.fromkeys(range(count), 1)


def test_restarted_bus(watching: Box, storm: Storm) -> None:
    watching.call("SetMessage", "us", str(storms.UID), "kept")
    running = storm.start("bus", 2_000)
    watching.systemctl("restart", "dbus.service")
    assert running.wait() == 0
    wait_until(lambda: _owned(watching), "the name is back")
    assert at_rest(watching)["Forwarded"] == 2_001
    assert arrived(watching, "bus") == dict.fromkeys(range(2_000), 1)
    assert watching.call("GetMessage", "u", str(storms.UID)).stdout == 's "kept"\n'


def _owned(box: Box) -> bool:
    return box.busctl("status", "org.execwatch1", check=False).returncode == 0


def test_polkit_gone(watching: Box, storm: Storm) -> None:
    """Root may still do everything, nobody else anything; execs go on."""
    watching.call("SetMessage", "us", "7", "before")
    watching.systemctl("mask", "--runtime", "--now", "polkit")
    refused = watching.call("SetMessage", "us", "7", "by another", uid=1, check=False)
    assert refused.returncode != 0
    assert refused.stderr == "Call failed: Access denied\n"
    assert watching.call("GetMessage", "u", "7").stdout == 's "before"\n'
    watching.call("SetMessage", "us", "7", "by root")
    assert watching.call("GetMessage", "u", "7").stdout == 's "by root"\n'
    storm.run("polkit", 20)
    assert at_rest(watching)["Forwarded"] == 21


def test_another_user_reaches_neither_state_nor_descriptors(watching: Box) -> None:
    watching.call("SetMessage", "us", "7", "private")
    pid = watching.show("execwatchd", "MainPID")
    for forbidden in (
        "ls /var/lib/execwatchd",
        "cat /var/lib/execwatchd/state.json",
        f"ls /proc/{pid}/fd",
        f"cat /proc/{pid}/mem",
        "bpftool map show name output",
        f"kill {pid}",
    ):
        tried = watching.shell(forbidden, uid=1, check=False)
        assert tried.returncode != 0, forbidden
        assert "private" not in tried.stdout
    assert watching.shell("stat -c '%a %U' /var/lib/execwatchd /var/lib/execwatchd/state.json").stdout == (
        "700 execwatchd\n600 execwatchd\n"
    )


def test_start_and_stop_leave_nothing(boot: Boot, programs: None) -> None:
    box = boot(ONLY_STORM)
    held = []
    for _ in range(50):
        box.systemctl("start", "execwatchd")
        box.systemctl("stop", "execwatchd")
        held.append(_descriptors(box.pid1))
    # systemd closes the ends of streams to the journal when it gets to it
    wait_until(lambda: _descriptors(box.pid1) <= held[0], "systemd holds no more descriptors than at first")


def test_read_only_and_full_state_directory(watching: Box) -> None:
    state = "/var/lib/execwatchd"
    watching.call("SetMessage", "us", "7", "before")
    pid = watching.show("execwatchd", "MainPID")
    inside = ("nsenter", "-t", pid, "-m")
    watching.run(*inside, "mount", "-t", "tmpfs", "-o", "size=4k,nr_inodes=1,mode=777", "tmpfs", state)
    refused = watching.call("SetMessage", "us", "8", "not kept", check=False)
    assert "the change could not be saved, so it was not made: No space left on device" in refused.stderr
    watching.run(*inside, "mount", "-o", "remount,ro", state)
    refused = watching.call("SetMessage", "us", "8", "not kept", check=False)
    assert "the change could not be saved, so it was not made: Read-only file system" in refused.stderr
    watching.run(*inside, "umount", state)
    assert watching.call("GetMessage", "u", "8").stdout == 's "Hello World"\n'
    watching.call("SetMessage", "us", "8", "kept")
    watching.systemctl("restart", "execwatchd")
    assert watching.call("GetMessage", "u", "7").stdout == 's "before"\n'
    assert watching.call("GetMessage", "u", "8").stdout == 's "kept"\n'


def test_corrupt_state_is_set_aside(watching: Box) -> None:
    watching.call("SetMessage", "us", "7", "before")
    watching.systemctl("stop", "execwatchd")
    watching.shell('echo \'{"version": 1, "mess\' >/var/lib/execwatchd/state.json')
    watching.systemctl("start", "execwatchd")
    assert watching.call("GetMessage", "u", "7").stdout == 's "Hello World"\n'
    aside = watching.shell("cat /var/lib/execwatchd/state.json.rejected-*").stdout
    assert aside == '{"version": 1, "mess\n'
    entries = watching.journal("-u", "execwatchd", f"MESSAGE_ID={MessageId.STATE_REJECTED.value}")
    assert len(entries) == 1


def test_a_program_that_does_not_load_leaves_the_old_one_in_place(watching: Box, storm: Storm) -> None:
    watching.shell("echo '#error broken' >>/usr/lib/execwatchd/execwatchd/bpf/execwatch.c")
    watching.systemctl("restart", "execwatchd")
    storm.run("broken", 50)
    assert at_rest(watching)["Forwarded"] == 51
    (entry,) = watching.journal("-u", "execwatchd", "--grep=the program of before goes on")
    assert "could not be compiled" in str(entry["MESSAGE"])
    assert "error: broken" in str(entry["MESSAGE"])
    shown = watching.run("execwatchctl", "status", "--interval", "0", check=False)
    assert shown.returncode == EXIT_UNHEALTHY
    assert "running an older program: the program could not be compiled: " in shown.stdout
    assert "running an older program: " in watching.show("execwatchd", "StatusText")


def test_a_stop_writes_what_waits_and_says_so(watching: Box, storm: Storm) -> None:
    count = 500
    storm.run("stop", count)
    watching.systemctl("stop", "execwatchd")
    assert arrived(watching, "stop") == dict.fromkeys(range(count), 1)
    (entry,) = watching.journal("-u", "execwatchd", f"MESSAGE_ID={MessageId.DETACHED.value}")
    assert re.fullmatch(r"detached: \d+ execs seen, 0 lost", str(entry["MESSAGE"]))


def test_a_daemon_that_hangs_is_replaced_by_the_watchdog(watching: Box, storm: Storm) -> None:
    directory = "/run/systemd/system/execwatchd.service.d"
    drop_in = "[Service]\nWatchdogSec=3s\nTimeoutAbortSec=1s\n"
    watching.shell(f"mkdir -p {directory}; printf '{drop_in}' >{directory}/soon.conf")
    watching.systemctl("daemon-reload")
    watching.systemctl("restart", "execwatchd")
    old = watching.show("execwatchd", "MainPID")
    watching.systemctl("kill", "--signal=STOP", "execwatchd")
    storm.run("hang", 500)
    wait_until(lambda: watching.show("execwatchd", "MainPID") not in (old, "0"), "the watchdog acts")
    wait_until(lambda: watching.show("execwatchd", "ActiveState") == "active", "the daemon is back")
    assert at_rest(watching)["Forwarded"] == 501
    assert arrived(watching, "hang") == dict.fromkeys(range(500), 1)


def _lowest_free(pid: int) -> int:
    """The number that its next descriptor would have: what was closed may have left a gap."""
    used = {int(fd.name) for fd in Path(f"/proc/{pid}/fd").iterdir()}
    return next(number for number in itertools.count() if number not in used)


def _limit_descriptors(box: Box, soft: str) -> None:
    """As the daemon's user, who may: root in a container may not."""
    prlimit = f"prlimit --pid={box.show('execwatchd', 'MainPID')} --nofile={soft}:"
    box.shell(f"setpriv --reuid=execwatchd --regid=execwatchd --clear-groups {prlimit}")


def _wait_for_line(box: Box, text: str) -> None:
    """Until the daemon's log has a line with this text."""
    wait_until(
        lambda: any(text in str(entry["MESSAGE"]) for entry in box.journal("-u", "execwatchd", "-p", "info")),
        text,
    )


def test_without_a_free_descriptor_nothing_ends(boot: Boot, storm: Storm) -> None:
    """Neither the housekeeping, longer than the watchdog waits, nor a reload, which says that it can't."""
    drop_in, watchdog = "$R/etc/systemd/system/execwatchd.service.d", 3
    text = f"[Service]\\nWatchdogSec={watchdog}\\n"
    box = boot(f"{ONLY_STORM}mkdir -p {drop_in}; printf '{text}' >{drop_in}/watchdog.conf\n")
    box.systemctl("start", "execwatchd")
    pid = box.main_pid("execwatchd")
    storm.run("before", 100)
    at_rest(box)
    _limit_descriptors(box, str(_lowest_free(pid)))
    os.kill(pid, signal.SIGHUP)
    storm.run("starved", 100)
    _wait_for_line(box, "configuration not reloaded")
    time.sleep(2 * watchdog)
    _limit_descriptors(box, "1000")
    storm.run("after", 100)
    assert at_rest(box)["Lost"] == 0
    for tag in ("before", "starved", "after"):
        assert set(arrived(box, tag)) == set(range(100))
    wait_until(lambda: box.show("execwatchd", "ActiveState") == "active", "systemd knows of the reload's end")
    assert box.main_pid("execwatchd") == pid
    assert box.show("execwatchd", "NRestarts") == "0"

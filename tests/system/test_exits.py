# SPDX-License-Identifier: GPL-2.0-or-later
"""Every recorded exec has one end in the journal, whatever becomes of the daemon; and the log shows it."""

import json
from collections import Counter

import pytest

from execwatchd.shared.message_ids import MessageId
from tests.system import storm as storms
from tests.system.harness import Boot, Box
from tests.system.storm import ONLY_STORM, Storm, at_rest

EXITS = ONLY_STORM + "echo 'exits = true' >$R/etc/execwatchd/execwatchd.toml.d/exits.toml\n"


@pytest.fixture
def watching(boot: Boot) -> Box:
    box = boot(EXITS)
    box.systemctl("start", "execwatchd")
    return box


def ids(box: Box, kind: MessageId) -> Counter[str]:
    """How often each exec is in entries of this kind."""
    fields = "--output-fields=EXECWATCH_EXEC_ID"
    entries = box.journal("-u", "execwatchd", f"MESSAGE_ID={kind.value}", fields)
    return Counter(entry["EXECWATCH_EXEC_ID"] for entry in entries if "EXECWATCH_EXEC_ID" in entry)


def test_restarts_during_a_storm(watching: Box, storm: Storm) -> None:
    count = 5_000
    running = storm.start("restart", count)
    while running.poll() is None:
        watching.systemctl("restart", "execwatchd")
    assert running.returncode == 0
    total = at_rest(watching)
    execs, ends = ids(watching, MessageId.EXEC), ids(watching, MessageId.EXITED)
    assert len(execs) == execs.total() == count + 1
    assert ends == execs
    assert (total["Lost"], total["Forwarded"]) == (0, 2 * (count + 1))


def test_kills_during_a_storm(watching: Box, storm: Storm) -> None:
    count, kills = 5_000, 0
    running = storm.start("kill", count)
    while running.poll() is None:
        watching.systemctl("kill", "--signal=KILL", "execwatchd")
        kills += 1
        watching.systemctl("start", "execwatchd")
    assert running.returncode == 0
    total = at_rest(watching)
    execs, ends = ids(watching, MessageId.EXEC), ids(watching, MessageId.EXITED)
    assert len(execs) == count + 1
    assert execs.keys() == ends.keys()
    assert execs.total() + ends.total() - 2 * (count + 1) <= kills
    assert total["Lost"] == 0


def test_other_options_during_a_storm(watching: Box, storm: Storm) -> None:
    """Both programs may have seen an exec; of the end, one reports."""
    count, switches = 5_000, 4
    running = storm.start("switch", count, pause_us=400)
    for i in range(switches):
        value = "true" if i % 2 == 0 else "false"
        watching.shell(f"echo 'cwd = {value}' >/etc/execwatchd/execwatchd.toml.d/cwd.toml")
        watching.systemctl("restart", "execwatchd")
    assert running.wait() == 0
    total = at_rest(watching)
    execs, ends = ids(watching, MessageId.EXEC), ids(watching, MessageId.EXITED)
    assert len(execs) == ends.total() == count + 1
    assert execs.keys() == ends.keys()
    assert total["Forwarded"] == execs.total() + ends.total()
    assert total["Lost"] == 0


def assert_ends_of(box: Box, *, ends: int, execs: int) -> None:
    """So many of the execs have an end, once each."""
    ended, executed = ids(box, MessageId.EXITED), ids(box, MessageId.EXEC)
    assert ended <= executed
    assert (ended.total(), executed.total()) == (ends, execs)


def test_the_option_off_and_on(watching: Box, storm: Storm) -> None:
    drop_in = "/etc/execwatchd/execwatchd.toml.d/exits.toml"
    storm.run("on", 10)
    watching.shell(f"echo 'exits = false' >{drop_in}")
    watching.systemctl("reload", "execwatchd")
    (warned,) = watching.journal("-u", "execwatchd", "--grep=takes effect at a restart")
    assert "a change of exits takes" in warned["MESSAGE"]
    watching.systemctl("restart", "execwatchd")
    storm.run("off", 10)
    assert at_rest(watching)["Forwarded"] == 33
    assert_ends_of(watching, ends=11, execs=22)
    watching.shell(f"echo 'exits = true' >{drop_in}")
    watching.systemctl("restart", "execwatchd")
    storm.run("again", 10)
    assert at_rest(watching)["Forwarded"] == 55
    assert_ends_of(watching, ends=22, execs=33)


def log(box: Box, *options: str) -> list[dict[str, object]]:
    """What execwatchctl shows of this user's, as JSON."""
    box.run("journalctl", "--sync")
    shown = box.run("execwatchctl", "log", "--user", str(storms.UID), "-o", "json", *options).stdout
    return [json.loads(line) for line in shown.splitlines()]


def outcomes(found: list[dict[str, object]]) -> list[tuple[object, ...]]:
    return [(one["kind"], one["argv"], one.get("exit_code"), one.get("exit_signal_name")) for one in found]


def test_the_log(watching: Box) -> None:
    """By their times, which are bounded below only."""
    for script in ("exit 0", "exit 3", "kill -9 $$"):
        done = watching.shell('exec bash -c "$1" || true', script, uid=storms.UID, check=False)
        assert done.returncode in {0, 3, 137, -9}
    watching.shell("exec sleep 2", uid=storms.UID)
    at_rest(watching)
    bad = [
        ("ended", ["bash", "-c", "exit 3"], 3, None),
        ("ended", ["bash", "-c", "kill -9 $$"], None, "SIGKILL"),
    ]
    assert outcomes(log(watching, "--failed")) == bad
    assert outcomes(log(watching, "--failed", "-n", "1")) == bad[1:]
    slow = [("ended", ["sleep", "2"], 0, None)]
    assert outcomes(log(watching, "--slow", "2s")) == slow
    assert outcomes(log(watching, "--slow", "2s", "-n", "1")) == slow
    assert log(watching, "--slow", "2s", "--failed") == []
    assert log(watching, "--slow", "1h") == []
    everything = log(watching)
    ids = [one["exec_id"] for one in everything if one["kind"] == "ended"]
    assert len(ids) == len(set(ids)) > 3
    tree = watching.run("execwatchctl", "log", "--tree", "--user", str(storms.UID)).stdout
    assert "sleep 2 [exit 0, " in tree

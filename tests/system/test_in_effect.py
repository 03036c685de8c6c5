# SPDX-License-Identifier: GPL-2.0-or-later
"""Recording goes on whatever the files say, and what of them is not in effect is never shown as healthy."""

import json

import pytest

from execwatchd.ctl.ports import EXIT_UNHEALTHY
from execwatchd.shared.message_ids import MessageId
from execwatchd.shared.rules import MAX_UIDS
from tests.system import storm as storms
from tests.system.harness import Boot, Box, wait_until
from tests.system.storm import ONLY_STORM, Storm, at_rest

UNIT = "execwatchd"
DROP_INS = "/etc/execwatchd/execwatchd.toml.d"
STATE = "/var/lib/execwatchd/state.json"
OLDER = f"running an older configuration: error in {DROP_INS}/z.toml; execwatchd --check-config shows it"


@pytest.fixture
def watching(boot: Boot) -> Box:
    """A system whose daemon runs and records the storm's UID only."""
    box = boot(ONLY_STORM)
    box.systemctl("start", UNIT)
    return box


def drop_in(box: Box, name: str, content: str) -> None:
    box.path(f"{DROP_INS}/{name}.toml").write_text(content)


def check_shown(box: Box, *lines: str) -> None:
    """Command, property and systemd show these lines, and no others."""
    shown = box.run("execwatchctl", "status", "--interval", "0", "--json", check=False)
    status = json.loads(shown.stdout)
    assert status["problems"] == list(lines)
    assert status["healthy"] == (not lines)
    assert shown.returncode == (EXIT_UNHEALTHY if lines else 0)
    health = box.run("execwatchctl", "status", "--interval", "0", check=False)
    assert health.returncode == shown.returncode
    assert all(line in health.stdout for line in lines or ("healthy",))
    where = ("org.execwatch1", "/org/execwatch1", "org.execwatch1.Manager")
    value = json.loads(box.busctl("-j", "get-property", *where, "NotInEffect").stdout)
    assert value == {"type": "as", "data": list(lines)}
    text = box.show(UNIT, "StatusText")
    assert all(line in text for line in lines)
    assert bool(lines) == any(word in text for word in ("older", "restart needed", "left out"))


def entries(box: Box, kind: MessageId) -> list[str]:
    return [entry["MESSAGE"] for entry in box.journal("-u", UNIT, f"MESSAGE_ID={kind.value}")]


def test_a_broken_file_leaves_the_last_good_configuration_at_each_start(watching: Box, storm: Storm) -> None:
    check_shown(watching)
    drop_in(watching, "m", f'messages = {{ {storms.UID} = "from the file" }}\nexits = true')
    watching.systemctl("restart", UNIT)
    check_shown(watching)
    drop_in(watching, "z", "ring_size = 5")
    for how in (["restart"], ["stop", "start"]):
        for verb in how:
            watching.systemctl(verb, UNIT)
        assert watching.call("GetMessage", "u", str(storms.UID)).stdout == 's "from the file"\n'
        check_shown(watching, OLDER)
        rejected = entries(watching, MessageId.CONFIG_REJECTED)[-1]
        start = f"configuration rejected, the one accepted last applies: {DROP_INS}/z.toml: ring_size: "
        assert rejected.startswith(start)
        before = at_rest(watching)["Forwarded"]
        storm.run(how[-1], 10)
        assert at_rest(watching)["Forwarded"] == before + 2 * 11  # each with its end: `exits` is in effect
    drop_in(watching, "z", "")
    watching.systemctl("reload", UNIT)
    check_shown(watching)


def test_a_broken_file_at_a_reload_fails_it_and_is_shown(watching: Box) -> None:
    drop_in(watching, "z", "ring_size = 5")
    assert watching.systemctl("reload", UNIT, check=False).returncode == 1
    check_shown(watching, OLDER)
    drop_in(watching, "z", "")
    watching.systemctl("reload", UNIT)
    check_shown(watching)


def test_a_first_start_with_a_broken_file_ends_with_78(boot: Boot) -> None:
    box = boot(f"{ONLY_STORM}echo 'ring_size = 5' >$R{DROP_INS}/z.toml\n")
    assert box.systemctl("start", UNIT, check=False).returncode == 1
    assert box.show(UNIT, "ExecMainStatus") == "78"
    assert box.show(UNIT, "NRestarts") == "0"


def test_failures_without_its_drop_in_is_left_out_at_a_cold_start(boot: Boot, storm: Storm) -> None:
    box = boot(f"{ONLY_STORM}printf 'failures = true\\ncwd = true\\nexits = true\\n' >$R{DROP_INS}/o.toml\n")
    box.systemctl("start", UNIT)
    (entry,) = entries(box, MessageId.OPTION_LEFT_OUT)
    assert entry.startswith("failures left out: the tracepoint sys_enter_execve can't be read")
    assert "failures.conf" in entry
    check_shown(box, entry)
    storm.run("left-out", 10)
    at_rest(box)
    (execs, ends) = (
        box.journal("-u", UNIT, f"MESSAGE_ID={kind.value}", f"EXECWATCH_UID={storms.UID}")
        for kind in (MessageId.EXEC, MessageId.EXITED)
    )
    assert len(execs) == 11
    assert all("EXECWATCH_CWD" in entry for entry in execs)
    assert len(ends) == 11
    box.systemctl("restart", UNIT)
    assert "took over the attached program" in entries(box, MessageId.ATTACHED)[-1]
    check_shown(box, entry)
    box.enable_drop_in("failures")
    box.systemctl("restart", UNIT)
    check_shown(box)
    assert "sys_exit_execve" in box.show(UNIT, "StatusText")


def test_a_change_that_needs_a_restart_is_shown_until_then(watching: Box) -> None:
    drop_in(watching, "o", "cwd = true\nancestors = 2\n")
    watching.systemctl("reload", UNIT)
    check_shown(watching, "restart needed for: cwd, ancestors")
    drop_in(watching, "o", "cwd = true\n")
    watching.systemctl("reload", UNIT)
    check_shown(watching, "restart needed for: cwd")
    watching.systemctl("restart", UNIT)
    check_shown(watching)


def test_one_uid_too_many_in_files_and_state_ends_no_recording(watching: Box, storm: Storm) -> None:
    count = MAX_UIDS - 1  # beside the storm's
    watching.call("SetMessage", "us", "7", "by the bus")
    table = "".join(f"{uid} = 'x'\n" for uid in range(100_000, 100_000 + count))
    drop_in(watching, "u", f"[messages]\n{table}")
    problem = (
        f"the files and what was set over D-Bus have {MAX_UIDS + 1} UIDs together,"
        f" and the table holds {MAX_UIDS} (remove some of them)"
    )
    checked = watching.run("execwatchd", "--check-config", check=False)
    assert (checked.returncode, checked.stderr) == (78, f"execwatchd: {problem}\n")
    by_another = watching.run("execwatchd", "--check-config", uid=storms.UID)
    assert by_another.stdout.splitlines() == [
        "3 configuration files, no error:"
        f" /etc/execwatchd/execwatchd.toml, {DROP_INS}/storm.toml, {DROP_INS}/u.toml",
        f"the UIDs in {STATE} are not counted with those in the files: Permission denied",
    ]
    assert watching.systemctl("reload", UNIT, check=False).returncode == 1
    for how in (["restart"], ["stop", "start"]):
        for verb in how:
            watching.systemctl(verb, UNIT)
        assert entries(watching, MessageId.CONFIG_REJECTED)[-1].endswith(problem)
        check_shown(watching, f"running an older configuration: {problem}")
        assert watching.call("GetMessage", "u", "7").stdout == 's "by the bus"\n'
        before = at_rest(watching)["Forwarded"]
        storm.run(how[-1], 10)
        assert at_rest(watching)["Forwarded"] == before + 11
    watching.call("RemoveMessage", "u", "7")
    watching.systemctl("reload", UNIT)
    check_shown(watching)
    assert watching.call("GetMessage", "u", "100000").stdout == 's "x"\n'


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("mkfifo", "not a regular file"),
        ("mkdir", "Is a directory"),
        ("ln -s /dev/zero", "not a regular file"),
        ("truncate -s 100M", "larger than 16 MiB"),
    ],
)
def test_a_state_that_is_no_file_is_set_aside(what: str, reason: str, watching: Box) -> None:
    watching.systemctl("stop", UNIT)
    watching.shell(f"{what} {STATE} && chown -h execwatchd: {STATE}")
    watching.systemctl("start", UNIT)
    (entry,) = entries(watching, MessageId.STATE_REJECTED)
    assert reason in entry
    wait_until(lambda: watching.shell(f"ls -d {STATE}.rejected-*", check=False).stdout, "it is set aside")
    watching.call("SetMessage", "us", "7", "kept")
    watching.systemctl("restart", UNIT)
    assert watching.call("GetMessage", "u", "7").stdout == 's "kept"\n'
    check_shown(watching)

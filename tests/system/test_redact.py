# SPDX-License-Identifier: GPL-2.0-or-later
"""Secrets on command lines: in no field of the journal, in the sandbox, over reloads and kills."""

from collections.abc import Iterator

import pytest

from execwatchd.shared.message_ids import MessageId
from tests.system.harness import Boot, Box, Entry, argv_of, wait_until
from tests.system.storm import ONLY_STORM, UID, Storm, at_rest, counters

UNIT = "execwatchd.service"
CONFIG = "/etc/execwatchd/execwatchd.toml.d/redact.toml"
SECRET = "Qx7-hunter2-Z9"
# each has it once; `true` and `sh` do nothing with it
COMMANDS = {
    "option": ("true", f"--password={SECRET}"),
    "argument": ("true", "--token", SECRET),
    "spaces": ("true", f"--passphrase=two words {SECRET}"),
    "assignment": ("env", f"DB_PASSWORD={SECRET}", "true"),
    "url": ("true", f"https://me:{SECRET}@host.example/path"),
    "header": ("true", "-H", f"Authorization: Bearer {SECRET}"),
    "any scheme": ("true", "-H", f"Authorization: SSWS {SECRET}"),
    "proxy": ("true", "-x", f"me:{SECRET}@proxy.example:3128"),
    "more than is judged": ("true", *["--token=another"] * 60, f"--token={SECRET}"),
    "wrapper": ("env", "A=b", "timeout", "9", "true", "--token", SECRET),
    "own quotes": ("sh", "-c", f"true --password='two words {SECRET}' next"),
    "shell in a shell": ("sh", "-c", f"sh -c \"true --token '{SECRET}'\"; true"),
    "all kinds": (
        "true",
        "-c",
        "mysql curl docker login openssl zip http lftp nmcli " * 70,
        f"--token={SECRET}",
    ),
    "shell": ("sh", "-c", f"true mysql -p'{SECRET}'; true"),
    "line break": ("true", f"--password=one\n{SECRET}"),
    "cut": ("true", "x" * 4073, f"--password={SECRET}"),
}


@pytest.fixture(scope="module")
def watching(boot: Boot) -> Iterator[Box]:
    box = boot(ONLY_STORM)
    box.systemctl("start", UNIT)
    yield box
    print(box.run("journalctl", "-u", UNIT, "-p", "warning", "--no-pager", check=False).stdout)


def exported(box: Box) -> str:
    """The whole journal, every byte of every field."""
    box.run("journalctl", "--sync")
    return box.run("journalctl", "-o", "export", "--all", "--no-pager").stdout


def configure(box: Box, text: str, status: int = 0) -> None:
    box.shell(f'mkdir -p $(dirname {CONFIG}); printf "%s" "$1" >{CONFIG}', text)
    assert box.systemctl("reload", UNIT, check=False).returncode == status


def recorded(box: Box, *command: str) -> Entry:
    """The entry of the last exec of a run of this command."""
    box.run(*command, uid=UID)
    at_rest(box)
    return max(
        box.journal("-u", UNIT, f"EXECWATCH_UID={UID}"), key=lambda one: int(one["EXECWATCH_TIMESTAMP"])
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_no_field_has_it(watching: Box, name: str) -> None:
    entry = recorded(watching, *COMMANDS[name])
    redacted = [one for one in watching.journal("-u", UNIT) if one.get("EXECWATCH_REDACTED") == "1"]
    assert redacted
    assert SECRET not in exported(watching)
    assert SECRET[:4] not in exported(watching)
    if name not in {"assignment", "wrapper"}:  # of which the last is true's own
        assert b"***" in b" ".join(argv_of(entry))
        assert len(argv_of(entry)) == len(COMMANDS[name])


def test_what_has_none_is_as_it_was(watching: Box) -> None:
    entry = recorded(watching, "true", "-p22", "mkdir -p foo")
    assert entry["EXECWATCH_CMDLINE"] == "true -p22 'mkdir -p foo'"
    assert "EXECWATCH_REDACTED" not in entry


def test_a_reload_takes_effect_at_once(watching: Box) -> None:
    configure(watching, "redact = ['^--pin[= \\n](\\d+)$']")
    assert recorded(watching, "true", "--pin", "1234")["EXECWATCH_ARGV"] == '["true","--pin","***"]'
    assert recorded(watching, "true", "--token=x")["EXECWATCH_ARGV"] == '["true","--token=x"]'
    configure(watching, "redact = false")
    assert recorded(watching, "true", "--pin=1234")["EXECWATCH_ARGV"] == '["true","--pin=1234"]'
    configure(watching, "redact = ['default', '^--pin=(.*)']")
    entry = recorded(watching, "true", "--pin=1234", "--token=x")
    assert entry["EXECWATCH_ARGV"] == '["true","--pin=***","--token=***"]'


def test_a_bad_pattern_is_rejected_and_the_old_ones_stay(watching: Box) -> None:
    configure(watching, "redact = ['default', '^--pin=(.*)']")
    configure(watching, "redact = ['default', 'ok', '(?<!x)y']", status=1)
    problem = f"{CONFIG}: redact.2: the pattern '(?<!x)y': invalid perl operator: (?<!"
    assert f"execwatchd: {problem}" in [one["MESSAGE"] for one in watching.journal("-u", UNIT)]
    watching.systemctl("kill", "--kill-whom=main", "--signal=HUP", UNIT)
    rejected = f"MESSAGE_ID={MessageId.CONFIG_REJECTED.value}"
    (entry,) = wait_until(lambda: watching.journal("-u", UNIT, rejected), "the rejection")
    assert entry["EXECWATCH_REASON"] == problem
    checked = watching.run("execwatchd", "--check-config", check=False)
    assert checked.returncode == 78
    assert problem in checked.stderr
    assert recorded(watching, "true", "--pin=1234")["EXECWATCH_ARGV"] == '["true","--pin=***"]'


def test_what_was_held_by_a_killed_daemon_is_redacted_by_the_next(watching: Box, storm: Storm) -> None:
    configure(watching, "redact = true")
    watching.shell("kill -STOP $(pidof systemd-journald)")
    try:
        storm.run(f"--token={SECRET}", 3000)
        waiting = counters(watching)
        watching.systemctl("kill", "--signal=KILL", UNIT)
    finally:
        watching.shell("kill -CONT $(pidof systemd-journald)")
    answers = ("get-property", "org.execwatch1", "/org/execwatch1", "org.execwatch1.Manager", "Version")
    wait_until(lambda: not watching.busctl(*answers, check=False).returncode, "the next daemon")
    total = at_rest(watching)
    assert waiting["RingFill"]
    assert total["Forwarded"] > waiting["Forwarded"]
    assert exported(watching).count("--token=***") >= total["Forwarded"] - waiting["Forwarded"]
    assert SECRET[:4] not in exported(watching)


def test_a_drop_in_takes_effect_and_is_checked(watching: Box) -> None:
    drop_in = "/etc/execwatchd/redact.d/site.toml"
    write = f'mkdir -p $(dirname {drop_in}); printf "%s" "$1" >{drop_in}'
    configure(watching, "redact = true")
    watching.shell(write, '[commands.true]\nsecret = ["--code"]')
    watching.systemctl("reload", UNIT)
    assert recorded(watching, "true", "--code", "1234")["EXECWATCH_ARGV"] == '["true","--code","***"]'
    assert drop_in in watching.run("execwatchd", "--check-config").stdout
    watching.shell(write, '[commands.true]\nsecret = ["code"]')
    checked = watching.run("execwatchd", "--check-config", check=False)
    assert checked.returncode == 78
    assert f"{drop_in}: commands.true.secret.0: 'code' must be an option" in checked.stderr
    assert watching.systemctl("reload", UNIT, check=False).returncode == 1
    assert recorded(watching, "true", "--code", "1234")["EXECWATCH_ARGV"] == '["true","--code","***"]'
    watching.shell(f"rm {drop_in}")
    watching.systemctl("reload", UNIT)
    assert recorded(watching, "true", "--code", "1234")["EXECWATCH_ARGV"] == '["true","--code","1234"]'


def test_values_can_be_left_out(watching: Box) -> None:
    configure(watching, 'arguments = "names"')
    assert recorded(watching, "true", "-x", "a", "--b=c")["EXECWATCH_ARGV"] == '["true","-x","***","--b=***"]'
    configure(watching, 'arguments = "none"')
    entry = recorded(watching, "true", "-x", "a", "--b=c")
    assert entry["EXECWATCH_ARGV"] == '["true","***","***","***"]'
    configure(watching, "redact = true")

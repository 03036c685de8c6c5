# SPDX-License-Identifier: GPL-2.0-or-later
"""The drop-ins that are not enabled by default, enabled as their comments say."""

import pytest

from execwatchd.shared.message_ids import MessageId
from tests.system.harness import Boot, Box, wait_until

UNIT = "execwatchd.service"
FAILURES = "echo 'failures = true' >$R/etc/execwatchd/execwatchd.toml"


def start(host: Box) -> None:
    host.systemctl("start", UNIT)
    assert host.show(UNIT, "ActiveState") == "active"


def test_failed_execs_are_recorded_with_failures_conf(boot: Boot) -> None:
    host = boot(FAILURES)
    host.enable_drop_in("failures")
    start(host)
    host.run("setpriv", "--reuid=21", "--clear-groups", "/nowhere/program", "argument", check=False)
    kind = f"MESSAGE_ID={MessageId.EXEC_FAILED.value}"
    (entry,) = wait_until(lambda: host.journal("-u", UNIT, kind, "EXECWATCH_UID=21"), "the failed exec")
    assert entry["EXECWATCH_ERRNO"] == "ENOENT"
    assert entry["EXECWATCH_RESULT"] == "-2"
    assert entry["EXECWATCH_FILENAME"] == "/nowhere/program"
    assert entry["EXECWATCH_CMDLINE"] == "/nowhere/program argument"


def test_unit_view_shows_a_units_own_execs(boot: Boot) -> None:
    host = boot()
    host.enable_drop_in("unit-view")
    start(host)
    host.run("systemd-run", "--wait", "--quiet", "--unit=probe", "--uid=6", "/usr/bin/true", "unit-view")

    def probe() -> str:
        shown = host.run("journalctl", "-u", "probe", "-t", "execwatchd", "-o", "cat", "--no-pager").stdout
        return shown if "/usr/bin/true unit-view" in shown else ""

    wait_until(probe, "the exec in the view of its unit")


def test_unit_view_leaves_no_capability_to_uid_0(boot: Boot) -> None:
    host = boot()
    host.enable_drop_in("unit-view")
    start(host)
    status = host.path(f"/proc/{host.show(UNIT, 'MainPID')}/status").read_text()
    sets = dict(line.split(":\t") for line in status.splitlines() if line.startswith("Cap"))
    assert {sets[f"Cap{name}"].strip("0") for name in ("Eff", "Prm", "Inh", "Amb")} == {""}


def test_a_namespace_keeps_the_hosts_journal_free(boot: Boot) -> None:
    host = boot()
    host.enable_drop_in("namespace")
    host.run("cp", "/usr/share/execwatchd/journald@execwatchd.conf", "/etc/systemd/")
    start(host)
    host.run("true", "in-a-namespace", uid=23)
    match = "EXECWATCH_CMDLINE=true in-a-namespace"
    found = wait_until(lambda: host.journal("--namespace=execwatchd", match), "the exec in the namespace")
    assert len(found) == 1
    assert host.journal(match) == []


@pytest.mark.parametrize("drop_in", ["failures", "namespace", "unit-view"])
def test_a_reload_with_a_drop_in(boot: Boot, drop_in: str) -> None:
    """What checks the configuration and what sends the signal run as the daemon does."""
    host = boot()
    host.enable_drop_in(drop_in)
    start(host)
    config = "/etc/execwatchd/execwatchd.toml"
    host.shell(f"""echo 'default_message = "Reloaded"' >{config}""")
    host.systemctl("reload", UNIT)
    assert host.call("GetMessage", "u", "4711").stdout == 's "Reloaded"\n'
    host.shell(f"echo 'cwd = 5' >{config}")
    assert host.systemctl("reload", UNIT, check=False).returncode == 1
    lines = [str(entry["MESSAGE"]) for entry in host.journal("--namespace=*", "-u", UNIT)]
    (checked,) = [line for line in lines if line.startswith(f"execwatchd: {config}: ")]
    assert checked.startswith(f"execwatchd: {config}: cwd: ")
    (rejected,) = [line for line in lines if line.startswith("configuration rejected")]
    assert f"{config}: cwd: " in rejected
    assert host.call("GetMessage", "u", "4711").stdout == 's "Reloaded"\n'

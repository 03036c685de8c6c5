# SPDX-License-Identifier: GPL-2.0-or-later
"""The system that the other tests rely on is one, and has the installation."""

import json

from tests.system.harness import Boot, Box

UNIT = "execwatchd.service"


def test_it_is_a_real_system(host: Box) -> None:
    assert host.systemctl("is-system-running").stdout.strip() == "running"
    assert "org.freedesktop.DBus" in host.busctl("list", "--acquired", "--no-legend").stdout
    assert host.run("id", "-u", uid=1).stdout == "1\n"


def test_the_unit_is_there_and_not_started(host: Box) -> None:
    assert host.show(UNIT, "LoadState") == "loaded"
    assert host.show(UNIT, "ActiveState") == "inactive"
    assert host.show(UNIT, "User") == "execwatchd"
    assert int(host.run("id", "-u", "execwatchd").stdout) < 1000


def test_systemd_finds_nothing_to_say_about_the_unit(host: Box) -> None:
    said = host.run("systemd-analyze", "verify", "--man=no", UNIT)
    assert said.stdout + said.stderr == ""


def test_the_exposure_is_at_most_one(host: Box) -> None:
    host.run("systemd-analyze", "security", "--offline=yes", "--threshold=10", UNIT)


def test_the_drop_ins_are_accepted_together(boot: Boot) -> None:
    host = boot()
    for name in ("failures", "unit-view", "namespace"):
        host.enable_drop_in(name)
    said = host.run("systemd-analyze", "verify", "--man=no", UNIT)
    assert said.stdout + said.stderr == ""
    assert host.show(UNIT, "LogNamespace") == "execwatchd"


def test_the_catalogue_knows_our_entries(host: Box) -> None:
    listed = host.run("journalctl", "--list-catalog").stdout
    assert "execwatchd: Executions were not recorded" in listed


def test_polkit_knows_our_actions(host: Box) -> None:
    listed = host.run("pkaction").stdout.split()
    assert {"org.execwatch1.manage", "org.execwatch1.read"} <= set(listed)


def test_only_our_user_may_own_our_name(host: Box) -> None:
    own = ("call", "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "RequestName")
    refused = host.busctl(*own, "su", "org.execwatch1", "4", uid=1, check=False)
    assert "not allowed to own" in refused.stderr or "Access denied" in refused.stderr
    granted = host.run(
        "setpriv", "--reuid=execwatchd", "--clear-groups", "busctl", *own, "su", "org.execwatch1", "4"
    )
    assert granted.stdout == "u 1\n"


def test_the_journal_is_read_as_it_was_written(host: Box) -> None:
    host.run("logger", "-t", "probe", "--", "text")
    host.run("logger", "--journald", stdin="SYSLOG_IDENTIFIER=probe\nMESSAGE=\x1b[31m\n")
    messages = [entry["MESSAGE"] for entry in host.journal("-t", "probe")]
    assert messages == ["text", "\x1b[31m"], json.dumps(messages, default=repr)

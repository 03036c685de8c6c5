# SPDX-License-Identifier: GPL-2.0-or-later
"""The recipes of contrib/shipping, by each release's own programs, on entries that the daemon has written."""

import base64
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.packages import worst
from tests.packages.boxes import apt
from tests.packages.conftest import Built
from tests.packages.shipped import (
    assert_bash_reads_bytes,
    assert_text_is_the_same,
    by_pid,
    raw,
    shipped,
)
from tests.packages.worst import Executed, execute_all
from tests.system.harness import Box, argv_of, wait_until
from tests.system.storm import ONLY_STORM

SHARE = "/usr/share/execwatchd/shipping"
FILE = "/var/log/execwatchd.json"
RECEIVED = "/run/received"
REMOTE = "/usr/lib/systemd/systemd-journal-remote"
FORWARDED = "/var/log/journal/remote"
UNIT = "_SYSTEMD_UNIT=execwatchd.service"
HERE = "echo 127.0.0.1 collector.example.org >>$R/etc/hosts\n"
# A collector that keeps what it gets.
COLLECTOR = f"""
import socketserver
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        with open("{RECEIVED}", "ab", buffering=0) as file:
            while data := self.request.recv(65536):
                file.write(data)
Server(("127.0.0.1", 5170), Handler).serve_forever()
"""

Execute = Callable[[], Executed]


@pytest.fixture(scope="module")
def host(built: Built, layers: Path) -> Iterator[Box]:
    """The release with the package installed, recording the storm's user."""
    lower = layers / f"{built.release.suite}-shipping"
    packages = lower / "opt/packages"
    packages.mkdir(parents=True)
    (packages / built.deb()).hardlink_to(built.packages / built.deb())
    box = Box(f"test-{os.getpid()}-{built.release.suite}-shipping")
    try:
        box.boot(lower, ONLY_STORM + worst.LONG + HERE, built.root)
        apt(box, "install", f"/opt/packages/{built.deb()}")
        yield box
    finally:
        box.down()


@pytest.fixture
def execute(host: Box, layers: Path) -> Execute:
    layers.chmod(0o755)
    directory = layers / "programs"
    directory.mkdir(mode=0o755, exist_ok=True)
    return lambda: execute_all(directory, host)


@pytest.fixture
def collect(host: Box) -> Iterator[Callable[[], None]]:
    """Starts the collector."""

    def start() -> None:
        host.run("systemd-run", "--quiet", "--unit=collector", "/usr/bin/python3", "-c", COLLECTOR)

    yield start
    host.systemctl("stop", "collector", check=False)  # it isn't there after a failure
    host.run("rm", "-f", RECEIVED, FILE)


def test_rsyslog(host: Box, execute: Execute, collect: Callable[[], None]) -> None:
    """What isn't text stays in the journal, and is named: imjournal has no bytes."""
    apt(host, "install", "rsyslog")
    host.run("cp", f"{SHARE}/rsyslog.conf", "/etc/rsyslog.d/execwatchd.conf")
    remarks = host.run("rsyslogd", "-N1").stderr.splitlines()
    assert [line for line in remarks if "onfig validation run" not in line] == []
    host.systemctl("restart", "rsyslog")
    executed = execute()
    objects = shipped(host, FILE, executed)
    assert_text_is_the_same(objects, executed)
    assert_bash_reads_bytes(objects, executed)
    missing = {pid: objects[pid].get("EXECWATCH_NOT_SHIPPED") for pid in executed.pids}
    assert missing == {
        **dict.fromkeys(executed.text, None),
        **dict.fromkeys(executed.bytes, "argv_raw"),
        executed.named: "filename new_comm",
    }
    collect()  # which was away until now
    assert shipped(host, RECEIVED, executed) == objects


def test_syslog_ng(host: Box, built: Built, execute: Execute, collect: Callable[[], None]) -> None:
    """Bytes come as Base64; in version 3.38 a value ends at its first NUL."""
    apt(host, "install", "syslog-ng-core")
    host.run("cp", f"{SHARE}/syslog-ng.conf", "/etc/syslog-ng/conf.d/execwatchd.conf")
    checked = host.run("syslog-ng", "--syntax-only")
    assert (checked.stdout, checked.stderr) == ("", "")
    host.systemctl("restart", "syslog-ng")
    executed = execute()
    objects = shipped(host, FILE, executed)
    assert_text_is_the_same(objects, executed)
    assert_bash_reads_bytes(objects, executed)
    ends_at_nul = built.release.suite == "bookworm"
    for pid, argv in (executed.short_bytes | executed.long_bytes).items():
        decoded = base64.b64decode(objects[pid]["EXECWATCH_ARGV_RAW_BASE64"])
        assert decoded == (argv[0] if ends_at_nul else raw(argv))
    (nameless,) = executed.nameless
    assert objects[nameless]["EXECWATCH_ARGV_RAW"] == ("" if ends_at_nul else r"\x00\xff\x00a b\x00")
    assert objects[executed.named]["EXECWATCH_NEW_COMM"] == "\\xff\n\\xfe"
    collect()
    assert shipped(host, RECEIVED, executed) == objects


def as_json(host: Box, executed: Executed, *options: str) -> dict[int, dict[str, Any]]:
    """As Vector, Filebeat and the OpenTelemetry Collector read the journal."""
    lines = host.run("journalctl", "-u", "execwatchd", "-o", "json", *options).stdout.splitlines()
    objects = by_pid(map(json.loads, lines), executed)
    assert objects
    return objects


def test_journalctl_gives_arrays_of_numbers_for_bytes_only(host: Box, execute: Execute) -> None:
    executed = execute()
    host.run("journalctl", "--sync")
    objects = as_json(host, executed, "--all")
    assert_text_is_the_same(objects, executed)
    arrays = {
        pid: frozenset(name for name, value in fields.items() if not isinstance(value, str))
        for pid, fields in objects.items()
    }
    assert arrays == {
        **dict.fromkeys(executed.text, frozenset()),
        **dict.fromkeys(executed.bytes, frozenset({"EXECWATCH_ARGV_RAW"})),
        executed.named: {"EXECWATCH_FILENAME", "EXECWATCH_NEW_COMM"},
    }
    for pid, argv in executed.bytes.items():
        assert bytes(objects[pid]["EXECWATCH_ARGV_RAW"]) == raw(argv)


def test_journalctl_gives_null_for_long_fields_without_all(host: Box, execute: Execute) -> None:
    executed = execute()
    host.run("journalctl", "--sync")
    long = {
        (pid, name)
        for pid, fields in as_json(host, executed, "--all").items()
        for name, value in fields.items()
        if len(value) > 4096
    }
    nulls = {
        (pid, name)
        for pid, fields in as_json(host, executed).items()
        for name, value in fields.items()
        if value is None
    }
    assert nulls == long
    assert len(long) == 4


def test_journald_itself(host: Box, built: Built, execute: Execute) -> None:
    """Every byte arrives. Before systemd 256 there is no such setting."""
    has_setting = b"ForwardToSocket" in host.path("/usr/lib/systemd/systemd-journald").read_bytes()
    assert has_setting == (int(built.release.systemd) >= 256)
    if not has_setting:
        return
    apt(host, "install", "systemd-journal-remote")
    listen = (
        "--listen-raw=/run/journal-forward",
        "--split-mode=none",
        f"--output={FORWARDED}/forwarded.journal",
    )
    host.run("mkdir", "-p", FORWARDED)
    host.run("systemd-run", "--quiet", "--property=Type=notify", REMOTE, *listen)
    host.run("cp", f"{SHARE}/forward-to-socket.conf", "/etc/systemd/journald.conf.d/execwatchd.conf")
    host.systemctl("restart", "systemd-journald")
    executed = execute()
    entries = wait_until(
        lambda: by_pid(host.journal(f"--directory={FORWARDED}", UNIT), executed),
        "all at the socket's other end",
    )
    for pid, argv in (executed.text | executed.bytes).items():
        assert argv_of(entries[pid]) == argv
    log = host.run("execwatchctl", "log", f"--directory={FORWARDED}", "-o", "json").stdout.splitlines()
    argvs = {event["pid"]: event["argv"] for event in map(json.loads, log)}
    assert {pid: argvs[pid] for pid in executed.text} == {
        pid: [argument.decode() for argument in argv] for pid, argv in executed.text.items()
    }

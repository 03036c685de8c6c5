# SPDX-License-Identifier: GPL-2.0-or-later
"""Two hosts and a collector, set up as docs/fleets.md says, on links that exist only between them.

The boxes share one kernel, so each daemon sees the execs of both hosts: each records those of one user.
"""

import json
import subprocess
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.system import storm as storms
from tests.system.harness import Boot, Box, wait_until
from tests.system.storm import Storm, arrived, at_rest, counters, only

KEYS = "/etc/execwatchd/fleet"
REMOTE = "/var/log/journal/remote"
SHARE = "/usr/share/execwatchd"
UIDS = (storms.UID, storms.UID + 20000)
NAMES = "one", "two"
COLLECTOR = "collector.test"


def _certificate(place: Path, name: str, *options: str) -> None:
    """A new key and its certificate, NAME.key and NAME.pem, by the commands of docs/fleets.md."""
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-days", "3650")
    files = ("-keyout", f"{name}.key", "-out", f"{name}.pem")
    command = ("openssl", "req", "-x509", *new, *files, *options)
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _signed(place: Path, name: str, authority: str) -> None:
    extensions = ("-addext", f"subjectAltName=DNS:{name}", "-addext", "basicConstraints=critical,CA:FALSE")
    signer = ("-CA", f"{authority}.pem", "-CAkey", f"{authority}.key")
    _certificate(place, name, "-subj", f"/CN={name}", *extensions, *signer)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, `ca`, and what it signed for each machine; and two that it did not sign."""
    place = tmp_path_factory.mktemp("certificates")
    _certificate(place, "ca", "-subj", "/CN=Fleet")
    for name in (COLLECTOR, *NAMES):
        _signed(place, name, "ca")
    _certificate(place, "stranger", "-subj", "/CN=one")
    _signed(place, "forged", "one")
    with (place / "forged.pem").open("a") as chain:
        chain.write((place / "one.pem").read_text())
    return place


@dataclass
class Host:
    """One that records its user's execs."""

    box: Box
    uid: int
    link: str  # the collector's end


@dataclass
class Fleet:
    """A collector and those that send to it."""

    collector: Box
    hosts: tuple[Host, Host]

    def link(self, state: str) -> None:
        """Cuts all links, or mends them."""
        for host in self.hosts:
            _ip(self.collector, "link", "set", host.link, state)

    def arrived(self, host: Host, tag: str) -> Counter[int]:
        """How often the collector has each exec of the storm, by journalctl."""
        if not self.collector.path(f"{REMOTE}/fleet.journal").exists():
            return Counter()
        return arrived(self.collector, tag, "-D", REMOTE, "-u", "execwatchd", f"EXECWATCH_UID={host.uid}")

    def complete(self, tag: str, count: int) -> None:
        """Waits until everything is there."""
        for host in self.hosts:
            wait_until(partial(self._has, host, tag, count), f"all of {host.box.name} on the collector", 60)

    def _has(self, host: Host, tag: str, count: int) -> bool:
        return len(self.arrived(host, tag)) >= count

    def begun(self, tag: str) -> None:
        """Waits until some of each host's storm is there."""
        self.complete(tag, 100)


def shown(box: Box, directory: str, uid: int, tag: str) -> Counter[int]:
    """How often execwatchctl shows each exec of the storm."""
    done = box.run("execwatchctl", "log", "--directory", directory, "--user", str(uid), "-o", "json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    words = [word for event in events for word in event["argv"][1:2] if word.startswith(f"{tag}-")]
    return Counter(int(word.removeprefix(f"{tag}-")) for word in words)


def _ip(box: Box, *arguments: str) -> None:
    """With the ip and the process numbers of outside, in the box's network."""
    subprocess.run(("nsenter", "-t", str(box.pid1), "-n", "ip", *arguments), check=True)


def _give_keys(box: Box, certificates: Path, name: str) -> None:
    box.run("mkdir", "-p", KEYS)
    for source, target in (("ca.pem", "ca.pem"), (f"{name}.pem", "cert.pem"), (f"{name}.key", "key.pem")):
        copy = box.path(f"{KEYS}/{target}")
        copy.write_bytes((certificates / source).read_bytes())
        copy.chmod(0o600)


def _collector(boot: Boot, certificates: Path) -> Box:
    box = boot()
    _give_keys(box, certificates, COLLECTOR)
    box.shell(f"cp -r {SHARE}/fleet/*-remote* /etc/systemd/system/ && cp {SHARE}/fleet/stunnel.conf {KEYS}/")
    box.systemctl("daemon-reload")
    box.systemctl("start", "journal-remote-tls")
    return box


def _host(boot: Boot, certificates: Path, collector: Box, number: int) -> Host:
    uid, name = UIDS[number], NAMES[number]
    box = boot(only(uid) + f"echo 10.0.{number}.1 {COLLECTOR} >>$R/etc/hosts")
    link = f"to-{name}"
    _ip(collector, *("link", "add", link, "type", "veth", "peer", "name", "uplink", "netns", str(box.pid1)))
    for machine, interface, end in ((collector, link, 1), (box, "uplink", 2)):
        _ip(machine, "address", "add", f"10.0.{number}.{end}/24", "dev", interface)
        _ip(machine, "link", "set", interface, "up")
    _give_keys(box, certificates, name)
    box.run("cp", f"{SHARE}/journald@execwatchd.conf", "/etc/systemd/")
    box.shell(f"cp -r {SHARE}/fleet/systemd-journal-upload.service.d /etc/systemd/system/")
    address, patience = (
        "/etc/systemd/journal-upload.conf.d",
        "/etc/systemd/system/systemd-journal-upload.service.d",
    )
    box.shell(f"mkdir {address} && printf '[Upload]\\nURL=https://{COLLECTOR}\\n' >{address}/execwatchd.conf")
    box.shell(f"printf '[Service]\\nRestartSec=500ms\\n' >{patience}/sooner.conf")
    box.enable_drop_in("namespace")
    box.systemctl("start", "execwatchd", "systemd-journal-upload")
    return Host(box, uid, link)


@pytest.fixture(scope="module")
def fleet(boot: Boot, certificates: Path) -> Fleet:
    collector = _collector(boot, certificates)
    return Fleet(
        collector, (_host(boot, certificates, collector, 0), _host(boot, certificates, collector, 1))
    )


def test_a_link_that_is_cut_in_a_storm(fleet: Fleet, storm: Storm) -> None:
    count, missed = 3_000, 500
    running = [storm.start("cut", count, pause_us=1000, uid=host.uid) for host in fleet.hosts]
    fleet.begun("cut")
    fleet.link("down")
    before = [counters(host.box)["Forwarded"] for host in fleet.hosts]
    for host, sent in zip(fleet.hosts, before, strict=True):
        wait_until(partial(_forwarded, host, sent + missed), f"{missed} more execs")
        assert len(fleet.arrived(host, "cut")) < sent + missed
    fleet.link("up")
    assert [one.wait() for one in running] == [0, 0]
    for host in fleet.hosts:
        total = at_rest(host.box)
        assert (total["Forwarded"], total["Lost"]) == (count + 1, 0)
    fleet.complete("cut", count)
    for host in fleet.hosts:
        assert fleet.arrived(host, "cut") == dict.fromkeys(range(count), 1)
        assert shown(fleet.collector, REMOTE, host.uid, "cut") == dict.fromkeys(range(count), 1)


def _forwarded(host: Host, count: int) -> bool:
    return counters(host.box)["Forwarded"] >= count


def test_a_collector_that_is_restarted_in_a_storm(fleet: Fleet, storm: Storm) -> None:
    """Hosts repeat the request that was broken off: the journal has copies, execwatchctl shows one."""
    count = 3_000
    running = [storm.start("restart", count, pause_us=1000, uid=host.uid) for host in fleet.hosts]
    fleet.begun("restart")
    fleet.collector.systemctl("kill", "--signal=KILL", "journal-remote-tls")
    fleet.collector.systemctl("restart", "systemd-journal-remote")
    assert [one.wait() for one in running] == [0, 0]
    fleet.complete("restart", count)
    for host in fleet.hosts:
        assert set(fleet.arrived(host, "restart")) == set(range(count))
        assert shown(fleet.collector, REMOTE, host.uid, "restart") == dict.fromkeys(range(count), 1)


def test_what_came_twice_is_shown_once(fleet: Fleet, storm: Storm) -> None:
    count = 200
    host = fleet.hosts[0]
    storm.run("twice", count, host.uid)
    wait_until(lambda: len(fleet.arrived(host, "twice")) == count, "the execs on the collector")
    fleet.collector.shell(
        f"mkdir /tmp/twice && journalctl -D {REMOTE} -o export EXECWATCH_UID={host.uid} >/tmp/export &&"
        " cat /tmp/export /tmp/export | /usr/lib/systemd/systemd-journal-remote -o /tmp/twice/fleet.journal -"
    )
    match = ("-D", "/tmp/twice", f"EXECWATCH_UID={host.uid}")
    assert arrived(fleet.collector, "twice", *match) == dict.fromkeys(range(count), 2)
    assert shown(fleet.collector, "/tmp/twice", host.uid, "twice") == dict.fromkeys(range(count), 1)


def test_the_log_tells_hosts_apart(fleet: Fleet, storm: Storm) -> None:
    for host in fleet.hosts:
        storm.run("apart", 5, host.uid)
    fleet.complete("apart", 5)
    for host in fleet.hosts:
        log = ("execwatchctl", "log", "--directory", REMOTE, "--host", host.box.name)
        events = [json.loads(line) for line in fleet.collector.run(*log, "-o", "json").stdout.splitlines()]
        assert {(event["host"], event["uid"]) for event in events} == {(host.box.name, host.uid)}
        lines = fleet.collector.run(*log).stdout.splitlines()
        assert len(lines) == len(events)
        assert all(f" {host.box.name} " in line for line in lines)


def test_other_users_of_the_collector_are_kept_out(fleet: Fleet) -> None:
    connect = "import socket; socket.socket(socket.AF_UNIX).connect('/run/journal-remote.socket')"
    for command in (("ls", REMOTE), ("/usr/bin/python3", "-c", connect)):
        assert fleet.collector.run(*command, check=False).returncode == 0
        assert "Permission denied" in fleet.collector.run(*command, uid=1, check=False).stderr


def test_the_collector_can_delete_old_entries(fleet: Fleet) -> None:
    box, unit = fleet.collector, "journal-remote-vacuum.service"
    old, new = (
        f"{REMOTE}/fleet{archived}.journal" for archived in (f"@{'0' * 32}-{'0' * 16}-{'0' * 16}", "")
    )
    box.run("cp", "-p", new, old)
    box.systemctl("start", unit)
    assert box.path(old).exists()
    box.shell(f"sed -i s/=50G/=1/ /etc/systemd/system/{unit} && systemctl daemon-reload")
    box.systemctl("start", unit)
    assert not box.path(old).exists()
    assert box.path(new).exists()


def test_only_the_daemons_own_entries_are_sent(fleet: Fleet) -> None:
    units = fleet.collector.run("journalctl", "-D", REMOTE, "-F", "_SYSTEMD_UNIT").stdout.split()
    assert set(units) <= {"execwatchd.service", "systemd-journald@execwatchd.service"}


@pytest.mark.parametrize(
    ("name", "why"), [("stranger", "self-signed certificate"), ("forged", "invalid CA certificate")]
)
def test_who_has_no_key_of_the_authority_gets_nothing_in(
    fleet: Fleet, certificates: Path, name: str, why: str
) -> None:
    box, upload = fleet.hosts[0].box, "/usr/lib/systemd/systemd-journal-upload"
    box.shell("logger intruder && journalctl --sync")
    for suffix in ("key", "pem"):
        box.path(f"/root/{name}.{suffix}").write_bytes((certificates / f"{name}.{suffix}").read_bytes())
    options = (f"--key=/root/{name}.key", f"--cert=/root/{name}.pem", f"--trust={KEYS}/ca.pem", "--follow=no")
    assert box.run(upload, *options, check=False).returncode == 1
    said = [entry["MESSAGE"] for entry in fleet.collector.journal("-u", "journal-remote-tls")]
    assert any(line.endswith(f"CERT: Pre-verification error: {why}") for line in said), said
    assert fleet.collector.journal("-D", REMOTE, "MESSAGE=intruder") == []

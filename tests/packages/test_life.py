# SPDX-License-Identifier: GPL-2.0-or-later
"""A package's life on a clean release: installed, used, upgraded, removed, installed again, purged."""

import time
from collections.abc import Callable

from tests.conftest import our_programs, programs_of
from tests.packages.conftest import NEWER, Built
from tests.system import storm as storms
from tests.system.harness import Box, wait_until
from tests.system.storm import ONLY_STORM, Storm, arrived, at_rest

UNIT = "execwatchd.service"
MANAGER = ("org.execwatch1", "/org/execwatch1", "org.execwatch1.Manager")
CONFIG = "/etc/execwatchd/execwatchd.toml"
# what the test put there itself, as an administrator does
THEIRS = {"/etc/execwatchd", f"{CONFIG}.d", f"{CONFIG}.d/storm.toml"}
ENABLED = {
    "/etc/systemd/system/multi-user.target.wants/execwatchd.service",
    "/var/lib/systemd/deb-systemd-helper-enabled/execwatchd.service.dsh-also",
    "/var/lib/systemd/deb-systemd-helper-enabled/multi-user.target.wants/execwatchd.service",
}
STATE = {"/var/lib/execwatchd", *(f"/var/lib/execwatchd/{name}.json" for name in ("configuration", "state"))}
DPKG = {"/var/lib/dpkg/info/execwatchd.list", "/var/lib/dpkg/info/execwatchd.postrm"}


def apt(box: Box, *arguments: str) -> str:
    """Offline: the box has no network, and the distribution's packages wait in apt's cache."""
    options = ("-qqy", "--no-install-recommends", "-o", "Dpkg::Use-Pty=0", "-o", "APT::Sandbox::User=root")
    command = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", *options, *arguments)
    done = box.run(*command, timeout=600)
    return done.stdout + done.stderr


def traces(box: Box) -> set[str]:
    """Every file that bears our name, except the packages themselves."""
    shown = box.shell("find / -xdev -path /opt/packages -prune -o -path '*execwatch*' -print").stdout
    return set(shown.splitlines())


def test_the_life_of_a_package(built: Built, clean: Callable[[str], Box], storm: Storm) -> None:
    box = clean(ONLY_STORM)
    assert traces(box) == THEIRS
    install(box, built)
    use(box, storm)
    upgrade(box, built, storm)
    remove(box)
    install_again(box, built)
    purge(box)
    install_where_policy_forbids_a_start(box, built)


def install(box: Box, built: Built) -> None:
    # polkitd is recommended; apt would bring everything that it recommends itself
    said = apt(box, "install", f"/opt/packages/{built.deb()}", "polkitd")
    assert "rror" not in said, said
    assert box.show(UNIT, "ActiveState") == "active"
    assert box.systemctl("is-enabled", UNIT).stdout == "enabled\n"
    assert {"org.execwatch1.manage", "org.execwatch1.read"} <= set(box.run("pkaction").stdout.split())
    assert "execwatchd: Executions were not recorded" in box.run("journalctl", "--list-catalog").stdout
    for program in ("execwatchd", "execwatchctl"):
        assert box.run(program, "--version", uid=65534).stdout.split()[1] == built.version
    assert box.run("dpkg", "--verify", "execwatchd").stdout == ""
    assert box.shell("find /usr/lib/execwatchd -name '*.pyc' | wc -l").stdout != "0\n"


def use(box: Box, storm: Storm) -> None:
    box.call("SetMessage", "us", str(storms.UID), "Hi from a package!")
    storm.run("use", 3)
    at_rest(box)
    assert arrived(box, "use") == dict.fromkeys(range(3), 1)
    entries = box.journal("-u", UNIT, f"EXECWATCH_UID={storms.UID}")
    (said,) = [str(entry["MESSAGE"]) for entry in entries if entry["MESSAGE"].endswith(" use-1")]
    assert said.split(" ", 1)[1].startswith(f"{storms.UID} storm Hi from a package!: ")
    box.run("execwatchctl", "status")


def upgrade(box: Box, built: Built, storm: Storm) -> None:
    """The older daemon's execs and the newer one's, and those between, are there once each."""
    before = box.show(UNIT, "MainPID")
    running = storm.start("upgrade", 1_000_000, pause_us=500)
    try:
        apt(box, "install", f"/opt/packages/{built.deb(NEWER)}")
        assert running.poll() is None
        time.sleep(0.5)  # so that the newer daemon sees some too
    finally:
        running.terminate()
        running.wait()
    total = at_rest(box)
    found = arrived(box, "upgrade")
    assert found == dict.fromkeys(range(len(found)), 1)
    assert total["Lost"] == 0
    matches = ("-u", UNIT, f"EXECWATCH_UID={storms.UID}", "--output-fields=_PID")
    assert {entry["_PID"] for entry in box.journal(*matches)} == {before, box.show(UNIT, "MainPID")}
    assert f'"{NEWER}"' in box.busctl("get-property", *MANAGER, "Version").stdout
    assert box.call("GetMessage", "u", str(storms.UID)).stdout == 's "Hi from a package!"\n'


def remove(box: Box) -> None:
    box.shell(f"echo '# changed' >>{CONFIG}")
    held = programs_of(box.main_pid(UNIT))
    assert len(held) == 2
    apt(box, "remove", "execwatchd")
    wait_until(lambda: not held & our_programs(), "no program of ours in the kernel")
    assert box.show(UNIT, "LoadState") == "not-found"
    assert traces(box) == THEIRS | {CONFIG} | STATE | ENABLED | DPKG


def install_again(box: Box, built: Built) -> None:
    apt(box, "install", f"/opt/packages/{built.deb(NEWER)}")
    assert box.show(UNIT, "ActiveState") == "active"
    assert box.shell(f"tail -n1 {CONFIG}").stdout == "# changed\n"
    assert box.call("GetMessage", "u", str(storms.UID)).stdout == 's "Hi from a package!"\n'


def purge(box: Box) -> None:
    apt(box, "purge", "execwatchd")
    assert traces(box) == THEIRS
    assert box.run("getent", "passwd", "execwatchd").stdout  # as with every package of Debian


def install_where_policy_forbids_a_start(box: Box, built: Built) -> None:
    box.shell("printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d")
    apt(box, "install", f"/opt/packages/{built.deb()}")
    assert box.show(UNIT, "ActiveState") == "inactive"
    assert box.systemctl("is-enabled", UNIT).stdout == "enabled\n"

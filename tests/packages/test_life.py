# SPDX-License-Identifier: GPL-2.0-or-later
"""A package's life on a clean release: installed, used, upgraded, removed, installed again, purged."""

import shutil
from collections.abc import Callable
from pathlib import Path

from tests.kernel_objects import loaded_programs, programs_of
from tests.packages.boxes import (
    ACCOUNTS,
    CONFIG,
    UNIT,
    apt,
    changed,
    last_line,
    satisfy,
    tree,
    upgrade_in_a_storm,
)
from tests.packages.conftest import NEWER, VERSION, Built
from tests.packages.roots import in_root
from tests.system import storm as storms
from tests.system.harness import Box, wait_until
from tests.system.storm import ONLY_STORM, Storm, arrived, at_rest

# what the test put there itself, as an administrator does
THEIRS = {"/etc/execwatchd", f"{CONFIG}.d", f"{CONFIG}.d/storm.toml"}
ENABLED = {
    "/etc/systemd/system/multi-user.target.wants/execwatchd.service",
    "/var/lib/systemd/deb-systemd-helper-enabled/execwatchd.service.dsh-also",
    "/var/lib/systemd/deb-systemd-helper-enabled/multi-user.target.wants/execwatchd.service",
}
STATE = {"/var/lib/execwatchd", *(f"/var/lib/execwatchd/{name}.json" for name in ("configuration", "state"))}
DPKG = {"/var/lib/dpkg/info/execwatchd.list", "/var/lib/dpkg/info/execwatchd.postrm"}
FIND_TRACES = "find / -xdev -path /opt/packages -prune -o -path '*execwatch*' -print"


def traces(box: Box) -> set[str]:
    """Every file that bears our name, except the packages themselves."""
    return set(box.shell(FIND_TRACES).stdout.splitlines())


def test_the_life_of_a_package(built: Built, clean: Callable[[str], Box], storm: Storm) -> None:
    box = clean(ONLY_STORM)
    satisfy(box, built.deb())
    before = tree(box)
    assert traces(box) == THEIRS
    install(box, built)
    use(box, storm)
    reload(box)
    upgrade(box, built, storm)
    reinstall(box, built)
    remove(box)
    install_again(box, built)
    purge(box)
    assert changed(before, tree(box)) == ACCOUNTS
    install_where_policy_forbids_a_start(box, built)


def install(box: Box, built: Built) -> None:
    said = apt(box, "install", f"/opt/packages/{built.deb()}")
    assert "rror" not in said, said
    assert box.show(UNIT, "ActiveState") == "active"
    assert box.systemctl("is-enabled", UNIT).stdout == "enabled\n"
    assert {"org.execwatch1.manage", "org.execwatch1.read"} <= set(box.run("pkaction").stdout.split())
    assert "execwatchd: Executions were not recorded" in box.run("journalctl", "--list-catalog").stdout
    for program in ("execwatchd", "execwatchctl"):
        assert box.run(program, "--version", uid=65534).stdout.split()[1] == VERSION
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


def reload(box: Box) -> None:
    """When it returns a new configuration is in effect; one with errors fails it and has no effect."""
    drop_in, pid = f"{CONFIG}.d/reload.toml", box.show(UNIT, "MainPID")
    message = ("GetMessage", "u", "4711")
    box.shell(f"""echo 'default_message = "Reloaded"' >{drop_in}""")
    box.systemctl("reload", UNIT)
    assert box.call(*message).stdout == 's "Reloaded"\n'
    box.shell(f"""printf '%s\n' 'default_message = "Rejected"' 'cwd = 5' 'nonsense = 1' >{drop_in}""")
    assert box.systemctl("reload", UNIT, check=False).returncode == 1
    lines = [str(entry["MESSAGE"]) for entry in box.journal("-u", UNIT)]
    problems = [line for line in lines if f"{drop_in}: " in line]
    assert sorted(line.rpartition(": ")[0] for line in problems) == [
        f"{who}: {drop_in}: {key}"
        for who in ("configuration rejected, the old one stays", "execwatchd")
        for key in ("cwd", "nonsense")
    ]
    assert box.call(*message).stdout == 's "Reloaded"\n'
    assert (box.show(UNIT, "ActiveState"), box.show(UNIT, "MainPID")) == ("active", pid)
    box.run("rm", drop_in)
    box.systemctl("reload", UNIT)
    assert box.call(*message).stdout != 's "Reloaded"\n'


def upgrade(box: Box, built: Built, storm: Storm) -> None:
    """With a configuration that the administrator changed, and a newer one in the package."""
    box.shell(f"echo '# changed' >>{CONFIG}")
    newer, keep = f"/opt/packages/{built.deb(NEWER)}", ("-o", "Dpkg::Options::=--force-confold")
    upgrade_in_a_storm(box, storm, lambda: apt(box, *keep, "install", newer))
    assert box.call("GetMessage", "u", str(storms.UID)).stdout == 's "Hi from a package!"\n'
    assert last_line(box, CONFIG) == "# changed"
    assert last_line(box, f"{CONFIG}.dpkg-dist") == "# newer"


def reinstall(box: Box, built: Built) -> None:
    """The program stays attached, as over an upgrade."""
    before, held = box.show(UNIT, "MainPID"), programs_of(box.main_pid(UNIT))
    apt(box, "install", "--reinstall", f"/opt/packages/{built.deb(NEWER)}")
    assert box.show(UNIT, "MainPID") not in {before, "0"}
    assert programs_of(box.main_pid(UNIT)) == held
    assert last_line(box, CONFIG) == "# changed"


def remove(box: Box) -> None:
    held = programs_of(box.main_pid(UNIT))
    assert len(held) == 3
    apt(box, "remove", "execwatchd")
    wait_until(lambda: not held & loaded_programs(), "no program of ours in the kernel")
    assert box.show(UNIT, "LoadState") == "not-found"
    assert traces(box) == THEIRS | {CONFIG, f"{CONFIG}.dpkg-dist"} | STATE | ENABLED | DPKG


def install_again(box: Box, built: Built) -> None:
    apt(box, "install", f"/opt/packages/{built.deb(NEWER)}")
    assert box.show(UNIT, "ActiveState") == "active"
    assert last_line(box, CONFIG) == "# changed"
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


def test_without_a_systemd_that_runs(built: Built, layers: Path) -> None:
    """As in an image that is being made: it brings all it needs, starts at boot, and goes without a trace."""
    layer = layers / f"{built.release.suite}-image"
    shutil.copytree(built.packages, layer / "upper/opt/packages")

    def run(script: str) -> str:
        return in_root(built.root, layer, "bash", "-euc", script)

    run(f"apt-get -qqy --no-install-recommends install /opt/packages/{built.deb()}")
    link = layer / "upper/etc/systemd/system/multi-user.target.wants" / UNIT
    assert link.readlink().name == UNIT
    assert run("getent passwd execwatchd")
    assert run("execwatchd --version") == f"execwatchd {VERSION}\n"
    run("apt-get -qqy purge execwatchd")
    assert not link.is_symlink()
    assert run(FIND_TRACES) == ""

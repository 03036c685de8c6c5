# SPDX-License-Identifier: GPL-2.0-or-later
"""The .rpm's life with its scripts, on Debian, where Debian's packages are its dependencies."""

from collections.abc import Callable

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
from tests.system.harness import Box, wait_until
from tests.system.storm import ONLY_STORM, Storm

# On Fedora other packages own these, and some are there already.
THEIR_DIRECTORIES = {
    "dbus-1/interfaces",
    "fish",
    "fish/vendor_completions.d",
    "licenses",
    "zsh/site-functions",
}
# rpm knows no purge
STATE = {"/var/lib/execwatchd", "/var/lib/execwatchd/configuration.json"}


def rpm(box: Box, *arguments: str) -> str:
    done = box.run("rpm", "--dbpath=/var/lib/rpm", "--nodeps", *arguments, timeout=600)
    assert "failed" not in done.stderr, done.stderr  # rpm only warns of a script that fails
    return done.stdout


def test_the_life_of_an_rpm(built: Built, clean: Callable[[str], Box], storm: Storm) -> None:
    box = clean(ONLY_STORM)
    satisfy(box, built.deb())
    apt(box, "install", "rpm")
    before = tree(box)
    install(box, built)
    upgrade(box, built, storm)
    erase(box)
    left = changed(before, tree(box)) - {f"/usr/share/{name}" for name in THEIR_DIRECTORIES}
    assert left == {f"{CONFIG}.rpmnew", f"{CONFIG}.rpmsave", *STATE, *ACCOUNTS}


def install(box: Box, built: Built) -> None:
    rpm(box, "--install", f"/opt/packages/{built.rpm()}")
    assert rpm(box, "--verify", "execwatchd") == ""
    assert versions(box) == {VERSION}
    assert "execwatchd: Executions were not recorded" in box.run("journalctl", "--list-catalog").stdout
    assert box.show(UNIT, "ActiveState") == "inactive"  # Fedora starts nothing either
    box.systemctl("start", UNIT)


def upgrade(box: Box, built: Built, storm: Storm) -> None:
    box.shell(f"echo '# changed' >>{CONFIG}")
    upgrade_in_a_storm(box, storm, lambda: rpm(box, "--upgrade", f"/opt/packages/{built.rpm(NEWER)}"))
    assert versions(box) == {NEWER}
    assert last_line(box, CONFIG) == "# changed"
    assert last_line(box, f"{CONFIG}.rpmnew") == "# newer"


def erase(box: Box) -> None:
    held = programs_of(box.main_pid(UNIT))
    assert len(held) == 3
    rpm(box, "--erase", "execwatchd")
    wait_until(lambda: not held & loaded_programs(), "no program of ours in the kernel")
    assert box.show(UNIT, "LoadState") == "not-found"


def versions(box: Box) -> set[str]:
    programs = ("execwatchd", "execwatchctl")
    return {box.run(program, "--version", uid=65534).stdout.split()[1] for program in programs}

# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests do in a booted release: install, upgrade while it records, and look at the whole tree."""

import time
from collections.abc import Callable

from tests.packages.conftest import NEWER
from tests.system import storm as storms
from tests.system.harness import Box
from tests.system.storm import Storm, arrived, at_rest

UNIT = "execwatchd.service"
MANAGER = ("org.execwatch1", "/org/execwatch1", "org.execwatch1.Manager")
CONFIG = "/etc/execwatchd/execwatchd.toml"
# The user stays, as with every package: entries in the journal bear its number.
ACCOUNTS = {f"/etc/{name}{old}" for name in ("passwd", "group", "shadow", "gshadow") for old in ("", "-")}

# What any installation changes, or a running system: package managers' books and caches, logs, private /tmp.
_OTHERS = (
    "/opt/packages",
    "/var/cache/apt",
    "/var/lib/apt",
    "/var/lib/dpkg",
    "/var/lib/rpm",
    "/var/log",
    "/var/tmp",
)
_SHOW = r"""
prune=()
for path in "$@"; do prune+=(-path "$path" -prune -o); done
find / -xdev "${prune[@]}" -type f -exec sha256sum -- {} + | sed 's/^\(\S*\)  \(.*\)/\2 \1/'
find / -xdev "${prune[@]}" -printf '%p %M %u %g %l\n'
"""


def apt(box: Box, *arguments: str) -> str:
    """Offline: the box has no network, and the distribution's packages wait in apt's cache."""
    options = ("-qqy", "--no-install-recommends", "-o", "Dpkg::Use-Pty=0", "-o", "APT::Sandbox::User=root")
    command = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", *options, *arguments)
    done = box.run(*command, timeout=600)
    return done.stdout + done.stderr


def satisfy(box: Box, deb: str) -> None:
    """Installs what a package depends on, and polkitd, which it recommends; not the package."""
    depends = box.run("dpkg-deb", "--field", f"/opt/packages/{deb}", "Depends").stdout.strip()
    apt(box, "satisfy", depends, "polkitd")


def tree(box: Box) -> set[str]:
    """Lines of path, type, mode and owner, and of path and content."""
    return set(box.shell(_SHOW, *_OTHERS).stdout.splitlines())


def changed(before: set[str], after: set[str]) -> set[str]:
    """The paths that came, went or are different."""
    return {line.split(" ")[0] for line in before ^ after}


def last_line(box: Box, path: str) -> str:
    return box.run("tail", "-n1", path).stdout.removesuffix("\n")


def upgrade_in_a_storm(box: Box, storm: Storm, upgrade: Callable[[], object]) -> None:
    """The older daemon's execs and the newer one's, and those between, are there once each."""
    before = box.show(UNIT, "MainPID")
    running = storm.start("upgrade", 1_000_000, pause_us=500)
    try:
        upgrade()
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

# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernels that are tried, Debian's own, unpacked and not installed."""

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.packages.roots import CACHE, locked, mirror, run

_APT = """\
Dir::State::lists "{0}/lists"; Dir::State::status "/dev/null"; Dir::Cache "{0}/cache";
Dir::Etc::sourcelist "{0}/sources.list"; Dir::Etc::sourceparts "/dev/null";
APT::Architecture "amd64"; APT::Sandbox::User "root"; Acquire::Languages "none";
"""


@dataclass(frozen=True)
class Kernel:
    """What a suite's linux-image-amd64 is; `series` is how its version begins, as the README names it."""

    suite: str
    series: str


# README.md has each; a test compares.
KERNELS = (
    Kernel("bookworm", "6.1"),
    Kernel("trixie", "6.12"),
    Kernel("trixie-backports", "7"),
)


def unpacked(kernel: Kernel) -> Path:
    """Its /boot and its modules below a directory that is kept between sessions."""
    made = CACHE / f"kernel-{kernel.suite}"
    with locked():
        if not made.exists():
            _unpack(kernel.suite, made.with_suffix(".new"))
            made.with_suffix(".new").rename(made)
    return made


def _unpack(suite: str, target: Path) -> None:
    apt = target / "apt"
    for name in ("lists", "cache"):
        (apt / name).mkdir(parents=True)
    (apt / "sources.list").write_text(f"deb {mirror()} {suite} main\n")
    (apt / "apt.conf").write_text(_APT.format(apt))
    environment = {"PATH": os.environ["PATH"], "APT_CONFIG": str(apt / "apt.conf"), "LC_ALL": "C"}
    run("apt-get", "update", "-qq", environment=environment)
    shown = run(
        "apt-cache", "depends", "--recurse", "--important", "linux-image-amd64", environment=environment
    )
    packages = sorted(set(re.findall(r"\blinux-(?:image|binary|modules)-\d\S*-amd64\b", shown)))
    run("env", "-C", str(apt), "apt-get", "download", "-qq", *packages, environment=environment)
    for package in apt.glob("*.deb"):
        run("dpkg-deb", "--extract", str(package), str(target))
    shutil.rmtree(apt)

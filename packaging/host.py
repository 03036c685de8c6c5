# SPDX-License-Identifier: GPL-2.0-or-later
"""The release that packages are built on and for: its name, its architecture, the libraries that it has."""

import platform
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
SHORT = {"debian": "deb", "fedora": "fc"}

# A library's package in Debian, if not python3- and its name, and how many numbers its version lacks there.
ELSEWHERE = {"google-re2": ("python3-re2", 2)}

Version = tuple[int, ...]


def tag() -> str:
    """As packages for this release are marked: deb12, fc42, ubuntu24.04."""
    release = platform.freedesktop_os_release()
    number = release.get("VERSION_ID") or release.get("VERSION_CODENAME", "")
    return SHORT.get(release["ID"], release["ID"]) + number


def architecture() -> str:
    machine = platform.machine()
    return ARCHITECTURES.get(machine, machine)


def python() -> str:
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def requirements() -> dict[str, list[tuple[str, Version]]]:
    """What the project asks of each library that it may have to carry: relations and versions."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = {}
    for text in project["dependencies"]:
        name, relations = re.fullmatch(r"([a-z0-9-]+)(.*)", text).groups()  # type: ignore[union-attr]
        if name != "systemd-python":  # only the distribution has it
            found[name] = [(r, version(v)) for r, v in re.findall(r"(==|>=|<)([\d.]+)", relations)]
    return found


def version(text: str) -> Version:
    """The numbers that a version begins with, without a distribution's own additions."""
    return tuple(int(part) for part in re.findall(r"(?:^|\.)(\d+)", re.split(r"[^\d.]", text)[0]))


def bounds(relations: list[tuple[str, Version]]) -> list[tuple[str, Version]]:
    """The same with >= and < only: a distribution's 0.2.3-3 is not equal to 0.2.3."""
    found = []
    for relation, wanted in relations:
        if relation == "==":
            found += [(">=", wanted), ("<", (*wanted[:-1], wanted[-1] + 1))]
        else:
            found.append((relation, wanted))
    return found


def package(library: str, form: str) -> tuple[str, list[tuple[str, Version]]]:
    """A library's own package in a format, and the bounds of its version."""
    name, lacks = (form == "deb" and ELSEWHERE.get(library)) or (f"python3-{library}", 0)
    return name, [(sign, wanted[lacks:]) for sign, wanted in bounds(requirements()[library])]


def has(library: str) -> bool:
    """Whether this release's package of a Python library is one that the project can use."""
    name, wanted = package(library, "deb" if shutil.which("apt-cache") else "rpm")
    available = _available(name)
    return available is not None and all(
        available >= bound if sign == ">=" else available < bound for sign, bound in wanted
    )


def _available(name: str) -> Version | None:
    """The version that the distribution's package manager would install."""
    if shutil.which("apt-cache"):
        if not re.search(r"^  Candidate: \d", _output("apt-cache", "policy", "python3-bpfcc"), re.MULTILINE):
            sys.exit("execwatchd: apt-cache knows no packages: run apt-get update")
        found = re.search(
            r"^  Candidate: (?:\d+:)?(\d\S*)", _output("apt-cache", "policy", name), re.MULTILINE
        )
        return version(found[1]) if found else None
    shown = _output("dnf", "repoquery", "--quiet", "--latest-limit=1", "--queryformat=%{version}\n", name)
    return version(shown.split()[0]) if shown.split() else None


def _output(*command: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"}
    )
    if done.returncode:
        sys.exit(f"execwatchd: {' '.join(command)}: {done.stderr.strip()}")
    return done.stdout

# SPDX-License-Identifier: GPL-2.0-or-later
"""What is in the packages, by the tools of their formats."""

import re
from pathlib import Path

from tests.packages import roots
from tests.packages.conftest import Built
from tests.packages.roots import in_root
from tests.system.harness import REPOSITORY

# Debian has its own places for these, and a package no record: dpkg has one.
ONLY_INSTALLED = {f"/usr/share/doc/execwatchd/{name}" for name in ("LICENSE", "CHANGELOG.md")}
ONLY_PACKAGED = {
    *(f"/usr/share/doc/execwatchd/{name}" for name in ("copyright", "changelog.gz", "changelog.Debian.gz")),
    "/usr/share/lintian/overrides/execwatchd",
}


def tool(built: Built, layers: Path, script: str) -> str:
    """Looks at the packages with the tools of a newer release."""
    both = f"{built.layer}/upper:{roots.tools()}"
    layer = layers / f"{built.release.suite}-tools"
    return in_root(Path(both), layer, "bash", "-euc", f"cd /opt/packages; {script}")


def test_the_release_has_these_versions(built: Built) -> None:
    """Which the README says it is tried with."""
    policy = in_root(built.root, built.layer, "apt-cache", "policy", "systemd", "python3-bpfcc", "python3")
    versions = re.findall(r"^  Candidate: (?:\d+:)?(\d+(?:\.\d+)?)", policy, re.MULTILINE)
    release = built.release
    assert [versions[0].partition(".")[0], *versions[1:]] == [release.systemd, release.bcc, release.python]


def test_both_formats_are_there(built: Built) -> None:
    names = {path.name for path in built.packages.iterdir()}
    assert {built.deb(), built.deb("99.0.0"), built.rpm} <= names
    assert len(names) == 4


def test_built_twice_they_have_the_same_bytes(built: Built) -> None:
    again = built.layer / "upper/opt/again"
    for name in (built.deb(), built.rpm):
        assert (again / name).read_bytes() == (built.packages / name).read_bytes()


def test_the_deb_has_what_make_install_lays(built: Built, layers: Path) -> None:
    packed = tool(built, layers, f"dpkg-deb --fsys-tarfile {built.deb()} | tar -t")
    files = {line[1:] for line in packed.splitlines() if not line.endswith("/")}
    stage = ("/usr/bin/python3", "-I", "/src/packaging/stage.py", "list", "--prefix", "/usr")
    listed = in_root(built.root, built.layer, *stage)
    laid = {f"{path}.gz" if "/man/" in path else path for path in listed.splitlines()}

    def ours(paths: set[str]) -> set[str]:
        return {path for path in paths if "/vendor/" not in path}

    assert ours(files) == ours(laid) - ONLY_INSTALLED | ONLY_PACKAGED


def test_what_is_carried_is_what_the_release_does_not_have(built: Built, layers: Path) -> None:
    packed = tool(built, layers, f"dpkg-deb --fsys-tarfile {built.deb()} | tar -t")
    carried = set(re.findall(r"/vendor/(\w+)-[\d.]+\.dist-info/METADATA", packed))
    depends = tool(built, layers, f"dpkg-deb --field {built.deb()} Depends")
    for library in built.release.carries | built.release.has:
        assert (library.replace("-", "_") in carried) == (library in built.release.carries)
        assert (f"python3-{library} (" in depends) == (library in built.release.has)
    assert bool(carried) == ("python3 (<<" in depends)
    assert tool(built, layers, f"dpkg-deb --field {built.deb()} Recommends") == "polkitd\n"
    named = (REPOSITORY / "packaging/copyright").read_text()
    assert all(f"/vendor/{name}" in named for name in carried)


def test_lintian_finds_nothing(built: Built, layers: Path) -> None:
    said = tool(built, layers, f"lintian --allow-root --fail-on error,warning {built.deb()}")
    assert said == ""


def test_the_deb_has_one_conffile(built: Built, layers: Path) -> None:
    shown = tool(built, layers, f"dpkg-deb --info {built.deb()} conffiles")
    assert shown.split() == ["/etc/execwatchd/execwatchd.toml"]


def test_rpm_reads_installs_and_verifies_the_rpm(built: Built, layers: Path) -> None:
    """Into a root of its own, without the dependencies and the scripts of a release that is not here."""
    script = f"""
rpm --checksig --nosignature {built.rpm} >&2
rpm --query --package --requires --recommends {built.rpm}
echo --
rpm --query --package --configfiles {built.rpm}
echo --
rpm --root /mnt --initdb
rpm --root /mnt --install --nodeps --noscripts {built.rpm}
rpm --root /mnt --verify --nodeps --noscripts execwatchd
find /mnt -type f -path '*execwatchd*' ! -path '*/rpm/*' | wc -l
rpm --root /mnt --erase --nodeps --noscripts execwatchd
find /mnt -path '*execwatch*'
"""
    needs, configuration, rest = tool(built, layers, script).split("--\n")
    assert {"dbus", "python3-bcc", "python3-systemd", "libbpf >= 1", "systemd >= 252", "polkit"} <= set(
        needs.splitlines()
    )
    assert configuration.split() == ["/etc/execwatchd/execwatchd.toml"]
    (count,) = rest.split()
    assert int(count) > 100

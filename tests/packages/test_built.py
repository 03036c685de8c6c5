# SPDX-License-Identifier: GPL-2.0-or-later
"""What is in the packages, by the tools of their formats."""

import re
from pathlib import Path

import pytest

from tests.packages import roots
from tests.packages.conftest import NEWER, VERSION, Built
from tests.packages.roots import in_root, run

DOC = "/usr/share/doc/execwatchd"
# Each format has its own places for these, and a package no record of its own.
LAID = {f"{DOC}/LICENSE", f"{DOC}/CHANGELOG.md"}
ONLY = {
    "deb": {
        *(f"{DOC}/{name}" for name in ("copyright", "changelog.gz", "changelog.Debian.gz")),
        "/usr/share/lintian/overrides/execwatchd",
    },
    "rpm": {
        *(f"/usr/share/licenses/execwatchd/{name}" for name in ("Apache-2.0", "LICENSE", "copyright")),
        f"{DOC}/CHANGELOG.md",
    },
}
# What a user, an administrator or another program relies on finding there.
PROMISED = """
/etc/execwatchd/execwatchd.toml
/usr/bin/execwatchctl
/usr/lib/execwatchd/execwatchd/bpf/execwatch.c
/usr/lib/systemd/catalog/execwatchd.catalog
/usr/lib/systemd/system/execwatchd.service
/usr/lib/sysusers.d/execwatchd.conf
/usr/sbin/execwatchd
/usr/share/bash-completion/completions/execwatchctl
/usr/share/dbus-1/interfaces/org.execwatch1.xml
/usr/share/dbus-1/system.d/org.execwatch1.conf
/usr/share/doc/execwatchd/README.md
/usr/share/doc/execwatchd/fields.md
/usr/share/execwatchd/execwatchd.service.d/failures.conf
/usr/share/execwatchd/execwatchd.service.d/namespace.conf
/usr/share/execwatchd/execwatchd.service.d/unit-view.conf
/usr/share/execwatchd/fleet/stunnel.conf
/usr/share/execwatchd/journald@execwatchd.conf
/usr/share/execwatchd/shipping/rsyslog.conf
/usr/share/execwatchd/shipping/vector.yaml
/usr/share/execwatchd/sigma/execwatchd.yml
/usr/share/execwatchd/sigma/load.py
/usr/share/execwatchd/sigma/matches.yml
/usr/share/fish/vendor_completions.d/execwatchctl.fish
/usr/share/man/man1/execwatchctl.1.gz
/usr/share/man/man5/execwatchd.toml.5.gz
/usr/share/man/man5/org.execwatch1.5.gz
/usr/share/man/man8/execwatchd.8.gz
/usr/share/polkit-1/actions/org.execwatch1.policy
/usr/share/zsh/site-functions/_execwatchctl
/usr/share/zsh/vendor-completions/_execwatchctl
"""
# The newest symbols of the versions that a package with compiled libraries depends on.
LINKED: dict[str, dict[str, tuple[int, ...]]] = {
    "libc6 (>= 2.28)": {"GLIBC": (2, 28)},
    "libgcc-s1 (>= 4.2)": {"GCC": (4, 2, 0)},
    "libstdc++6 (>= 8)": {"GLIBCXX": (3, 4, 25), "CXXABI": (1, 3, 11)},
}
LIST = """
import sys
sys.path.insert(0, "/src/packaging")
import stage
print(*stage.manifest("/usr", sys.argv[1:]), sep="\\n")
"""


def tool(built: Built, layers: Path, script: str) -> str:
    """Looks at the packages with the tools of a newer release, which come before what built them."""
    both = f"{roots.tools()}:{built.layer}/upper"
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
    assert names == {built.deb(), built.deb(NEWER), built.rpm(), built.rpm(NEWER)}


def test_built_twice_they_have_the_same_bytes(built: Built) -> None:
    again = built.layer / "upper/opt/again"
    for name in (built.deb(), built.rpm()):
        assert (again / name).read_bytes() == (built.packages / name).read_bytes()


def test_another_user_is_told_what_to_do(built: Built, layers: Path) -> None:
    """Root has built there before, has only run it, or something is missing."""
    script = """
nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@" 2>&1 || :; }
cd /src
nobody make --silent packages | head -n1
rm .venv/.stamp-package
nobody make --silent packages | head -n1
dpkg --force-depends --remove python3-venv >/dev/null
nobody packaging/bootstrap package
"""
    lower, layer = Path(f"{built.layer}/upper:{built.root}"), layers / f"{built.release.suite}-user"
    assert in_root(lower, layer, "bash", "-euc", script).splitlines() == [
        "execwatchd: build or dist is another user's: run it with sudo, or sudo make clean first",
        "execwatchd: /src/.venv is another user's: run it with sudo, or sudo make clean first",
        "execwatchd: installing python3-venv needs root, once: sudo packaging/bootstrap package",
    ]


@pytest.mark.parametrize("form", ["deb", "rpm"])
def test_a_package_has_what_make_install_lays(built: Built, layers: Path, form: str) -> None:
    listed = in_root(built.root, built.layer, "/usr/bin/python3", "-Ic", LIST, *built.release.carries)
    laid = {f"{path}.gz" if "/man/" in path else path for path in listed.splitlines()}
    packed = {"deb": files_of_the_deb, "rpm": files_of_the_rpm}[form](built, layers)
    assert packed == laid - LAID | ONLY[form]
    assert packed >= {*PROMISED.split()}


def files_of_the_deb(built: Built, layers: Path) -> set[str]:
    shown = tool(built, layers, f"dpkg-deb --fsys-tarfile {built.deb()} | tar -t")
    return {line[1:] for line in shown.splitlines() if not line.endswith("/")}


def files_of_the_rpm(built: Built, layers: Path) -> set[str]:
    form = "[%{FILEMODES:perms} %{FILENAMES}\\n]"
    shown = tool(built, layers, f"rpm --query --package --queryformat '{form}' {built.rpm()}")
    return {line.split()[1] for line in shown.splitlines() if not line.startswith("d")}


def test_what_is_carried_is_what_the_release_does_not_have(built: Built, layers: Path) -> None:
    packed = "\n".join(files_of_the_deb(built, layers))
    carried = set(re.findall(r"/vendor/(\w+)-[\d.]+\.dist-info/METADATA", packed))
    depends = tool(built, layers, f"dpkg-deb --field {built.deb()} Depends")
    for library in built.release.carries | built.release.has:
        assert (library.replace("-", "_") in carried) == (library in built.release.carries)
        assert (f"python3-{library} (" in depends) == (library in built.release.has)
    assert bool(carried) == ("python3 (<<" in depends)
    assert tool(built, layers, f"dpkg-deb --field {built.deb()} Recommends") == "polkitd\n"
    suggests = tool(built, layers, f"dpkg-deb --field {built.deb()} Suggests")
    assert suggests == "stunnel4, systemd-journal-remote\n"


def test_compiled_libraries_find_the_symbols_that_they_need(built: Built, layers: Path) -> None:
    depends = tool(built, layers, f"dpkg-deb --field {built.deb()} Depends")
    assert {*LINKED} <= {*depends.strip().split(", ")}
    offered = {name: version for versions in LINKED.values() for name, version in versions.items()}
    site = built.layer / f"upper/src/.venv/lib/python{built.release.python}/site-packages"
    packed = "\n".join(files_of_the_deb(built, layers))
    compiled = re.findall(r"/vendor/(.+\.so)$", packed, re.MULTILINE)
    assert {path.split("/")[0] for path in compiled} >= {"re2"}
    for path in compiled:
        symbols = run("objdump", "--dynamic-syms", str(site / path))
        for name, version in re.findall(r"\((GLIBC|GLIBCXX|CXXABI|GCC)_([\d.]+)\)", symbols):
            assert tuple(map(int, version.split("."))) <= offered[name], (path, name, version)


def test_lintian_finds_nothing(built: Built, layers: Path) -> None:
    every = "--display-info --display-experimental --pedantic --tag-display-limit=0"
    said = tool(built, layers, f"lintian --allow-root {every} {built.deb()} 2>&1 || :")
    assert said == ""


def test_rpmlint_finds_nothing(built: Built, layers: Path) -> None:
    config = "--config /src/packaging/rpm/rpmlint.toml"
    said = tool(built, layers, f"rpmlint {config} {built.rpm()} 2>&1 || :")
    assert " 1 packages and 0 specfiles checked; 0 errors, 0 warnings, " in said, said


def test_both_formats_have_every_release_in_their_changelog(built: Built, layers: Path) -> None:
    script = f"""
dpkg-deb --fsys-tarfile {built.deb(NEWER)} | tar -xO .{DOC}/changelog.Debian.gz | zcat
rpm --query --package --changelog {built.rpm(NEWER)}
"""
    shown = tool(built, layers, script)
    tag, packager = built.release.tag, "execwatchd maintainers <maintainers@execwatchd.example>"
    headings = re.findall(r"^execwatchd \((.+)\) unstable; urgency=medium$", shown, re.MULTILINE)
    assert headings == [f"{version}-1~{tag}" for version in (NEWER, VERSION)]
    headings = re.findall(rf"^\* \w+ \w+ \d+ \d{{4}} {packager} - (.+)$", shown, re.MULTILINE)
    assert headings == [f"{version}-1.{tag}" for version in (NEWER, VERSION)]
    assert len(re.findall(r"^(?:  \* |- )Newer\.$", shown, re.MULTILINE)) == 2


def test_the_deb_has_one_conffile(built: Built, layers: Path) -> None:
    shown = tool(built, layers, f"dpkg-deb --info {built.deb()} conffiles")
    assert shown.split() == ["/etc/execwatchd/execwatchd.toml"]


def test_the_rpm_says_what_it_needs(built: Built, layers: Path) -> None:
    script = f"""
rpm --checksig --nosignature {built.rpm()} >&2
rpm --query --package --requires --recommends --suggests {built.rpm()}
echo --
rpm --query --package --configfiles {built.rpm()}
"""
    needs, configuration = tool(built, layers, script).split("--\n")
    assert {
        "dbus",
        "python3-bcc",
        "python3-systemd",
        "libbpf >= 1",
        "systemd >= 252",
        "polkit",
        "stunnel",
    } <= set(needs.splitlines())
    assert configuration.split() == ["/etc/execwatchd/execwatchd.toml"]

# SPDX-License-Identifier: GPL-2.0-or-later
"""Installing, installing again and uninstalling below a DESTDIR."""

import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
STAGE = ("/usr/bin/python3", "-I", str(REPOSITORY / "packaging/stage.py"))
CONFIG = "etc/execwatchd/execwatchd.toml"
RECORD = "usr/local/lib/execwatchd/installed"

Snapshot = dict[str, tuple[int, bytes]]
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


def run(verb: str, destdir: Path, prefix: str) -> subprocess.CompletedProcess[str]:
    command = [*STAGE, verb, "--destdir", str(destdir), "--prefix", prefix]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def stage(verb: str, destdir: Path, prefix: str = "/usr/local") -> str:
    done = run(verb, destdir, prefix)
    assert done.returncode == 0, done.stderr
    return done.stdout


def snapshot(root: Path) -> Snapshot:
    """Mode and content of everything below a directory."""
    return {
        str(path.relative_to(root)): (path.stat().st_mode, b"" if path.is_dir() else path.read_bytes())
        for path in sorted(root.rglob("*"))
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host that already has some of the directories, and files of others in them."""
    for name in ("etc/dbus-1/system.d/other.conf", "usr/local/lib/other/file", "usr/share/other"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


@pytest.mark.parametrize("prefix", ["/usr/local", "/usr", "/opt/execwatchd"])
def test_what_is_installed_is_what_the_manifest_lists(tmp_path: Path, prefix: str) -> None:
    stage("install", tmp_path, prefix)
    files = {f"/{name}" for name, (mode, _) in snapshot(tmp_path).items() if stat.S_ISREG(mode)}
    assert files == {*stage("list", tmp_path, prefix).split("\n")} - {""} | {
        f"{prefix}/lib/execwatchd/installed"
    }


@pytest.mark.parametrize("prefix", ["/usr/local", "/usr", "/opt/execwatchd"])
def test_uninstalling_leaves_the_tree_as_it_was(root: Path, prefix: str) -> None:
    before = snapshot(root)
    stage("install", root, prefix)
    stage("install", root, prefix)
    (root / f"{prefix[1:]}/lib/execwatchd/execwatchd/__pycache__").mkdir()
    (root / f"{prefix[1:]}/lib/execwatchd/execwatchd/__pycache__/errors.cpython-311.pyc").write_bytes(b"")
    stage("uninstall", root, prefix)
    assert snapshot(root) == before


def test_everyone_may_read_it_and_only_root_write(root: Path) -> None:
    before = snapshot(root)
    stage("install", root)
    modes = {name: stat.S_IMODE(mode) for name, (mode, _) in snapshot(root).items() if name not in before}
    programs = {"usr/local/sbin/execwatchd", "usr/local/bin/execwatchctl"}
    assert {name for name, mode in modes.items() if mode == 0o755 and (root / name).is_file()} == programs
    assert set(modes.values()) == {0o755, 0o644}


def test_a_changed_configuration_stays(root: Path) -> None:
    stage("install", root)
    (root / CONFIG).write_text('default_message = "ours"\n')
    stage("install", root)
    assert (root / CONFIG).read_text() == 'default_message = "ours"\n'
    stage("uninstall", root)
    assert (root / CONFIG).read_text() == 'default_message = "ours"\n'
    assert not (root / RECORD).exists()


def test_a_configuration_from_before_the_installation_stays(root: Path) -> None:
    (root / CONFIG).parent.mkdir(parents=True)
    (root / CONFIG).write_text("")
    before = snapshot(root)
    stage("install", root)
    stage("uninstall", root)
    assert snapshot(root) == before


def test_an_upgrade_removes_what_is_no_longer_part_of_it(root: Path) -> None:
    stage("install", root)
    fresh = snapshot(root)
    (root / "usr/local/lib/execwatchd/execwatchd/gone.py").write_text("")
    record = root / RECORD
    record.write_text(f"0 /usr/local/lib/execwatchd/execwatchd/gone.py\n{record.read_text()}")
    stage("install", root)
    assert snapshot(root) == fresh


@pytest.mark.parametrize("prefix", ["/usr", "/opt/execwatchd"])
def test_the_unit_starts_and_checks_with_what_was_installed(tmp_path: Path, prefix: str) -> None:
    stage("install", tmp_path, prefix)
    unit = (tmp_path / f"{prefix[1:]}/lib/systemd/system/execwatchd.service").read_text().splitlines()
    assert [line for line in unit if "sbin/execwatchd" in line] == [
        f"ExecStart={prefix}/sbin/execwatchd",
        f"ExecReload={prefix}/sbin/execwatchd --check-config",
    ]


def test_a_strange_prefix_is_refused(tmp_path: Path) -> None:
    done = run("install", tmp_path, "/usr/$(id)")
    assert done.returncode == 2
    assert "must be an absolute path" in done.stderr


def test_what_is_not_installed_cannot_be_uninstalled(tmp_path: Path) -> None:
    done = run("uninstall", tmp_path, "/usr")
    assert done.returncode == 1
    assert "not installed" in done.stderr


def test_what_lies_about_is_not_installed(tmp_path: Path) -> None:
    for name in ("execwatchd", "bpf", "contrib", "docs", "packaging"):
        shutil.copytree(REPOSITORY / name, tmp_path / name)
    for name in ("README.md", "CHANGELOG.md", "SECURITY.md", "LICENSE", ".venv"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    before = listed(tmp_path)
    for name in (
        "execwatchd/daemon.py.orig",
        "execwatchd/.daemon.py",
        "bpf/execwatch.c~",
        "docs/man/x.8.rej",
    ):
        (tmp_path / name).write_text("")
    drop_ins = tmp_path / "contrib/systemd/execwatchd.service.d"
    (drop_ins / "failures.conf.orig").write_text("")
    assert listed(tmp_path) == before


def listed(checkout: Path) -> str:
    command = ("/usr/bin/python3", "-I", checkout / "packaging/stage.py", "list")
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_links_of_what_is_installed_lead_somewhere(tmp_path: Path) -> None:
    stage("install", tmp_path)
    pages = sorted((tmp_path / "usr/local/share/doc/execwatchd").glob("*.md"))
    assert len(pages) == 11
    links = {(page.name, link) for page in pages for link in LINK.findall(page.read_text())}
    assert ("README.md", "fleets.md") in links
    assert ("benchmarks.md", "benchmarks/cpu.svg") in links
    assert [(page, link) for page, link in links if not (pages[0].parent / link).exists()] == []

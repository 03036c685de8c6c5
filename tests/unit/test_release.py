# SPDX-License-Identifier: GPL-2.0-or-later
"""make release: what it refuses, and what it changes and says when it does not."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
MAKEFILE = "packages:\n\tmkdir -p dist && touch dist/package.deb dist/package.rpm\n"
CHANGELOG = "# Changelog\n\n## 1.2.0 (2030-01-02)\n\n- New.\n"
PLACE = "execwatchd/__init__.py"


def git(checkout: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "tag.gpgSign=false")
    command = ("git", "-C", str(checkout), *identity, *arguments)
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small project whose version 1.1.0 has been released."""
    (tmp_path / "packaging").mkdir()
    (tmp_path / "execwatchd").mkdir()
    for name in ("release", "release_notes.py"):
        shutil.copy(REPOSITORY / "packaging" / name, tmp_path / "packaging" / name)
    (tmp_path / "Makefile").write_text(MAKEFILE)
    (tmp_path / ".gitignore").write_text("/dist/\n")
    (tmp_path / PLACE).write_text('"""x"""\n\n__version__ = "1.1.0"\n')
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "x")
    git(tmp_path, "tag", "v1.1.0")
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    return tmp_path


def release(checkout: Path, version: str) -> subprocess.CompletedProcess[str]:
    # the make that runs the tests must not pass its own options and variables on
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    command = (checkout / "packaging/release", version)
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def test_it_sets_the_version_builds_and_says_what_to_publish(checkout: Path) -> None:
    done = release(checkout, "1.2.0")
    assert done.returncode == 0, done.stderr
    assert (checkout / PLACE).read_text() == '"""x"""\n\n__version__ = "1.2.0"\n'
    assert "git tag -a -m 'execwatchd 1.2.0' v1.2.0" in done.stdout
    assert "package.deb" in done.stdout
    assert "package.rpm" in done.stdout
    assert git(checkout, "tag", "--list") == "v1.1.0\n"  # that is the maintainer's


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("", "needs VERSION="),
        ("1.2", "three numbers"),
        ("v1.2.0", "three numbers"),
        ("1.3.0", "CHANGELOG.md begins with '## 1.2.0 (2030-01-02)'"),
    ],
)
def test_a_version_that_is_none_or_not_in_the_changelog(checkout: Path, version: str, said: str) -> None:
    done = release(checkout, version)
    assert done.returncode == 1
    assert said in done.stderr
    assert '"1.1.0"' in (checkout / PLACE).read_text()


@pytest.mark.parametrize(
    ("changelog", "said"),
    [
        (CHANGELOG.replace("2030-01-02", "unreleased"), "CHANGELOG.md begins with '## 1.2.0 (unreleased)'"),
        (CHANGELOG.replace("2030-01-02", "soon"), "CHANGELOG.md begins with '## 1.2.0 (soon)'"),
        (CHANGELOG.replace("2030-01-02", "2030-02-30"), "a date in CHANGELOG.md: day is out of range"),
        (CHANGELOG.replace("- New.\n", ""), "CHANGELOG.md tells of no change in 1.2.0"),
        ("# Changelog\n", "CHANGELOG.md begins with 'nothing'"),
    ],
)
def test_a_changelog_that_tells_of_no_release(checkout: Path, changelog: str, said: str) -> None:
    (checkout / "CHANGELOG.md").write_text(changelog)
    done = release(checkout, "1.2.0")
    assert done.returncode == 1
    assert said in done.stderr
    assert '"1.1.0"' in (checkout / PLACE).read_text()


def test_a_build_that_fails_leaves_the_version(checkout: Path) -> None:
    before = (checkout / PLACE).read_bytes()
    (checkout / "Makefile").write_text("packages:\n\tfalse\n")
    git(checkout, "commit", "--quiet", "-m", "y", "Makefile")
    done = release(checkout, "1.2.0")
    assert done.returncode == 2
    assert f"not built, and {PLACE} is as it was" in done.stderr
    assert (checkout / PLACE).read_bytes() == before


@pytest.mark.parametrize(("version", "said"), [("1.1.0", "has been released"), ("1.0.9", "is older than")])
def test_a_version_that_is_not_newer(checkout: Path, version: str, said: str) -> None:
    (checkout / "CHANGELOG.md").write_text(CHANGELOG.replace("1.2.0", version))
    done = release(checkout, version)
    assert done.returncode == 1
    assert said in done.stderr


def test_what_is_not_committed_is_not_released(checkout: Path) -> None:
    (checkout / "execwatchd/new.py").write_text("")
    done = release(checkout, "1.2.0")
    assert done.returncode == 1
    assert "not committed, and so not part of a release: execwatchd/new.py" in done.stderr

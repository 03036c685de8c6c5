# SPDX-License-Identifier: GPL-2.0-or-later
"""What is installed from the index is pinned, and what pyproject.toml asks for."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

REPOSITORY = Path(__file__).resolve().parents[2]
LOCKS = ("requirements", "requirements-package", "requirements-dev")
FROM_THE_DISTRIBUTION = {"systemd-python", "bcc"}


def requirements(path: str) -> dict[str, Requirement]:
    lines = (REPOSITORY / path).read_text().replace("\\\n", " ").splitlines()
    found = [Requirement(re.sub(r" --hash=\S+", "", line)) for line in lines if line and line[0] not in "# "]
    return {requirement.name: requirement for requirement in found}


def test_the_project_asks_for_what_the_environment_gets() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    asked = {(r := Requirement(text)).name: r for text in project["dependencies"]}
    given = requirements("packaging/requirements.in")
    assert {name: r.specifier for name, r in given.items()} == {
        name: r.specifier for name, r in asked.items() if name not in FROM_THE_DISTRIBUTION
    }


@pytest.mark.parametrize("name", LOCKS)
def test_the_lock_satisfies_what_it_was_made_from(name: str) -> None:
    locked = requirements(f"packaging/{name}.lock")
    for wanted, requirement in requirements(f"packaging/{name}.in").items():
        (pin,) = locked[wanted].specifier
        assert pin.operator == "=="
        assert requirement.specifier.contains(pin.version)


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_has_hashes(name: str) -> None:
    text = (REPOSITORY / f"packaging/{name}.lock").read_text().replace("\\\n", " ")
    assert all("--hash=sha256:" in line for line in text.splitlines() if "==" in line)


def test_nothing_is_locked_that_only_the_distribution_has() -> None:
    for name in LOCKS:
        assert not requirements(f"packaging/{name}.lock").keys() & FROM_THE_DISTRIBUTION


def test_what_pip_installs_finds_its_program_for_the_kernel(tmp_path: Path) -> None:
    options = ("--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--target", str(tmp_path))
    subprocess.run((sys.executable, "-m", "pip", "install", *options, str(REPOSITORY)), check=True)
    script = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from execwatchd.kernel.c_source import directory
print(directory())
"""
    shown = subprocess.run((sys.executable, "-I", "-c", script), capture_output=True, text=True, check=True)
    assert (Path(shown.stdout.strip()) / "execwatch.c").is_relative_to(tmp_path)
    installed = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert {"bin/execwatchd", "bin/execwatchctl", "execwatchd/bpf/execwatch.h"} <= installed
    assert not [name for name in installed if name.startswith(("etc", "lib", "share"))]


def test_a_wheel_has_the_code_and_the_program_and_nothing_else(tmp_path: Path) -> None:
    options = ("--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(tmp_path))
    done = subprocess.run(
        (sys.executable, "-m", "pip", "wheel", *options, str(REPOSITORY)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("execwatchd-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"execwatchd"}
    assert {"execwatchd/bpf/execwatch.c", "execwatchd/bus/org.execwatch1.xml"} <= set(names)
    assert not [name for name in names if name.endswith((".service", ".conf", ".catalog"))]

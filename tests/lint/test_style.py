# SPDX-License-Identifier: GPL-2.0-or-later
"""The linters, and the house rules that no linter knows."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
GENERATED = {"build", "dist", "__pycache__"}
WITHOUT_COMMENTS = {".md", ".json", ".html"}
LICENCES = {"LICENSE", "Apache-2.0"}

# Which modules may import a library, so that one place knows its habits and traps.
BOUNDARIES = {
    "bcc": {"execwatchd/kernel/loader.py"},
    "dbus_next": {"execwatchd/bus/wire.py", "execwatchd/ctl/daemon/client.py"},
    "pydantic": {"execwatchd/policy/validate.py"},
    "pydantic_core": {"execwatchd/policy/validate.py"},
    "re2": {"execwatchd/redaction/search.py", "execwatchd/ctl/journal/pattern.py"},
    "systemd": {"execwatchd/service_manager.py", "execwatchd/ctl/journal/reader.py"},
    "wcwidth": {"execwatchd/ctl/view/terminal.py"},
}


def files() -> Iterator[Path]:
    """Every file of the project; a source archive has no git to ask."""
    for directory, names, found in os.walk(REPOSITORY):
        names[:] = [n for n in names if n not in GENERATED and (not n.startswith(".") or n == ".ci")]
        yield from (Path(directory, name) for name in found if not name.startswith("."))


def first_lines(path: Path, count: int) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[:count])


def run(*command: str | Path) -> None:
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff() -> None:
    run(sys.executable, "-m", "ruff", "check", ".")


def test_ruff_format() -> None:
    run(sys.executable, "-m", "ruff", "format", "--check", ".")


def test_mypy() -> None:
    run(sys.executable, "-m", "mypy")


def test_mypy_of_the_programs_beside_the_package() -> None:
    for directory in ("packaging", "contrib/sigma"):
        run(sys.executable, "-m", "mypy", *sorted((REPOSITORY / directory).glob("*.py")))


def test_shellcheck() -> None:
    shells = ("#!/bin/sh", "#!/bin/bash")
    scripts = [path for path in files() if first_lines(path, 1) in shells or path.suffix in {".sh", ".bash"}]
    assert {path.name for path in scripts} >= {"bootstrap", "box", "postinst", "run"}
    run("shellcheck", "--shell=bash", *scripts)


def test_every_source_file_names_its_licence() -> None:
    sources = [
        p for p in files() if p.suffix not in WITHOUT_COMMENTS and p.name not in LICENCES and p.stat().st_size
    ]
    without = [
        str(path.relative_to(REPOSITORY))
        for path in sources
        if "SPDX-License-Identifier: GPL-2.0-or-later" not in first_lines(path, 4)
    ]
    assert without == []


def imported(path: Path) -> set[str]:
    """The top-level packages that a module imports anywhere in it."""
    return set(re.findall(r"^\s*(?:from|import) (\w+)", path.read_text(), re.MULTILINE))


@pytest.mark.parametrize("library", BOUNDARIES)
def test_few_modules_know_a_library(library: str) -> None:
    users = {
        str(path.relative_to(REPOSITORY))
        for path in (REPOSITORY / "execwatchd").rglob("*.py")
        if library in imported(path)
    }
    assert users <= BOUNDARIES[library]


def test_nothing_of_the_daemon_needs_the_tests_or_the_packaging() -> None:
    for path in (REPOSITORY / "execwatchd").rglob("*.py"):
        assert not imported(path) & {"tests", "pytest", "hypothesis", "stage"}, path

# SPDX-License-Identifier: GPL-2.0-or-later
"""What `make check` and the others install first: who may not install is told in one line what is missing."""

import os
import subprocess
from pathlib import Path

import pytest

BOOTSTRAP = Path(__file__).resolve().parents[2] / "packaging/bootstrap"

# A host with apt on which somebody who isn't root lacks all packages but these.
PROGRAMS = {
    "apt-get": "exit 1",
    "dpkg-query": "printf 'installed %s\\n' git make python3 python3-bpfcc python3-systemd libbpf1",
    "id": "echo 1000",
}


@pytest.fixture
def path(tmp_path: Path) -> str:
    for name, script in PROGRAMS.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    return f"{tmp_path}:{os.environ['PATH']}"


def bootstrap(level: str, path: str) -> tuple[int, str]:
    done = subprocess.run([BOOTSTRAP, level], env={"PATH": path}, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_what_is_missing_is_named_with_the_command_that_installs_it(path: str) -> None:
    assert bootstrap("run", path) == (
        1,
        "execwatchd: installing python3-venv needs root, once: sudo packaging/bootstrap run\n",
    )


def test_check_needs_neither_an_emulator_nor_a_bus(path: str) -> None:
    status, text = bootstrap("check", path)
    assert status == 1
    assert len(text.splitlines()) == 1
    assert {"gcc", "groff-base", "shellcheck", "systemd"} <= set(text.split())
    assert not {"qemu-system-x86", "mmdebstrap", "dbus-daemon", "bpftool", "git"} & set(text.split())


def test_an_environment_that_is_a_link_is_not_cleared(path: str, tmp_path: Path) -> None:
    checkout, others = tmp_path / "checkout", tmp_path / "others"
    (checkout / "packaging").mkdir(parents=True)
    (others / "bin").mkdir(parents=True)
    (checkout / ".venv").symlink_to(others)
    copy = checkout / "packaging/bootstrap"
    copy.write_bytes(BOOTSTRAP.read_bytes())
    (tmp_path / "dpkg-query").write_text(f"#!/bin/sh\n{PROGRAMS['dpkg-query']} python3-venv\n")
    done = subprocess.run(
        ["bash", copy, "run"], env={"PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.endswith(".venv is a link, and what it leads to would be cleared: remove the link\n")
    assert (others / "bin").is_dir()


def test_an_unknown_level_is_refused(path: str) -> None:
    assert bootstrap("nothing", path) == (
        1,
        "execwatchd: bootstrap: nothing: run, package, check, test or bench\n",
    )

# SPDX-License-Identifier: GPL-2.0-or-later
"""The main job on Debian's own kernels, where cgroup controllers work too; emulated, and so only a little."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.kernel_objects import PROGRAMS
from tests.matrix.kernels import KERNELS, Kernel, unpacked
from tests.system.conftest import layers
from tests.system.harness import REPOSITORY, in_layer

__all__ = ["layers"]

VM = REPOSITORY / "tests/system/vm"
JOB = Path(__file__).with_name("job")
CORE = "ways", "failures", "cwd", "exits"
MIB = 1 << 20

Sections = dict[str, str]


def on_kernel(kernel: Kernel, layer: Path, script: Path, output: Path, seconds: int) -> str:
    """What a script writes that runs on a kernel, in a system like this one but for a layer."""
    environment = {
        **os.environ,
        "KERNEL": str(unpacked(kernel)),
        "LAYER": str(layer),
        "BIND": str(REPOSITORY),
        "LIMIT": str(seconds),
    }
    done = subprocess.run([VM, script, output], env=environment, capture_output=True, text=True, check=False)
    console = output.with_suffix(".console")
    written = output.read_text(errors="surrogateescape") if output.exists() else ""
    shown = console.read_text(errors="replace") if console.exists() else ""
    assert done.returncode == 0, f"{done.returncode}\n{done.stderr}\n{written}\n{shown[-4000:]}"
    return written


@pytest.fixture(scope="session")
def installed(layers: Path) -> Path:
    in_layer(layers / "matrix", "make", "-C", str(REPOSITORY), "install", "PREFIX=/usr")
    return layers / "matrix/upper"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each kernel takes a minute; the oldest finds most."""
    if "kernel" in metafunc.fixturenames:
        kernels = KERNELS if metafunc.config.getoption("--all-kernels") else KERNELS[:1]
        metafunc.parametrize("kernel", kernels, ids=lambda kernel: str(kernel.suite), scope="session")


@pytest.fixture(scope="session")
def sections(kernel: Kernel, installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Sections:
    """What each part of the job wrote."""
    output = tmp_path_factory.mktemp("job") / "output"
    parts = on_kernel(kernel, installed, JOB, output, 600).split("== ")[1:]
    print(*parts, sep="\n== ")
    return {name: text for name, _, text in (part.partition("\n") for part in parts)}


def entries(section: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in section.splitlines() if line.startswith("{")]


def loaded(section: str) -> int:
    return sum(program.get("name") in PROGRAMS for program in json.loads(section))


def test_it_is_this_kernel(kernel: Kernel, sections: Sections) -> None:
    assert sections["kernel"].startswith(f"{kernel.series}.")


def test_it_attaches(sections: Sections) -> None:
    assert sections["start"] == "active\n"
    assert sections["status"].startswith("watching task_rename, sched_process_exec; ")
    assert loaded(sections["programs"]) == 3


def test_the_units_limits_are_in_force(sections: Sections) -> None:
    assert sections["limits"].split() == [str(512 * MIB), "16", "400", "-250"]
    assert sections["privileges"].split()[1].strip("0") == ""


def test_an_exec_is_an_entry_with_its_users_message(sections: Sections) -> None:
    (entry,) = [e for e in entries(sections["message"]) if e.get("EXECWATCH_CMDLINE") == "true in-no-unit"]
    assert entry["MESSAGE"] == f"{entry['EXECWATCH_PID']} 1 setpriv Hi daemon!: true in-no-unit"
    assert entry["EXECWATCH_PARENT_COMM"] == "box.script"
    assert int(entry["EXECWATCH_PPID"]) > 0


def test_parent_and_cgroup_are_read_at_the_right_places(sections: Sections) -> None:
    shell, first, second = [
        entry for entry in entries(sections["message"]) if entry.get("EXECWATCH_UNIT") == "probe.service"
    ]
    assert {entry["EXECWATCH_CGROUP"] for entry in (shell, first, second)} == {"/system.slice/probe.service"}
    assert first["EXECWATCH_PPID"] == shell["EXECWATCH_PID"]
    assert (first["EXECWATCH_COMM"], first["EXECWATCH_NEW_COMM"]) == ("sh", "env")
    assert (second["EXECWATCH_COMM"], second["EXECWATCH_CMDLINE"]) == ("env", "true in-a-unit")
    assert first["EXECWATCH_PID"] == second["EXECWATCH_PID"]


def test_a_failed_exec_is_an_entry_with_the_drop_in(sections: Sections) -> None:
    failed = [e for e in entries(sections["failures"]) if e.get("EXECWATCH_FILENAME") == "/nowhere/at-all"]
    assert [(entry["EXECWATCH_COMM"], entry["EXECWATCH_ERRNO"]) for entry in failed] == [("sh", "ENOENT")]


def test_a_flood_leaves_room_for_others(sections: Sections) -> None:
    """While journald was stopped."""
    flooders, others = [int(line) for line in sections["flood"].split("\n") if line.isdigit()]
    losses = entries(sections["flood"])
    assert others == 15
    assert 0 < flooders < 130
    assert losses
    assert all(loss["EXECWATCH_LOST_UIDS"] == f"3={loss['EXECWATCH_LOST']}" for loss in losses)


def test_a_stop_leaves_no_program(sections: Sections) -> None:
    assert loaded(sections["left"]) == 0


def test_the_kernel_tier(
    kernel: Kernel, installed: Path, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """All of it with every kernel, and with the oldest alone what kernels differ in most."""
    script = tmp_path / "script"
    is_whole = pytestconfig.getoption("--all-kernels")
    tests = "tests/kernel" if is_whole else " ".join(f"tests/kernel/test_{name}.py" for name in CORE)
    python = f"{REPOSITORY}/.venv/bin/python -B -sP -m pytest --color=no --no-skips -p no:cacheprovider"
    script.write_text(f"#!/bin/sh\ncd {REPOSITORY} && exec {python} {tests}\n")
    script.chmod(0o755)
    said = on_kernel(kernel, installed, script, tmp_path / "output", 3600)
    assert re.search(r"=== \d+ passed in ", said), said

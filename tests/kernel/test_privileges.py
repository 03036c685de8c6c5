# SPDX-License-Identifier: GPL-2.0-or-later
"""What the process may still do after it gave up what it had: each case in a child of its own."""

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import os, pathlib
from execwatchd import privileges
from execwatchd.kernel import attach, loader
from execwatchd.kernel.options import Options

def show():
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    wanted = ("Uid:", "Gid:", "Groups:", "NoNewPrivs:", "CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:")
    print(*(" ".join(line.split()) for line in lines if line.startswith(wanted)), sep="; ")
"""
BOTH = f"{1 << 38 | 1 << 39:016x}"
NONE = "0" * 16


def run(body: str) -> list[str]:
    repository = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT + body],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={"PYTHONPATH": str(repository)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def shown(status: str) -> dict[str, str]:
    return {name: value.strip() for name, _, value in (part.partition(":") for part in status.split("; "))}


def test_root_becomes_a_user_with_two_capabilities() -> None:
    name, status, both = run("print(privileges.become_user()); show(); print(privileges.have_both())")
    assert name in ("execwatchd", "nobody")
    found = shown(status)
    assert len(set(found["Uid"].split())) == len(set(found["Gid"].split())) == 1
    assert "0" not in found["Uid"].split() + found["Gid"].split()
    assert (found["Groups"], found["NoNewPrivs"]) == ("", "1")
    assert (found["CapEff"], found["CapPrm"], found["CapBnd"]) == (BOTH, BOTH, BOTH)
    assert (found["CapInh"], found["CapAmb"]) == (NONE, NONE)
    assert both == "True"


def test_nothing_is_left_in_the_end() -> None:
    status, both = run("privileges.become_user(); privileges.drop(); show(); print(privileges.have_both())")
    found = shown(status)
    assert [found[name] for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")] == [NONE] * 4
    assert found["NoNewPrivs"] == "1"
    assert both == "False"


def test_the_two_are_enough_to_load_and_attach_and_none_to_go_on() -> None:
    """Sources are read while it is root: the user may not read a checkout of root's."""
    said = run(
        """
from execwatchd.kernel import c_source
from execwatchd.kernel.generation import Generation
from execwatchd.kernel.ledger import Page
files = c_source.read(c_source.directory())
privileges.become_user()
os.environ["TMPDIR"] = "/tmp"
options = Options(1 << 20)
with c_source.unpacked(files) as directory:
    one = Generation.load(1, directory, options, Page(settled=1))
one.attach(options)
privileges.drop()
one.check_access()
records = []
ring = one.open_ring(lambda _, pointer, size: records.append(size) or 0)
pid = os.spawnv(os.P_WAIT, "/bin/true", ["true"])
while not records:
    ring.consume()
print(*one.attached, one.counters().seen > 0)
"""
    )
    assert said == ["task_rename sched_process_exec True"]


def test_this_process_has_both() -> None:
    from execwatchd import privileges

    assert os.geteuid() == 0
    assert privileges.have_both()

# SPDX-License-Identifier: GPL-2.0-or-later
"""No way around the record by another UID: each exec is in the journal, under the rule of who made it."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from execwatchd.shared.message_ids import MessageId
from tests.kernel.watch import Runner
from tests.system.harness import Boot, Box, Entry, wait_until
from tests.system.storm import UID, at_rest

COUNT = 40
IGNORED, PRIVILEGED = UID + 20000, UID + 20001
FIRST = UID * 5  # of the subordinate UIDs
ONLY_SOME = f"""\
mkdir -p $R/etc/execwatchd/execwatchd.toml.d
cat >$R/etc/execwatchd/execwatchd.toml.d/some.toml <<T
default_action = "ignore"
actions = {{ {UID} = "record", {PRIVILEGED} = "record" }}
messages = {{ {UID} = "watched" }}
T
"""
LIMITED = """\
mkdir -p $R/etc/execwatchd/execwatchd.toml.d
cat >$R/etc/execwatchd/execwatchd.toml.d/limit.toml <<T
limit_per_user = "1/s"
limits = { 0 = "100000/s" }
actions = { 0 = "ignore" }
T
"""


@pytest.fixture(scope="module")
def watching(boot: Boot) -> Box:
    box = boot(ONLY_SOME)
    box.systemctl("start", "execwatchd")
    return box


def run(runner: Runner, way: str, file: Path, *arguments: int) -> None:
    helper = runner.start(way, file, *map(str, arguments)).ready()
    helper.go()
    assert helper.end() == 0


def execs(box: Box, file: Path) -> list[Entry]:
    at_rest(box)
    return box.journal("-u", "execwatchd", f"EXECWATCH_EXE={file}", f"MESSAGE_ID={MessageId.EXEC.value}")


def test_a_watched_user_as_subordinate_uids(watching: Box, runner: Runner, public: Path) -> None:
    file = public / "target"
    run(runner, "subordinate", file, UID, FIRST, COUNT, 2)
    found = execs(watching, file)
    assert sorted(int(entry["EXECWATCH_UID"]) for entry in found) == list(range(FIRST, FIRST + COUNT))
    assert {entry["EXECWATCH_MESSAGE"] for entry in found} == {"watched"}


def test_an_ignored_user_with_anothers_privilege(watching: Box, runner: Runner, public: Path) -> None:
    file = Path(shutil.copy(public / "target", public / "privileged"))
    run(runner, "many", file, IGNORED, COUNT)
    assert execs(watching, file) == []
    run(runner, "many", file, IGNORED, COUNT, PRIVILEGED)
    found = execs(watching, file)
    assert [(entry["EXECWATCH_UID"], entry["EXECWATCH_EUID"]) for entry in found] == [
        (str(IGNORED), str(PRIVILEGED))
    ] * COUNT


@pytest.fixture
def handler(public: Path) -> Iterator[Path]:
    """The core dumps of UID's processes go to it."""
    setting = Path("/proc/sys/kernel/core_pattern")
    before = setting.read_text()
    file = Path(shutil.copy(public / "target", public / "handler"))
    setting.write_text(f"|{file} %u")
    yield file
    setting.write_text(before)


def test_the_kernels_own_execs_have_a_limit_of_their_own(boot: Boot, handler: Path) -> None:
    """A user makes it run helpers as root: root's rule ignores them, root's limit would let all pass."""
    box = boot(LIMITED)
    box.systemctl("start", "execwatchd")
    script = f"for _ in $(seq {COUNT}); do sh -c 'kill -ABRT $$' 2>/dev/null; done; exit 0"
    subprocess.run(["sh", "-c", script], user=UID, group=UID, extra_groups=[], cwd="/", check=True)

    def all_told() -> tuple[list[Entry], int] | None:
        found = execs(box, handler)
        told = box.journal("-u", "execwatchd", "EXECWATCH_BY_KERNEL=1")
        held = sum(int(entry.get("EXECWATCH_SUPPRESSED", 0)) for entry in told)
        return (found, held) if len(found) + held >= COUNT else None

    found, suppressed = wait_until(all_told, "every exec of the handler, or its count", 60)
    assert len(found) + suppressed == COUNT
    assert suppressed > COUNT // 2
    assert {(entry["EXECWATCH_UID"], entry["EXECWATCH_BY_KERNEL"]) for entry in found} == {("0", "1")}
    assert box.journal("-u", "execwatchd", "EXECWATCH_UID=0") == found

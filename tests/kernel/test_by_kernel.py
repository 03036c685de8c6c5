# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel itself executes is nobody's: neither root's rule nor root's limit applies to it.

Any user can make it execute helpers as root. Here a core dump's handler stands for all.
"""

import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from execwatchd.kernel.buckets import KERNEL, SHARED, Bucket
from execwatchd.kernel.layout import Flag
from execwatchd.shared.rules import Action
from execwatchd.stream.decode import Record
from tests.fakes.rules import rule
from tests.kernel.test_counters import UID, by, emptied, run
from tests.kernel.test_limits import suppressed
from tests.kernel.watch import DEFAULT, Runner, Watch

COUNT = 30


@pytest.fixture
def handler(public: Path, target: Path) -> Iterator[Path]:
    """The core dumps of this user go to it."""
    setting = Path("/proc/sys/kernel/core_pattern")
    before = setting.read_text()
    file = Path(shutil.copy(target, public / "handler"))
    setting.write_text(f"|{file} %u")
    yield file
    setting.write_text(before)
    file.unlink()


def crash(count: int) -> None:
    """So many core dumps of an ordinary user, each of which its handler has read to the end."""
    script = f"for _ in $(seq {count}); do sh -c 'kill -ABRT $$' 2>/dev/null; done; exit 0"
    subprocess.run(["sh", "-c", script], user=UID, group=UID, extra_groups=[], cwd="/", check=True)


def handled(watch: Watch, handler: Path) -> list[Record]:
    argv = b"%b\0%d\0" % (bytes(handler), UID)
    return watch.by(lambda one: one.argv == argv)


def settled(watch: Watch, handler: Path, wanted: int) -> int:
    """How many of the handler's execs were recorded, once all were seen: the kernel doesn't wait for it."""
    end = time.monotonic() + 20
    while len(handled(watch, handler)) + suppressed(watch, KERNEL) < wanted:
        assert time.monotonic() < end
        time.sleep(0.01)
    return len(handled(watch, handler))


def test_it_has_a_bucket_of_its_own_with_the_default_limit(
    runner: Runner, target: Path, handler: Path
) -> None:
    with emptied() as watch:
        rules = watch.generation.rules
        rules.set(UID, rule("", Action.IGNORE))
        rules.set(0, rule("", Action.RECORD, 100000))
        rules.set_default(rule("", Action.RECORD, 1))
        crash(COUNT)
        passed = settled(watch, handler, COUNT)
        assert passed + suppressed(watch, KERNEL) == COUNT
        assert suppressed(watch, KERNEL) > COUNT // 2
        roots = [record for record in by(watch, 0) if record.filename == bytes(target) + b"\0"]
        run(runner, target, 0, COUNT)
        assert len([record for record in by(watch, 0) if record.filename == bytes(target) + b"\0"]) == COUNT
        assert roots == []
        assert suppressed(watch, 0) == suppressed(watch, SHARED) == 0
        assert passed + suppressed(watch, KERNEL) == COUNT


@pytest.mark.parametrize("flag", [0, int(Flag.BY_KERNEL)], ids=["by root", "by the kernel"])
def test_the_default_rule_applies_and_not_roots(
    flag: int, runner: Runner, target: Path, handler: Path
) -> None:
    """One of the two is recorded, with its message, and the other is ignored."""
    action = {0: Action.IGNORE, int(Flag.BY_KERNEL): Action.RECORD}
    other = {Action.RECORD: Action.IGNORE, Action.IGNORE: Action.RECORD}
    with emptied() as watch:
        watch.generation.rules.set(UID, rule("", Action.RECORD))
        watch.generation.rules.set(0, rule("root's", other[action[flag]]))
        watch.generation.rules.set_default(rule("by default", action[flag]))
        ignored = watch.generation.counters().ignored
        crash(COUNT)
        run(runner, target, 0, COUNT)
        if flag:
            assert settled(watch, handler, COUNT) == COUNT
        files = {bytes(handler) + b"\0", bytes(target) + b"\0"}
        recorded = watch.by(lambda record: record.filename in files)
        messages = {
            (record.uid, record.flags & Flag.BY_KERNEL, record.message.rstrip(b"\0")) for record in recorded
        }
        assert messages == {(0, flag, b"by default" if flag else b"root's")}
        assert len(recorded) == COUNT
        assert watch.generation.counters().ignored >= ignored + COUNT


def test_a_user_with_its_key_shares_a_bucket(runner: Runner, target: Path) -> None:
    """That UID is nobody's, but root may become it."""
    with emptied() as watch:
        watch.generation.rules.set_default(rule("", Action.IGNORE))
        watch.generation.rules.set(KERNEL, rule("", Action.RECORD, 1))
        helper = runner.start("many", target, str(KERNEL - 2**32), str(COUNT)).ready()
        helper.go()
        assert helper.end() == 0
        assert len(by(watch, KERNEL)) + suppressed(watch, SHARED) == COUNT
        assert suppressed(watch, SHARED) > COUNT // 2
        assert watch.generation.buckets.buckets().get(KERNEL, Bucket()) == Bucket()


def test_the_bucket_can_be_let_go(handler: Path) -> None:
    with emptied(replace(DEFAULT, exits=True)) as watch:
        watch.generation.rules.set_default(rule("", Action.RECORD, 1))
        crash(COUNT)
        passed = settled(watch, handler, COUNT)
        assert watch.generation.buckets.remove(KERNEL).suppressed == COUNT - passed
        assert KERNEL not in watch.generation.buckets.buckets()

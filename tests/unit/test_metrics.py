# SPDX-License-Identifier: GPL-2.0-or-later
import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from execwatchd import __version__
from execwatchd.metrics import MetricsFile, render
from execwatchd.shared.counters import Counters
from tests.unit.conftest import FullDisk


class FakeStatus:
    def __init__(self, attached: tuple[str, ...] = ("task_rename", "sched_process_exec")) -> None:
        self.attached = attached
        self.since = 1_700_000_000_123_456
        self.ring_size = 4 << 20

    def counters(self) -> Counters:
        return Counters(seen=2**63, forwarded=900, ignored=90, lost=10, ring_fill=4096)


def text(status: FakeStatus | None = None) -> str:
    return render(
        status or FakeStatus(),
        started=1_700_000_001.5,
        suppressed=40,
        unended=2,
        refused=3,
        stalled=True,
        on_bus=False,
        in_effect=True,
    )


SAMPLES: dict[tuple[object, ...], float] = {
    ("execwatchd_build_info", ("version", __version__)): 1,
    ("execwatchd_start_time_seconds",): 1_700_000_001.5,
    ("execwatchd_counting_since_seconds",): 1_700_000_000.123456,
    ("execwatchd_hook_attached", ("hook", "task_rename")): 1,
    ("execwatchd_hook_attached", ("hook", "sched_process_exec")): 1,
    ("execwatchd_execs_seen_total",): 2**63,
    ("execwatchd_execs_forwarded_total",): 900,
    ("execwatchd_execs_ignored_total",): 90,
    ("execwatchd_execs_suppressed_total",): 40,
    ("execwatchd_execs_lost_total",): 10,
    ("execwatchd_ends_unseen_total",): 2,
    ("execwatchd_refused_calls_total",): 3,
    ("execwatchd_ring_size_bytes",): 4 << 20,
    ("execwatchd_ring_fill_bytes",): 4096,
    ("execwatchd_journal_stalled",): 1,
    ("execwatchd_bus_connected",): 0,
    ("execwatchd_configuration_in_effect",): 1,
}


def test_a_parser_of_openmetrics_reads_every_number() -> None:
    families = list(openmetrics(text()))
    assert {(s.name, *s.labels.items()): s.value for family in families for s in family.samples} == SAMPLES
    assert all(family.documentation.endswith(".") for family in families)
    assert {f.name for f in families if f.type == "counter"} == {
        str(name).removesuffix("_total") for name, *_ in SAMPLES if str(name).endswith("_total")
    }


def test_the_older_format_has_the_same_samples() -> None:
    families = list(prometheus(text()))
    assert {(s.name, *s.labels.items()): s.value for family in families for s in family.samples} == SAMPLES
    kinds = {line.split()[3] for line in text().splitlines() if line.startswith("# TYPE ")}
    assert kinds == {"counter", "gauge"}  # what a textfile collector knows of what is used here


def test_nothing_attached() -> None:
    (hooks,) = [f for f in openmetrics(text(FakeStatus(()))) if f.name == "execwatchd_hook_attached"]
    assert hooks.samples == []


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the clock shows, in seconds."""
    now = [1000.0]
    monkeypatch.setattr("execwatchd.metrics.time.monotonic", lambda: now[0])
    return now


@pytest.fixture
def umask() -> Iterator[None]:
    """As the unit sets it."""
    old = os.umask(0o077)
    yield
    os.umask(old)


class Written:
    """A file of metrics, each time with the next number in it."""

    def __init__(self) -> None:
        self.count = 0
        self.file = MetricsFile(self._text)

    def _text(self) -> str:
        self.count += 1
        return f"{self.count}\n"


@pytest.mark.usefixtures("umask")
def test_anybody_may_read_it_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "execwatchd.prom"
    Written().file.use(str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert os.listdir(tmp_path) == ["execwatchd.prom"]


def test_it_is_replaced_not_rewritten_and_at_most_every_ten_seconds(
    tmp_path: Path, clock: list[float]
) -> None:
    written, path = Written(), tmp_path / "a.prom"
    written.file.use(str(path))
    with path.open() as before:
        for seconds, expected in ((5, "1\n"), (4, "1\n"), (1, "2\n"), (9, "2\n"), (10, "3\n")):
            clock[0] += seconds
            written.file.write_if_due()
            assert path.read_text() == expected
        assert before.read() == "1\n"


def test_a_change_of_the_path_removes_the_old_file(tmp_path: Path) -> None:
    written = Written()
    one, two = tmp_path / "1.prom", tmp_path / "2.prom"
    written.file.use(str(one))
    written.file.use(str(one))
    assert written.count == 1
    written.file.use(str(two))
    assert [path.exists() for path in (one, two)] == [False, True]
    written.file.use("")
    written.file.write_if_due()
    assert os.listdir(tmp_path) == []
    assert written.count == 2


def test_what_a_predecessor_kept_is_kept_up_or_removed(clock: list[float], tmp_path: Path) -> None:
    clock[0] = 1.0  # of a host that has just booted
    kept, other = tmp_path / "1.prom", tmp_path / "2.prom"
    kept.write_text("old\n")
    same = Written()
    same.file.inherit(str(kept))
    same.file.use(str(kept))
    assert kept.read_text() == "1\n"
    another = Written()
    another.file.inherit(str(kept))
    another.file.use(str(other))
    assert [path.name for path in tmp_path.iterdir()] == ["2.prom"]
    none = Written()
    none.file.inherit(str(other))
    none.file.use("")
    assert os.listdir(tmp_path) == []


def test_without_a_path_nothing_happens(clock: list[float]) -> None:
    written = Written()
    written.file.use("")
    clock[0] += 100
    written.file.write_if_due()
    written.file.remove()
    assert written.count == 0


def test_a_path_that_cannot_be_written_is_reported_once(
    tmp_path: Path, clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    written, path = Written(), tmp_path / "later/a.prom"
    written.file.use(str(path))
    for _ in range(3):
        clock[0] += 10
        written.file.write_if_due()
    problem = f"the metrics cannot be written to {path}: {{}}; see metrics_file in execwatchd.toml(5)"
    assert caplog.messages == [problem.format("No such file or directory")]
    (path / "a").mkdir(parents=True)
    for _ in range(2):
        clock[0] += 10
        written.file.write_if_due()
    assert caplog.messages[1:] == [problem.format("Is a directory")]
    assert os.listdir(path.parent) == ["a.prom"]
    (path / "a").rmdir()
    path.rmdir()
    for _ in range(2):
        clock[0] += 10
        written.file.write_if_due()
    assert caplog.messages[2:] == [f"the metrics are written to {path} again"]
    written.file.remove()
    written.file.remove()
    assert os.listdir(path.parent) == []


def test_a_link_in_place_of_the_file_or_of_the_new_one_is_not_followed(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "a.prom"
    victim.write_text("kept")
    for name in (path, tmp_path / ".a.prom.new"):
        name.symlink_to(victim)
    Written().file.use(str(path))
    assert victim.read_text() == "kept"
    assert not path.is_symlink()


@pytest.mark.usefixtures("umask")
def test_a_full_disk_leaves_the_old_numbers_alone(
    tmp_path: Path, clock: list[float], full_disk: FullDisk, caplog: pytest.LogCaptureFixture
) -> None:
    written, path = Written(), tmp_path / "a.prom"
    written.file.use(str(path))
    clock[0] += 10
    with full_disk("write"):
        written.file.write_if_due()
    assert path.read_text() == "1\n"
    assert os.listdir(tmp_path) == ["a.prom"]
    assert caplog.messages == [
        f"the metrics cannot be written to {path}: No space left on device;"
        " see metrics_file in execwatchd.toml(5)"
    ]

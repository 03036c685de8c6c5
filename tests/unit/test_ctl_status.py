# SPDX-License-Identifier: GPL-2.0-or-later
import json
import os
from pathlib import Path
from typing import Any

import pytest

from execwatchd.ctl.commands.status import Report, as_json, lines, size
from execwatchd.ctl.daemon.memory import resident
from execwatchd.ctl.journal.times import iso
from execwatchd.ctl.ports import EXIT_UNHEALTHY, Memory
from tests.fakes.ctl import EPOCH, PROPERTIES, FakeManager, Rig

MIB = 1 << 20


def report(before: dict[str, Any] | None = None, max_lost: int | None = None, **now: Any) -> Report:
    return Report(
        {**PROPERTIES, **now}, {**PROPERTIES, **(before or {})}, 2.0, Memory(40 * MIB, ring=True), max_lost
    )


@pytest.mark.parametrize(
    ("one", "problems"),
    [
        (report(), []),
        (report(before={"Lost": 5}, Lost=5), []),  # over and done with: restarting is no remedy
        (report(before={"Lost": 5}, Lost=8), ["it is losing execs: 3 in 2.0 s"]),
        (report(before={"Lost": 5}, Lost=5, max_lost=5), []),
        (report(before={"Lost": 5}, Lost=5, max_lost=4), ["5 execs lost"]),
        (report(Attached=[]), ["nothing is attached"]),
        (report(RingFill=8 * MIB * 89 // 100), []),
        (report(RingFill=8 * MIB), ["the ring is 100 % full"]),
        (report(RingSize=0, RingFill=0), []),
        (report(NotInEffect=["restart needed for: cwd"]), ["restart needed for: cwd"]),
        (report(Attached=[], NotInEffect=["a", "b\033"]), ["nothing is attached", "a", "b\\033"]),
    ],
)
def test_health(one: Report, problems: list[str]) -> None:
    assert one.problems == problems


def test_rates_are_of_the_sample_and_of_the_whole_time() -> None:
    one = report(before={"Seen": 900}, Seen=1000)
    assert one.rate == 50.0
    assert one.average(EPOCH / 1e6 + 500) == 2.0
    assert report(before={"Seen": 2000}).rate == 0.0  # the daemon was started anew in between


def test_lines_say_it_all() -> None:
    shown = dict(lines(report(before={"Seen": 900}), EPOCH / 1e6 + 500))
    assert shown["Version"] == f"1.2.3 on Linux {os.uname().release}"
    assert shown["Health"] == "healthy"
    assert shown["Attached"] == "sched_process_exec task_rename"
    assert shown["Ring"] == "4.0 KiB of 8.0 MiB, 0 %"
    assert shown["Rate"] == "50.0/s now, 2.0/s on average"
    assert shown["Memory"] == "40.0 MiB, with the ring"
    counters = [shown[name] for name in ("Seen", "Forwarded", "Ignored", "Lost", "Refused")]
    assert counters == ["1000", "900", "100", "0", "3"]


def test_json_has_numbers() -> None:
    shown = as_json(report(before={"Seen": 900}), EPOCH / 1e6 + 500)
    assert shown == {
        "healthy": True,
        "problems": [],
        "kernel": os.uname().release,
        "attached": ["sched_process_exec", "task_rename"],
        "rate": 50.0,
        "average_rate": 2.0,
        "memory": 40 * MIB,
        "version": "1.2.3",
        "since": iso(EPOCH),
        "ring_size": 8 * MIB,
        "ring_fill": 4096,
        "seen": 1000,
        "forwarded": 900,
        "ignored": 100,
        "lost": 0,
        "refused": 3,
    }


@pytest.mark.parametrize(
    ("samples", "arguments", "status"),
    [
        (({},), (), 0),
        (({}, {"Lost": 1}), (), EXIT_UNHEALTHY),
        (({"Lost": 1},), (), 0),
        (({"Lost": 1},), ("--max-lost", "0"), EXIT_UNHEALTHY),
        (({"Attached": []},), (), EXIT_UNHEALTHY),
        (({"NotInEffect": ["restart needed for: cwd"]},), (), EXIT_UNHEALTHY),
    ],
)
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_exit_status_is_the_health(
    samples: tuple[dict[str, Any], ...], arguments: tuple[str, ...], status: int, form: tuple[str, ...]
) -> None:
    rig = Rig(FakeManager(*samples))
    assert rig.run("status", "--interval", "0.001", *arguments, *form) == status
    if form:
        assert json.loads(rig.out)["healthy"] == (status == 0)


def test_one_sample_has_no_rate() -> None:
    rig = Rig(FakeManager({}, {"Lost": 1}))
    assert rig.run("status", "--interval", "0", "--json") == 0
    assert json.loads(rig.out)["rate"] is None


def test_a_daemon_of_before_the_property_is_healthy() -> None:
    old = {name: value for name, value in PROPERTIES.items() if name != "NotInEffect"}
    assert Report(old, old, 0.0, None).problems == []


def test_each_problem_is_a_line_that_is_wrapped_and_not_cut() -> None:
    rig = Rig(
        FakeManager({"NotInEffect": ["an older configuration " + "word " * 8 + "end", "restart needed"]})
    )
    assert rig.run("status", "--interval", "0", width=40) == EXIT_UNHEALTHY
    place = rig.lines.index("    Health: an older configuration word")
    assert rig.lines[place + 1 : place + 4] == [
        "            word word word word word",
        "            word word end",
        "            restart needed",
    ]


def test_status_fits_a_narrow_terminal() -> None:
    rig = Rig(FakeManager({"Attached": ["日本" * 30]}))
    assert rig.run("status", "--interval", "0", width=40) == 0
    assert all(len(line) <= 40 for line in rig.lines)


def test_what_is_wrong_is_coloured() -> None:
    rig = Rig(FakeManager({"Lost": 7, "Attached": []}))
    rig.run("status", "--interval", "0", colour=True)
    assert "\033[31;1m    Health: nothing is attached\033[0m" in rig.lines
    assert "\033[33m      Lost: 7\033[0m" in rig.lines


def test_sizes() -> None:
    assert [size(count) for count in (0, 1023, 1024, 1536 << 10, 2**63)] == [
        *("0 B", "1023 B", "1.0 KiB", "1.5 MiB", "8388608.0 TiB"),
    ]


def test_memory_of_a_process_leaves_the_mapped_ring_out(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "status").write_text("VmRSS:\t  900 kB\nRssAnon:\t  100 kB\nRssFile:\t  800 kB\n")
    assert resident(7, tmp_path) == Memory(100 * 1024, ring=False)
    assert resident(8, tmp_path) is None

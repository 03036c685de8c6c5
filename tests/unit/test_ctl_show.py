# SPDX-License-Identifier: GPL-2.0-or-later
"""`execwatchctl show`: one exec whole."""

import json
from typing import Any

import pytest

from execwatchd.ctl.journal.events import NUMBERS, TEXTS
from execwatchd.ctl.ports import Entry
from execwatchd.ctl.view.exec_sheet import MEANINGS
from tests.fakes.ctl import FakeJournal, Rig, end_entry, exec_entry, failed_entry

pytestmark = pytest.mark.usefixtures("utc")

OF_MANY = {
    "LOST",
    "LIMIT",
    "SUPPRESSED",
    "SUPPRESSED_TOTAL",
    "LOST_UIDS",
}  # fields of entries that stand for many execs


def make(pid: int, ppid: int, name: bytes, parent: bytes, at: int, comm: bytes = b"", **more: Any) -> Entry:
    return exec_entry(pid, name, at=at, PPID=ppid, COMM=comm or parent, PARENT_COMM=parent, **more)


STORY = [
    make(100, 1, b"sshd", b"init", at=1, UID=0),
    make(900, 1, b"cron", b"init", at=2),
    make(110, 100, b"bash", b"sshd", at=3, TTY=b"pts/0", LOGINUID=0),
    make(120, 110, b"env", b"bash", at=10, UNIT=b"s.service"),
    make(120, 110, b"make", b"bash", comm=b"env", at=11, UNIT=b"s.service", EUID=0, NSPID=7),
    make(121, 120, b"cc", b"make", at=12),
    make(122, 121, b"as", b"cc", at=13),
    make(123, 120, b"ld", b"make", at=14),
    make(130, 110, b"ls", b"bash", at=15, UNIT=b"s.service"),
    make(120, 1, b"id", b"init", at=16),  # the pid came round again
    make(140, 120, b"x", b"id", at=17),
]


def shown(*arguments: str, story: list[Entry] = STORY) -> dict[str, Any]:
    rig = Rig(journal=FakeJournal(story))
    assert rig.run("show", "--json", *arguments) == 0
    return dict(json.loads(rig.out))


def names(events: list[dict[str, Any]]) -> list[str]:
    return [event["new_comm"] for event in events]


def test_every_field_has_its_meaning() -> None:
    assert MEANINGS.keys() == {*NUMBERS, *TEXTS} - OF_MANY


def named(story: list[Entry]) -> list[Entry]:
    """The same, with the ids that execs have where ends are recorded."""
    ids = ["100-1-1", "900-2-1", "110-3-1", "120-10-1", "120-10-2", "121-12-1", "122-13-1", "123-14-1"]
    ids += ["130-15-1", "120-16-1", "140-17-1"]
    return [
        entry._replace(fields={**entry.fields, "EXECWATCH_EXEC_ID": id_.encode()})
        for entry, id_ in zip(story, ids, strict=True)
    ]


def test_relatives_are_those_of_its_process() -> None:
    ended = [*named(STORY)[:9], end_entry(120, "120-10-2", ran=4_000, code=2, at=15), *named(STORY)[9:]]
    found = shown("120-10-2", story=ended)
    assert names([found["exec"]]) == ["make"]
    assert names(found["execs"]) == ["env", "make"]
    assert names(found["ancestors"]) == ["bash", "sshd"]
    assert names(found["children"]) == ["cc", "ld"]
    assert (found["end"]["exit_code"], found["end"]["run_time_usec"]) == (2, 4_000_000)


def test_without_ids_names_tell_processes_of_a_pid_apart(capsys: pytest.CaptureFixture[str]) -> None:
    found = shown("120")
    note = "execwatchctl: the latest of 3 execs of process 120 (log --pid 120 shows all)\n"
    assert capsys.readouterr().err == note
    assert (names(found["execs"]), found["ancestors"], names(found["children"])) == (["id"], [], ["x"])
    assert found["end"] is None
    found = shown("120", story=STORY[:9])
    assert names(found["execs"]) == ["env", "make"]
    assert names(found["ancestors"]) == ["bash", "sshd"]
    assert names(found["children"]) == ["cc", "ld"]


def test_a_parent_of_another_name_or_that_had_ended_is_none() -> None:
    story = [make(50, 1, b"cat", b"init", at=1), make(51, 50, b"ls", b"bash", at=2)]
    assert shown("51", story=story)["ancestors"] == []
    story = [
        make(50, 1, b"bash", b"init", at=1, EXEC_ID=b"50-1-1"),
        end_entry(50, "50-1-1", ran=1, at=2),
        make(51, 50, b"ls", b"bash", at=3, EXEC_ID=b"51-3-1"),
    ]
    assert shown("51", story=story)["ancestors"] == []


def test_ids_say_who_the_parent_is_whatever_pid_and_name_say() -> None:
    """A subshell, 101, ran make; another process had its pid before, and has the shell's name."""
    story = [
        make(100, 1, b"bash", b"init", at=1, EXEC_ID=b"100-1-1"),
        make(101, 1, b"bash", b"init", at=2, EXEC_ID=b"101-2-1"),
        make(102, 101, b"make", b"bash", at=3, EXEC_ID=b"102-3-1", PARENT_ID=b"100-1-1"),
    ]
    (ancestor,) = shown("102", story=story)["ancestors"]
    assert ancestor["exec_id"] == "100-1-1"
    assert names(shown("100", story=story)["children"]) == ["make"]
    assert shown("101", story=story)["children"] == []


def test_a_subshell_has_the_shell_as_ancestor() -> None:
    chain = b"101:bash 100:bash 1:init"
    story = [make(100, 1, b"bash", b"init", at=1), make(102, 101, b"make", b"bash", at=2, ANCESTORS=chain)]
    assert names(shown("102", story=story)["ancestors"]) == ["bash"]


def test_what_user_and_unit_did_around_it() -> None:
    found = shown("121")
    assert names(found["by_user"]) == ["cron", "bash", "env", "make", "as", "ld", "ls", "id", "x"]
    assert found["by_unit"] == []
    many = [make(1000 + i, 1, b"n%d" % i, b"init", at=i, UNIT=b"u.service") for i in range(20)]
    found = shown("1010", story=many)
    assert names(found["by_unit"]) == [f"n{i}" for i in (5, 6, 7, 8, 9, 11, 12, 13, 14, 15)]


def test_the_sheet() -> None:
    ended = [*named(STORY)[:9], end_entry(120, "120-10-2", ran=4_000, code=2, at=15)]
    rig = Rig(journal=FakeJournal(ended))
    assert rig.run("show", "120-10-2") == 0
    rows = [" ".join(line.split()) for line in rig.lines]
    for row in (
        "time 2023-11-14T22:13:31.000000+00:00",
        "command line make",
        "effective user 0 (root)",
        "pid in its namespace 7",
        "system unit s.service",
        "ran for 4.0 s",
        "peak memory 45.1 MiB",
    ):
        assert row in rows
    tree = rig.lines[rig.lines.index("Ancestors and children") + 1 :][:6]
    assert [line[27:] for line in tree] == [
        "100 sshd (from 1 init)",
        "└─110 bash",
        "  └─120 env",
        "    │ » make [exit 2, 4.0 s, 45.1 MiB]",
        "    ├─121 cc",
        "    └─123 ld",
    ]
    around = rig.lines[rig.lines.index("Around it in the same unit") + 1 :]
    assert [line.split()[-1] for line in around] == ["env", "make", "ls"]


def test_what_a_take_over_recorded_twice_is_shown_once() -> None:
    late = STORY[4]._replace(realtime=STORY[4].realtime + 5)
    found = shown("120", story=[*STORY[:5], late])
    assert names(found["execs"]) == ["env", "make"]


def test_a_failed_exec_has_its_reason() -> None:
    rig = Rig(journal=FakeJournal([failed_entry(7, b"nosuch", PPID=1)]))
    assert rig.run("show", "7") == 0
    assert "failed with  ENOENT" in rig.out
    assert rig.run("show", "7", "-o", "json-pretty") == 0
    assert json.loads(rig.out)["exec"]["errno"] == "ENOENT"


def test_nothing_that_an_attacker_chose_reaches_the_terminal() -> None:
    nasty = b"\x1b[2J\n\xff\xe2\x80\xae"
    fields: dict[str, Any] = dict.fromkeys(TEXTS, nasty)
    rig = Rig(journal=FakeJournal([exec_entry(7, nasty, **fields)]))
    assert rig.run("show", "7") == 0
    assert rig.out.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("8", "no exec of process 8 is recorded (log shows which are)"),
        ("8-1-1", "no exec of id 8-1-1 is recorded (log shows which are)"),
    ],
)
def test_what_is_not_there(name: str, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    rig = Rig(journal=FakeJournal(STORY))
    assert rig.run("show", name) == 1
    assert capsys.readouterr().err == f"execwatchctl: {line}\n"
    rig.journal.may_read = False
    assert rig.run("show", name) == 1
    assert "no system journal here that you may read" in capsys.readouterr().err


def test_somebody_elses_entry_is_not_shown() -> None:
    rig = Rig(journal=FakeJournal([exec_entry(666, b"evil", sender=b"evil.service")]))
    assert rig.run("show", "666") == 1
    assert rig.run("show", "666", "--any-sender") == 0

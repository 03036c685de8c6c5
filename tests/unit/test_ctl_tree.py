# SPDX-License-Identifier: GPL-2.0-or-later
import io
import json
from contextlib import nullcontext
from typing import Any

import pytest

from execwatchd.ctl.__main__ import main
from execwatchd.ctl.ports import Entry, Tools
from execwatchd.ctl.view.terminal import ASCII, Console
from tests.fakes.ctl import FakeJournal, FakeManager, Rig, end_entry, exec_entry, failed_entry

pytestmark = pytest.mark.usefixtures("utc")


class Story:
    """Execs one second apart."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def exec(self, pid: int, ppid: int, name: bytes, comm: bytes, parent: bytes, **fields: Any) -> None:
        fields |= {"PPID": ppid, "COMM": comm, "PARENT_COMM": parent, "at": len(self.entries)}
        self.entries.append(exec_entry(pid, name, **fields))

    def fail(self, pid: int, ppid: int, name: bytes, comm: bytes, parent: bytes) -> None:
        fields: dict[str, Any] = {"PPID": ppid, "COMM": comm, "PARENT_COMM": parent, "at": len(self.entries)}
        self.entries.append(failed_entry(pid, name, **fields))

    def tree(self, *arguments: str, width: int | None = None) -> list[str]:
        rig = Rig(journal=FakeJournal(self.entries))
        assert rig.run("log", "--tree", *arguments, width=width) == 0
        return rig.lines

    def shape(self, *arguments: str) -> list[tuple[int, int, list[str]]]:
        """Depth, pid and the names of the execs of each process."""
        objects = map(json.loads, self.tree("--json", *arguments))
        return [(o["depth"], o["pid"], [one["argv"][0] for one in o["execs"]]) for o in objects]


@pytest.fixture
def story() -> Story:
    return Story()


def test_hosts_that_take_turns_have_trees_of_their_own(story: Story) -> None:
    for name in (b"bash", b"ls"):
        for host in (b"one", b"two"):
            pid, ppid, parent = (100, 90, b"sshd") if name == b"bash" else (101, 100, b"bash")
            story.exec(pid, ppid, name, parent, parent)
            last = story.entries.pop()
            story.entries.append(last._replace(fields={**last.fields, "_HOSTNAME": host}))
    assert story.shape() == [(0, 100, ["bash"]), (1, 101, ["ls"])] * 2


def test_a_session_as_a_tree(story: Story) -> None:
    story.exec(100, 90, b"bash", b"sshd", b"sshd", UID=0)
    story.exec(101, 100, b"make", b"bash", b"bash")
    story.exec(102, 101, b"sh", b"make", b"make")
    story.fail(103, 102, b"gcc", b"sh", b"sh")
    story.exec(103, 102, b"cc1", b"sh", b"sh")
    story.exec(104, 101, b"ld", b"make", b"make")
    story.exec(105, 100, b"ls", b"bash", b"bash")
    story.exec(200, 90, b"su", b"sshd", b"sshd")
    assert story.tree() == [
        "Nov 14 22:13:20 root       100 bash (from 90 sshd)",
        "Nov 14 22:13:21 4242       ├─101 make",
        "Nov 14 22:13:22 4242       │ ├─102 sh",
        "Nov 14 22:13:23 4242       │ │ └─103 [ENOENT] gcc",
        "Nov 14 22:13:24 4242       │ │     » cc1",
        "Nov 14 22:13:25 4242       │ └─104 ld",
        "Nov 14 22:13:26 4242       └─105 ls",
        "Nov 14 22:13:27 4242       200 su (from 90 sshd)",
    ]
    assert story.tree("--comm", "cc1") == [
        "Nov 14 22:13:24 4242       103 cc1 (from 102 sh)",
    ]


def test_a_pid_with_its_descendants_alone(story: Story) -> None:
    story.exec(100, 1, b"bash", b"login", b"init")
    story.exec(101, 100, b"make", b"bash", b"bash")
    story.exec(102, 101, b"cc", b"make", b"make")
    story.exec(300, 1, b"cron", b"init", b"init")
    assert story.shape("--pid", "101") == [(0, 101, ["make"]), (1, 102, ["cc"])]
    assert story.shape("--pid", "102", "--pid", "300") == [(0, 102, ["cc"]), (0, 300, ["cron"])]
    assert story.shape("--pid", "90") == []


def test_a_process_that_never_executed_has_its_children_as_roots(story: Story) -> None:
    story.exec(101, 90, b"make", b"bash", b"bash")
    story.exec(102, 101, b"cc", b"make", b"make")
    story.exec(300, 1, b"cron", b"init", b"init")
    assert story.shape("--pid", "90") == [(0, 101, ["make"]), (1, 102, ["cc"])]


def test_execs_of_one_process_are_one_process(story: Story) -> None:
    story.exec(100, 1, b"sd-executor", b"systemd", b"systemd")
    story.exec(100, 1, b"nginx", b"(nginx)", b"systemd")  # it renamed itself
    story.exec(100, 1, b"nginx", b"nginx", b"systemd")
    assert story.shape() == [(0, 100, ["sd-executor", "nginx", "nginx"])]


def test_a_pid_that_came_round_again_is_another_process(story: Story) -> None:
    story.exec(50, 1, b"bash", b"login", b"init")
    story.exec(60, 1, b"zsh", b"login", b"init")
    story.exec(70, 50, b"make", b"bash", b"bash")
    story.exec(71, 70, b"cc", b"make", b"make")
    story.exec(70, 60, b"vi", b"zsh", b"zsh")  # of another parent
    story.exec(72, 70, b"sh", b"vi", b"vi")
    story.exec(70, 60, b"less", b"zsh", b"zsh")  # of the same: a fresh fork has its parent's comm
    story.exec(73, 70, b"man", b"less", b"less")
    assert story.shape() == [
        (0, 50, ["bash"]),
        (1, 70, ["make"]),
        (2, 71, ["cc"]),
        (0, 60, ["zsh"]),
        (1, 70, ["vi"]),
        (2, 72, ["sh"]),
        (1, 70, ["less"]),
        (2, 73, ["man"]),
    ]
    assert story.shape("--pid", "70") == [
        (0, 70, ["make"]),
        (1, 71, ["cc"]),
        (0, 70, ["vi"]),
        (1, 72, ["sh"]),
        (0, 70, ["less"]),
        (1, 73, ["man"]),
    ]
    # the pid that was a descendant's is later that of a stranger
    assert story.shape("--pid", "50") == [(0, 50, ["bash"]), (1, 70, ["make"]), (2, 71, ["cc"])]


def test_an_orphan_stays_where_it_was_born(story: Story) -> None:
    story.exec(50, 1, b"bash", b"login", b"init")
    story.exec(51, 50, b"sh", b"bash", b"bash")
    story.exec(52, 51, b"nohup", b"sh", b"sh")
    story.exec(52, 1, b"sleep", b"nohup", b"init")
    story.exec(52, 50, b"true", b"sleep", b"bash")  # bash is a subreaper
    assert story.shape() == [(0, 50, ["bash"]), (1, 51, ["sh"]), (2, 52, ["nohup", "sleep", "true"])]


def test_boots_do_not_mix(story: Story) -> None:
    story.exec(50, 1, b"bash", b"login", b"init")
    realtime, monotonic, fields = exec_entry(51, b"ls", PPID=50, at=1)
    story.entries.append(Entry(realtime, monotonic, {**fields, "_BOOT_ID": b"f" * 32}))
    assert story.shape() == [(0, 50, ["bash"]), (0, 51, ["ls"])]


def test_what_came_twice_after_a_take_over_is_shown_once(story: Story) -> None:
    story.exec(50, 1, b"bash", b"login", b"init")
    story.exec(51, 50, b"ls", b"bash", b"bash")
    story.entries += story.entries[-1:]
    assert story.shape() == [(0, 50, ["bash"]), (1, 51, ["ls"])]


def test_depth_is_no_limit_and_a_narrow_terminal_cuts(story: Story) -> None:
    story.exec(1000, 1, b"sh", b"init", b"init")
    for pid in range(1001, 3000):
        story.exec(pid, pid - 1, b"sh", b"sh", b"sh")
    assert story.shape()[-1] == (1999, 2999, ["sh"])
    lines = story.tree(width=40)
    assert len(lines) == 2000
    assert max(map(len, lines)) == 40
    assert lines[:2] == ["22:13:20 1000 sh (from 1 init)", "22:13:21 └─1001 sh"]
    lines = story.tree()
    assert lines[64].endswith(" " * 126 + "└─1064 sh")
    assert [line[27:] for line in lines[65:67]] == ["… " + " " * 126 + f"└─{pid} sh" for pid in (1065, 1066)]


def test_a_terminal_without_lines_to_draw_with(story: Story) -> None:
    story.exec(100, 1, b"bash", b"login", b"init")
    for pid in (101, 103):
        story.exec(pid, 100, b"sh", b"bash", b"bash")
        story.exec(pid, 100, b"make", b"sh", b"bash")
        story.exec(pid + 1, pid, b"cc", b"make", b"make")
    out = io.StringIO()
    journal = FakeJournal(story.entries)
    tools = Tools(Console(out, 60, glyphs=ASCII), FakeManager, lambda _source: nullcontext(journal))  # type: ignore[arg-type]
    assert main(["log", "--tree"], tools) == 0
    assert [line[18:] for line in out.getvalue().splitlines()] == [
        "100 bash (from 1 init)",
        "|-101 sh",
        "| | > make",
        "| `-102 cc",
        "`-103 sh",
        "  | > make",
        "  `-104 cc",
    ]


def test_entries_without_a_pid_are_no_processes(story: Story) -> None:
    story.exec(50, 1, b"bash", b"login", b"init")
    del story.entries[0].fields["EXECWATCH_PPID"]  # type: ignore[attr-defined]
    assert story.shape() == []


def test_ends_in_a_tree(story: Story) -> None:
    story.exec(100, 90, b"bash", b"sshd", b"sshd", EXEC_ID=b"100-1-1")
    story.exec(101, 100, b"sh", b"bash", b"bash", EXEC_ID=b"101-1-1")
    story.exec(101, 100, b"make", b"sh", b"bash", EXEC_ID=b"101-1-2")
    story.entries.append(end_entry(101, "101-1-2", ran=2_000, code=2, at=3))
    story.entries.append(end_entry(77, "77-1-1", ran=2_000, at=4))
    assert [line.partition("4242       ")[2] for line in story.tree()] == [
        "100 bash (from 90 sshd)",
        "└─101 sh",
        "    » make [exit 2, 2.0 s, 45.1 MiB]",
    ]
    ended = json.loads(story.tree("--json")[1])["end"]
    assert (ended["kind"], ended["exit_code"]) == ("ended", 2)


def test_what_has_ended_executes_nothing_more(story: Story) -> None:
    """The same pid, parent and name: without the end it would be the same process."""
    story.exec(100, 90, b"bash", b"sshd", b"sshd")
    story.exec(101, 100, b"env", b"bash", b"bash", EXEC_ID=b"101-1-1")
    story.entries.append(end_entry(101, "101-0-9", ran=1, at=2))  # of an earlier one, told twice
    story.exec(101, 100, b"ls", b"env", b"bash", EXEC_ID=b"101-1-2")
    story.entries.append(end_entry(101, "101-1-2", ran=1, at=4))
    story.exec(101, 100, b"id", b"ls", b"bash", EXEC_ID=b"101-5-2")
    assert story.shape() == [(0, 100, ["bash"]), (1, 101, ["env", "ls"]), (1, 101, ["id"])]


def subshell(story: Story, chain: bytes = b"101:bash 100:bash 90:sshd") -> None:
    """Shell 100 has a subshell, 101, that executes nothing itself but runs make."""
    story.exec(100, 90, b"bash", b"sshd", b"sshd", ANCESTORS=b"90:sshd 1:systemd")
    story.exec(102, 101, b"make", b"bash", b"bash", ANCESTORS=chain)
    story.exec(103, 102, b"cc", b"make", b"make", ANCESTORS=b"102:make " + chain)


def test_what_a_subshell_ran_hangs_below_the_shell(story: Story) -> None:
    subshell(story)
    assert story.shape() == [(0, 100, ["bash"]), (1, 102, ["make"]), (2, 103, ["cc"])]
    assert story.shape("--pid", "100") == story.shape()
    assert [line[27:] for line in story.tree()] == [
        "100 bash (from 90:sshd < 1:systemd)",
        "└─102 make (from 101:bash)",
        "  └─103 cc",
    ]


def test_those_below_a_pid_that_never_executed_are_found_by_their_ancestors(story: Story) -> None:
    subshell(story, chain=b"105:bash 101:bash 100:bash")
    assert story.shape("--pid", "101") == [(0, 102, ["make"]), (1, 103, ["cc"])]
    assert story.shape("--pid", "105") == story.shape("--pid", "101")
    assert story.shape("--pid", "99") == []


@pytest.mark.parametrize("chain", [b"101:bash 100:zsh", b"101:bash", b"100", b"x:bash :bash \xff:", b" "])
def test_an_ancestor_of_another_name_or_of_none_is_no_parent(story: Story, chain: bytes) -> None:
    subshell(story, chain)
    assert story.shape() == [(0, 100, ["bash"]), (0, 102, ["make"]), (1, 103, ["cc"])]


def test_a_name_that_was_escaped_is_known(story: Story) -> None:
    story.exec(100, 90, b"my shell", b"sshd", b"sshd")
    story.exec(102, 101, b"make", b"my shell", b"my shell", ANCESTORS=rb"101:my\040shell 100:my\040shell")
    assert story.shape() == [(0, 100, ["my shell"]), (1, 102, ["make"])]


def test_the_id_of_an_exec_tells_processes_apart(story: Story) -> None:
    """By the names alone the first two would be one process, and the last two be two."""
    story.exec(100, 90, b"bash", b"sshd", b"sshd", EXEC_ID=b"100-1-1")
    story.exec(101, 100, b"env", b"bash", b"bash", EXEC_ID=b"101-500-2")
    story.exec(101, 100, b"ls", b"env", b"bash", EXEC_ID=b"101-900-2")
    story.fail(101, 100, b"nosuch", b"ls", b"bash")
    story.exec(101, 100, b"id", b"bash", b"bash", EXEC_ID=b"101-900-3")
    assert story.shape() == [(0, 100, ["bash"]), (1, 101, ["env"]), (1, 101, ["ls", "nosuch", "id"])]


def test_what_ended_is_nobodys_parent(story: Story) -> None:
    """Its pid is another process's by then, one that never executed and has its parent's name."""
    story.exec(50, 1, b"bash", b"init", b"init", EXEC_ID=b"50-1-1")
    story.entries.append(end_entry(50, "50-1-1", ran=1, at=2))
    story.exec(40, 1, b"bash", b"init", b"init", EXEC_ID=b"40-3-1")
    story.exec(60, 50, b"ls", b"bash", b"bash", ANCESTORS=b"50:bash 40:bash 1:init")
    story.exec(61, 51, b"id", b"bash", b"bash", ANCESTORS=b"51:bash 50:bash 40:bash 1:init")
    assert story.shape() == [(0, 50, ["bash"]), (0, 40, ["bash"]), (1, 60, ["ls"]), (1, 61, ["id"])]


def test_the_ids_tell_whose_child_a_process_is(story: Story) -> None:
    """A subshell that executed nothing itself is between, and a pid is another process's by now."""
    story.exec(100, 90, b"bash", b"sshd", b"sshd", EXEC_ID=b"100-1-1")
    story.exec(102, 101, b"ls", b"bash", b"bash", EXEC_ID=b"102-3-2", PARENT_ID=b"100-1-1")
    story.exec(103, 100, b"id", b"bash", b"bash", EXEC_ID=b"103-9-2", PARENT_ID=b"100-8-1")
    assert story.shape() == [(0, 100, ["bash"]), (1, 102, ["ls"]), (0, 103, ["id"])]

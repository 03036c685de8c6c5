# SPDX-License-Identifier: GPL-2.0-or-later
import json
import os
import subprocess
import sys
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execwatchd.ctl.ports import Entry, Source
from execwatchd.ctl.view import moments
from execwatchd.ctl.view.terminal import width
from execwatchd.shared import quoting
from execwatchd.shared.errors import Failure
from execwatchd.shared.message_ids import MessageId
from tests.fakes.ctl import (
    BOOT,
    EPOCH,
    FakeJournal,
    FakeManager,
    Rig,
    end_entry,
    entry,
    exec_entry,
    failed_entry,
)

NASTY = b"\x1b[2J\n\xff\xe2\x80\xae"

pytestmark = pytest.mark.usefixtures("utc")


def rig(*entries: Entry, **options: Any) -> Rig:
    return Rig(journal=FakeJournal(entries, **options))


LS = exec_entry(37926, b"ls", b"-la", UID=3_999_999_999)
MISSING = failed_entry(7, b"nosuch", at=1, UID=0)
LOST = entry(MessageId.EVENTS_LOST, at=2, text=b"12 execs were not recorded", LOST=12)


def test_columns() -> None:
    one = rig(LS, MISSING, LOST)
    assert one.run("log") == 0
    assert one.lines == [
        "Nov 14 22:13:20   37926 3999999999 bash            ls -la",
        "Nov 14 22:13:21       7 root       bash            [ENOENT] nosuch",
        "Nov 14 22:13:22 -- 12 execs were not recorded",
    ]


def test_messages_have_a_column_where_they_differ() -> None:
    one = rig(LS, MISSING, exec_entry(8, b"id", MESSAGE="Hi!", at=1), LOST)
    assert one.run("log") == 0
    assert one.lines == [
        "Nov 14 22:13:20   37926 3999999999 bash            Hello World          ls -la",
        "Nov 14 22:13:21       7 root       bash            Hello World          [ENOENT] nosuch",
        "Nov 14 22:13:21       8 4242       bash            Hi!                  id",
        "Nov 14 22:13:22 -- 12 execs were not recorded",
    ]


def test_a_message_that_is_new_gets_a_column_from_then_on() -> None:
    one = rig(LS, later=[LS, exec_entry(8, b"id", MESSAGE="Hi!"), LS])
    one.run("log", "-f")
    assert ["H" in line.split("bash")[1] for line in one.lines] == [False, False, True, True]


def test_a_date_where_it_is_not_today_and_a_year_where_it_is_not_this(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = rig(LS)
    for today, cells, time in (
        (date(2023, 11, 14), 80, "22:13:20"),
        (date(2023, 11, 15), 80, "Nov 14 22:13:20"),
        (date(2023, 11, 15), 40, "Nov 14 22:13:20"),
        (date(2023, 11, 14), 120, "Nov 14 22:13:20"),
        (date(2024, 1, 1), 80, "2023-11-14 22:13:20"),
    ):
        monkeypatch.setattr(moments, "today", lambda today=today: today)
        for arguments in ((), ("--tree",)):
            one.run("log", *arguments, width=cells)
            assert one.out.startswith(f"{time} ")


def test_colours_on_a_terminal() -> None:
    one = rig(LS, MISSING, LOST)
    one.run("log", width=120, colour=True)
    assert "\033[1mls -la\033[0m" in one.lines[0]
    assert "\033[31m[ENOENT] nosuch\033[0m" in one.lines[1]
    assert one.lines[2].startswith("\033[33;1m")


def test_forty_columns_are_enough_for_time_pid_comm_and_a_command() -> None:
    long = exec_entry(4194304, b"find", b"/" + b"x" * 500, COMM="日本日本日".encode())
    one = rig(LS, long, LOST)
    one.run("log", width=40)
    assert one.lines == [
        "22:13:20   37926 bash     ls -la",
        "22:13:20 4194304 日本日…  find /xxxxxxx…",
        "22:13:22 -- 12 execs were not recorded",
    ]


FIELDS = st.binary(max_size=30).filter(lambda raw: b"\0" not in raw)


@settings(max_examples=40, deadline=None)  # of six runs each
@given(comm=FIELDS, argument=FIELDS, message=FIELDS, cells=st.sampled_from([None, 40, 80, 200]))
def test_no_field_breaks_the_line_or_the_columns(
    comm: bytes, argument: bytes, message: bytes, cells: int | None
) -> None:
    line = quoting.shell(b"x\0" + argument + b"\0").encode()
    fields: dict[str, Any] = {
        "COMM": comm,
        "MESSAGE": message,
        "ERRNO": comm,
        "CMDLINE": line,
        "text": message,
    }
    for output in ("short", "cat", "argv", "json", "ecs", "otel"):
        one = rig(exec_entry(7, b"x", argument, **fields))
        assert one.run("log", "-o", output, width=cells) == 0
        assert one.out.endswith("\n")
        assert one.out[:-1].isprintable()
        assert output != "short" or width(one.out[:-1]) <= (cells or 10**6)
        if output == "short" and cells is None:
            assert "Nov 14 22:13:20       7 4242" in one.out


def test_forged_fields_are_neutralised_even_where_the_daemon_would_have_done_it() -> None:
    one = rig(exec_entry(7, b"ls", NASTY, CMDLINE=NASTY, COMM=NASTY, MESSAGE=NASTY, text=NASTY))
    escaped = "\\033[2J\\012\\377\\342\\200\\256"
    for output in ("short", "cat", "argv"):
        one.run("log", "-o", output)
        assert escaped in one.out
        assert one.out[:-1].isprintable()


def test_cat_is_the_message_and_argv_the_command_line() -> None:
    text = b"37926 501 bash Hi user 501!: ls -la"
    one = rig(exec_entry(1, b"ls", b"-la", text=text), LOST, entry(PID=1, FILENAME=b"/bin/a b", CMDLINE=b""))
    one.run("log", "-o", "cat")
    assert one.lines[0] == text.decode()
    one.run("log", "-o", "argv")
    assert one.lines == ["ls -la", "'/bin/a b'"]


@pytest.mark.parametrize("fields", [{}, {"COMM": "אבג".encode()}, {"MESSAGE": "אבג".encode()}])
def test_text_from_right_to_left_is_marked(fields: dict[str, Any]) -> None:
    argument = b"abc" if fields else "אבג".encode()
    one = rig(exec_entry(1, b"ls", argument, **fields))
    for arguments in ((), ("--tree",)):
        one.run("log", *arguments)
        assert "[right-to-left] ls" in one.out
    one.run("log", "-o", "argv")
    assert one.lines == (["ls abc"] if fields else ["ls 'אבג' # right-to-left"])


def _on(host: bytes, one: Entry) -> Entry:
    return one._replace(fields={**one.fields, "_HOSTNAME": host})


def test_hosts_of_a_fleet_are_told_apart() -> None:
    one = rig(_on(b"web1", exec_entry(1, b"ls")), _on(b"web\x1b2", exec_entry(2, b"id")), _on(b"web1", LOST))
    one.run("log", "-o", "json")
    assert [json.loads(line)["host"] for line in one.lines] == ["web1", "web\x1b2", "web1"]
    one.run("log", "--directory", "/collected", "-n", "2")
    assert [line.split()[3] for line in one.lines] == ["web\\0332", "web1"]
    one.run("log", "--directory", "/collected", "-n", "2", width=50)
    assert "web" not in one.lines[0]
    one.run("log", "--host", "web1", "-o", "cat")
    assert len(one.lines) == 2
    one.run("log", "--host", "web\x1b2", "-o", "argv")  # another host's losses don't matter here
    assert one.lines == ["id"]


def test_verbose_is_every_field_under_its_name_in_the_journal() -> None:
    one = rig(_on(b"web\x1b1", exec_entry(7, b"ls", b"a\nb", UNIT=b"x.service", text=b"7 x\n")))
    one.run("log", "-o", "verbose")
    head, *fields = one.lines
    assert head == "2023-11-14T22:13:20.000000+00:00 web\\0331 exec"
    assert fields[:2] == ["    MESSAGE=7 x\\012", "    EXECWATCH_PID=7"]
    assert "    EXECWATCH_MESSAGE=Hello World" in fields
    assert fields[-1] == '    EXECWATCH_ARGV=["ls", "a\\nb"]'
    assert one.out[:-1].replace("\n", "").isprintable()


def test_json_may_have_a_line_for_each_member() -> None:
    one = rig(LS, MISSING)
    for arguments in ((), ("--tree",)):
        one.run("log", "-o", "json", *arguments)
        compact = [json.loads(line) for line in one.lines]
        one.run("log", "-o", "json-pretty", *arguments)
        objects, decoder, text = [], json.JSONDecoder(), one.out
        while text:
            value, end = decoder.raw_decode(text)
            objects.append(value)
            text = text[end:].lstrip()
        assert objects == compact
        assert len(one.lines) > 20


def test_argv_says_where_arguments_were_cut() -> None:
    one = rig(exec_entry(1, b"ls", TRUNCATED=b"argv"), exec_entry(1, b"ls", TRUNCATED=b"filename"))
    one.run("log", "-o", "argv")
    assert one.lines == ["ls # cut", "ls"]


def test_json_keeps_what_is_no_text() -> None:
    one = rig(exec_entry(7, b"ls", b"", b"\xff\n", b"\x1b", COMM=b"\xfe", SESSION=b"x"), MISSING, LOST)
    one.run("log", "-o", "json")
    first, second, third = map(json.loads, one.lines)
    assert first == {
        "kind": "exec",
        "time": "2023-11-14T22:13:20.000000+00:00",
        "pid": 7,
        "ppid": 1,
        "uid": 4242,
        "argc": 4,
        "result": 0,
        "timestamp": 0,
        "parent_comm": "bash",
        "comm": [254],
        "new_comm": "ls",
        "filename": "/bin/ls",
        "cmdline": [*b"ls  \xff\n \x1b"],
        "message": "Hello World",
        "argv": ["ls", "", [255, 10], "\x1b"],
    }
    assert (second["kind"], second["result"], second["errno"]) == ("failed", -2, "ENOENT")
    assert (third["kind"], third["lost"], third["text"]) == ("lost", 12, "12 execs were not recorded")
    before = one.out
    assert one.run("log", "--json") == 0
    assert one.out == before


@pytest.mark.parametrize(
    ("fields", "argv"),
    [
        ({"ARGV": b'["ls","-la"]'}, ["ls", "-la"]),
        ({"ARGV_RAW": b"ls\0\xff\0"}, ["ls", [255]]),
        ({"ARGV": b"ls\0-la\0"}, ["ls", "-la"]),
        ({"ARGV": b'["a"]\0'}, ['["a"]']),
        ({"ARGV": b"[\0x"}, ["[", "x"]),
        ({"ARGV": b"[1]"}, ["[1]"]),
        ({"ARGV": b"[" * 100_000}, ["[" * 100_000]),
        ({"ARGV": b'["\\ud800"]'}, [[0xED, 0xA0, 0x80]]),
        ({"ARGV": b"[]"}, []),
    ],
)
def test_arguments_in_every_form_that_an_entry_has_or_had(fields: dict[str, bytes], argv: list[Any]) -> None:
    """An entry of the first versions has the bytes in ARGV; a forged one may have anything."""
    exec_ = exec_entry(7, b"x")
    kept = {name: value for name, value in exec_.fields.items() if name != "EXECWATCH_ARGV"}
    named = {f"EXECWATCH_{name}": value for name, value in fields.items()}
    one = rig(exec_._replace(fields=kept | named))
    one.run("log", "-o", "json")
    assert json.loads(one.out)["argv"] == argv


def test_what_an_entry_leaves_out_is_in_the_json() -> None:
    execs = (
        exec_entry(1, b"ls", b"-l"),
        exec_entry(2, b"x", TRUNCATED=b"argv", ARGC=99),
        failed_entry(3, b"y"),
    )
    one = rig(*execs, end_entry(3, "3-1-1", 5))
    one.run("log", "-o", "json")
    shown = [[json.loads(line).get(name) for name in ("result", "argc")] for line in one.lines]
    assert shown == [[0, 2], [0, 99], [-2, 1], [None, None]]


def test_the_hosts_namespaces_are_in_the_json() -> None:
    other = {"_BOOT_ID": b"f" * 32}
    unknown = exec_entry(4, b"ls")
    one = rig(
        entry(MessageId.ATTACHED, sender=b"other.service", PIDNS=6, MNTNS=66),
        entry(MessageId.ATTACHED, PIDNS=4026531836, MNTNS=4026531841),
        exec_entry(1, b"ls"),
        exec_entry(2, b"ls", PIDNS=7, NSPID=3, MNTNS=8),
        end_entry(3, "3-1-1", 5),
        unknown._replace(fields={**unknown.fields, **other}),
    )
    one.run("log", "-o", "json")
    shown = [[json.loads(line).get(name) for name in ("pidns", "mntns")] for line in one.lines]
    assert shown == [[4026531836, 4026531841], [7, 8], [4026531836, None], [None, None]]


def test_the_time_is_that_of_the_exec_not_of_its_entry() -> None:
    late = exec_entry(7, b"ls", at=60, TIMESTAMP=20_000_000_000)
    one = rig(late, late._replace(monotonic=10))  # the second is impossible: it says nothing
    one.run("log", "-o", "json")
    assert [json.loads(line)["time"][11:19] for line in one.lines] == ["22:13:40", "22:14:20"]


def test_entries_of_others_are_not_ours() -> None:
    forged = exec_entry(666, b"evil", sender=b"user@1000.service", text=b"1 0 bash x: evil")
    one = rig(forged, LS, exec_entry(667, b"evil", sender=None))
    one.run("log", "-o", "argv")
    assert one.lines == ["ls -la"]
    one.run("log", "-o", "argv", "--any-sender")
    assert one.lines == ["evil", "ls -la", "evil"]


def test_what_never_was_an_exec_is_left_out() -> None:
    one = rig(entry(MessageId.ATTACHED, text=b"attached"), LS)
    assert one.run("log", "-o", "cat") == 0
    assert len(one.lines) == 1


EXECS = (
    exec_entry(1, b"a", at=1, UID=0, COMM=b"bash", UNIT=b"nginx.service"),
    exec_entry(2, b"b", at=2, COMM=b"a b", USER_UNIT=b"nginx.service"),
    exec_entry(3, b"c", at=3, SESSION=5, UNIT=b"ssh@1.socket", CONTAINER=b"0123abcd"),
    failed_entry(4, b"d", at=4, UID=7, CONTAINER=b"0123ffff"),
)


@pytest.mark.parametrize(
    ("arguments", "commands"),
    [
        ((), "abcd"),
        (("--user", "root"), "a"),
        (("--user", "0", "--user", "7"), "ad"),
        (("--unit", "nginx"), "a"),
        (("-u", "nginx.service", "-u", "ssh@1.socket"), "ac"),
        (("--user-unit", "nginx"), "b"),
        (("--comm", "a b"), "b"),
        (("--comm", "a"), "a"),  # what it became
        (("--session", "5"), "c"),
        (("--pid", "3", "--pid", "4"), "cd"),
        (("--failed",), "d"),
        (("--failed", "--user", "0"), ""),
        (("--since", f"@{EPOCH // 10**6 + 3}"), "cd"),
        (("-S", "-30d", "-U", "+1d"), ""),
        (("-S-30d",), ""),
        (("--until", f"@{EPOCH // 10**6 + 2}"), "ab"),
        (("-n", "2"), "cd"),
        (("--lines=0",), ""),
        (("--exe", "/bin/a"), "a"),
        (("--exe", "b", "--exe", "[cd]"), "bcd"),
        (("--exe", "/b*"), "abcd"),
        (("--exe", "in/a"), ""),
        (("--container", "0123"), "cd"),
        (("--container", "0123f", "--container", "x"), "d"),
        (("-g", "^[A-C]$"), ""),
        (("--grep", "^[a-c]$"), "abc"),
        (("-g", "a|d", "-n", "1"), "d"),
        (("-g", "a|b", "-r", "-n", "1"), "b"),
        (("-p", "info"), "abcd"),
        (("-p", "4"), ""),
        (("-p", "notice..debug", "--user", "7"), "d"),
        (("-p", "7..6"), "abcd"),
        (("-r",), "dcba"),
        (("--reverse", "-n", "2"), "dc"),
        (("--boot", BOOT), "abcd"),
        (("-b", "f" * 32), ""),
    ],
)
def test_filters(arguments: tuple[str, ...], commands: str) -> None:
    one = rig(*EXECS)
    assert one.run("log", "-o", "argv", *arguments) == 0
    assert "".join(one.lines) == commands


def test_a_loss_is_shown_whatever_the_filter() -> None:
    one = rig(*EXECS, LOST)
    one.run("log", "--user", "7", "--comm", "zsh", "--failed")
    assert one.lines == ["Nov 14 22:13:22 -- 12 execs were not recorded"]


def test_a_priority_is_that_of_the_entry_a_loss_included() -> None:
    one = rig(*EXECS, LOST)
    one.run("log", "-p", "warning")
    assert one.lines == ["Nov 14 22:13:22 -- 12 execs were not recorded"]
    one.run("log", "-p", "err")
    assert one.lines == []


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("secret file", True),
        ("SECRET", False),
        ("Tar", False),
        ("straße", True),
        ("^tar .*\\xff", False),
        ("ä", False),
    ],
)
def test_a_pattern_is_sought_in_all_arguments_in_lower_case_in_either(pattern: str, matches: bool) -> None:
    one = rig(exec_entry(1, b"tar", b"Secret", b"file", "STRAßE".encode(), b"\xff"), LOST)
    one.run("log", "-g", pattern)
    assert len(one.lines) == 1 + matches  # a loss might have matched


def test_an_end_is_that_of_an_exec_that_matches(capsys: pytest.CaptureFixture[str]) -> None:
    one = rig(MAKE, ENDED, QUICK, exec_entry(51, b"ls", EXEC_ID=b"51-1-1", at=20))
    for arguments in (("-g", "make -j"), ("--exe", "make")):
        one.run("log", *arguments, "-o", "json")
        assert [(shown["kind"], shown["pid"]) for shown in map(json.loads, one.lines)] == [
            ("exec", 50),
            ("ended", 50),
        ]
    one.run("log", "-g", "make", "--slow", "13s")
    assert one.lines == []
    one.run("log", "-g", "make", "--slow", "12s", "-o", "argv")
    assert one.lines == ["make -j4"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("-g", "("), "not a pattern of RE2: ( (missing ): ()"),
        (("-p", "loud"), "argument -p/--priority: not a priority: loud"
         " (emerg, alert, crit, err, warning, notice, info, debug, or 0 to 7) (see execwatchctl log --help)"),
        (("-p", "8"), "argument -p/--priority: not a priority: 8"
         " (emerg, alert, crit, err, warning, notice, info, debug, or 0 to 7) (see execwatchctl log --help)"),
    ],
)  # fmt: skip
def test_what_is_no_pattern_or_priority(
    arguments: tuple[str, ...], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rig().run("log", *arguments) == 2
    assert capsys.readouterr().err == f"execwatchctl: {line}\n"


def test_what_a_limit_suppressed_is_shown_but_of_other_users() -> None:
    kinds = MessageId.STORM_STARTED, MessageId.STORM_CONTINUES, MessageId.STORM_ENDED
    one = rig(*EXECS, *(entry(kind, at=i, text=b"UID 5: held back", UID=5) for i, kind in enumerate(kinds)))
    for arguments, count in (((), 3), (("--user", "5"), 3), (("--user", "6"), 0), (("-o", "argv"), 0)):
        assert one.run("log", "--comm", "zsh", *arguments) == 0
        assert one.lines == [f"Nov 14 22:13:2{i} -- UID 5: held back" for i in range(count)]
    one.run("log", "--comm", "zsh", "-o", "json", "-n", "1")
    shown = json.loads(one.out)
    assert (shown["kind"], shown["text"], shown["uid"]) == ("suppressed", "UID 5: held back", 5)


def test_boots_by_their_offset(capsys: pytest.CaptureFixture[str]) -> None:
    journal = FakeJournal()
    journal.boot_ids = ("a" * 32, "b" * 32, BOOT)
    one = Rig(journal=journal)
    for offset, boot in (("-1", "b" * 32), ("1", "a" * 32), ("3", BOOT)):
        assert one.run("log", "--boot", offset) == 0
        assert (f"_BOOT_ID={boot}".encode(),) in journal.queries[-1].clauses
    assert one.run("log", "--boot", "0", "-D", "/x") == 0
    assert (f"_BOOT_ID={BOOT}".encode(),) in journal.queries[-1].clauses
    assert one.run("log", "--boot", "-3") == 1
    assert one.run("log", "--boot", "last") == 2
    assert capsys.readouterr().err.splitlines() == [
        "execwatchctl: no such boot: -3 (the journal has 3)",
        "execwatchctl: not a boot: last (an id, or a number such as 0 or -1)",
    ]


def test_this_boot_needs_no_search() -> None:
    journal = FakeJournal()
    journal.boot_ids = ()
    assert Rig(journal=journal).run("log", "-b") == 0
    with open("/proc/sys/kernel/random/boot_id") as file:
        boot = file.read().strip().replace("-", "")
    assert (f"_BOOT_ID={boot}".encode(),) in journal.queries[-1].clauses


def test_following_begins_with_the_last_ten() -> None:
    one = rig(*(exec_entry(pid, b"old%d" % pid) for pid in range(20)), later=[LS, MISSING])
    assert one.run("log", "-f", "-o", "argv") == 0
    assert one.lines == [*(f"old{pid}" for pid in range(10, 20)), "ls -la", "nosuch"]
    one = rig(*(exec_entry(pid, b"old") for pid in range(20)), later=[LS])
    assert one.run("log", "-f", "-n", "0", "-o", "argv") == 0
    assert one.lines == ["ls -la"]


def test_sources() -> None:
    one = rig(LS)
    for arguments, source in (
        ((), Source()),
        (("-D", "/x"), Source(directory="/x")),
        (("--namespace", "execs"), Source(namespace="execs")),
    ):
        assert one.run("log", *arguments) == 0
        assert one.journal.sources[-1] == source


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--tree", "-f"), "--tree shows what was, --follow what will be (choose one)"),
        (("--tree", "-r"), "--reverse goes with neither --tree nor --follow (choose one)"),
        (("-f", "-r"), "--reverse goes with neither --tree nor --follow (choose one)"),
        (("--tree", "-o", "cat"), "--tree has no output cat (short, json or json-pretty)"),
        (("--tree", "-o", "ecs"), "--tree has no output ecs (short, json or json-pretty)"),
        (("-D", "/x", "--namespace", "y"), "--directory and --namespace exclude each other"),
    ],
)
def test_what_does_not_go_together(
    arguments: tuple[str, ...], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rig(LS).run("log", *arguments) == 2
    assert capsys.readouterr().err == f"execwatchctl: {line}\n"


def test_nothing_to_show_is_no_failure_unless_nothing_may_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    one = rig()
    assert one.run("log") == 0
    one.journal.may_read = False
    assert one.run("log") == 1
    assert one.run("log", "--tree") == 1
    assert capsys.readouterr().err.count("no system journal here that you may read") == 2


def test_damaged_files_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (("log",), ("log", "--tree"), ("log", "-f"), ("top", "--once")):
        one = rig(LS)
        one.journal.damaged = ["/x\n.journal was not read whole: not a journal file"]
        assert one.run(*arguments) == 0
        named = "execwatchctl: /x\\012.journal was not read whole: not a journal file\n"
        assert capsys.readouterr().err == named


PIPED = """
import sys
from execwatchd.ctl.__main__ import main
from execwatchd.ctl.ports import Tools
from execwatchd.ctl.view.terminal import console
from tests.fakes.ctl import FakeJournal, exec_entry
from contextlib import nullcontext
journal = FakeJournal([exec_entry(pid, b"x" * 100) for pid in range(20000)])
sys.exit(main(["log"], Tools(console(sys.stdout), None, lambda source: nullcontext(journal))))
"""


def test_a_reader_that_has_enough_is_no_error() -> None:
    command = f"{sys.executable} -c '{PIPED}' | head -n 1; exit ${{PIPESTATUS[0]}}"
    root = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    done = subprocess.run(["bash", "-c", command], check=False, capture_output=True, text=True, cwd=root)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1


MAKE = exec_entry(50, b"make", b"-j4", EXEC_ID=b"50-1-1")
ENDED = end_entry(50, "50-1-1", ran=12_300, code=2, at=13)
QUICK = end_entry(51, "51-1-1", ran=5, at=14)
KILLED = end_entry(52, "52-1-1", ran=70_000, code=None, at=15)
BEFORE = "Nov 14 22:13:3{}      {} 4242       make            "


def test_ends_are_in_the_log() -> None:
    one = rig(MAKE, ENDED, QUICK, KILLED)
    one.run("log")
    assert one.lines[1:] == [
        BEFORE.format(3, 50) + "[exit 2, 12.3 s, 45.1 MiB]",
        BEFORE.format(4, 51) + "[exit 0, 5 ms, 45.1 MiB]",
        BEFORE.format(5, 52) + "[SIGKILL, 1 min 10 s, 45.1 MiB]",
    ]
    one.run("log", width=120, colour=True)
    assert "\033[31m[exit 2" in one.lines[1]
    assert "\033[2m[exit 0" in one.lines[2]
    one.run("log", "-o", "argv")
    assert one.lines == ["make -j4"]


def test_what_ran_long() -> None:
    one = rig(MAKE, LS, LOST, ENDED, QUICK, KILLED)
    one.run("log", "--slow", "10s")
    assert one.lines == [
        "Nov 14 22:13:22 -- 12 execs were not recorded",
        BEFORE.format(3, 50) + "[exit 2, 12.3 s, 45.1 MiB] make -j4",
        BEFORE.format(5, 52) + "[SIGKILL, 1 min 10 s, 45.1 MiB]",
    ]
    one.run("log", "--slow", "1min", "-o", "json")
    assert [json.loads(line)["kind"] for line in one.lines] == ["lost", "ended"]
    one.run("log", "--slow", "10s", "-o", "argv")
    assert one.lines[0] == "make -j4"
    one.run("log", "--slow", "0", "-n", "2", "-o", "json")
    assert [json.loads(line)["pid"] for line in one.lines] == [51, 52]


def test_what_failed_or_ended_badly() -> None:
    one = rig(MAKE, LS, MISSING, ENDED, QUICK, KILLED)
    one.run("log", "--failed", "-o", "json")
    found = [json.loads(line) for line in one.lines]
    assert [(shown["kind"], shown["pid"]) for shown in found] == [("failed", 7), ("ended", 50), ("ended", 52)]
    assert found[1]["argv"] == ["make", "-j4"]
    assert (found[1]["exit_code"], found[1]["exit_result"], found[1]["exec_id"]) == (2, "exit-code", "50-1-1")
    assert (found[2]["exit_signal"], found[2]["exit_signal_name"]) == (9, "SIGKILL")
    one.run("log", "--failed", "--slow", "1min", "-o", "json")
    assert [json.loads(line)["pid"] for line in one.lines] == [52]


def test_a_command_is_that_of_our_own_entry_of_the_same_boot() -> None:
    forged = exec_entry(50, b"forged", EXEC_ID=b"50-1-1", sender=b"evil.service")
    other = exec_entry(50, b"other", EXEC_ID=b"50-1-1")
    other = other._replace(fields={**other.fields, "_BOOT_ID": b"0" * 32})
    one = rig(forged, other, MAKE, ENDED)
    one.run("log", "--slow", "10s", "-o", "argv")
    assert one.lines == ["make -j4"]


@pytest.mark.parametrize("text", ["", "10 parsecs", "-1s", "s", "9" * 400])
def test_what_is_no_length_of_time(text: str) -> None:
    assert rig().run("log", f"--slow={text}") == 2


def test_a_tree_needs_all() -> None:
    assert rig().run("log", "--tree", "--slow", "1s") == 2


FAILURES_OFF = (
    "execwatchctl: no failed execution is recorded:"
    " failures is off (set failures = true in execwatchd.toml)\n"
)
EXITS_OFF = (
    "execwatchctl: no end of a process is recorded: exits is off (set exits = true in execwatchd.toml)\n"
)
END = end_entry(7, "7-1-1", ran=50)


@pytest.mark.parametrize(
    ("entries", "arguments", "printed"),
    [
        ((LS,), ("--failed",), FAILURES_OFF + EXITS_OFF),
        ((), ("--failed",), FAILURES_OFF + EXITS_OFF),
        ((LS, LOST), ("--failed",), FAILURES_OFF + EXITS_OFF),  # a loss is shown, and is no answer
        ((LS, END), ("--failed",), FAILURES_OFF),
        ((LS, MISSING), ("--failed",), ""),
        ((LS, MISSING), ("--failed", "--user", "77"), EXITS_OFF),
        ((LS,), ("--slow", "10s"), EXITS_OFF),
        ((LS,), ("--slow", "0s"), EXITS_OFF),
        ((LS, END), ("--slow", "10s"), ""),
        ((LS,), ("--user", "77"), ""),
        ((), (), ""),
    ],
)
def test_which_option_is_off(
    entries: tuple[Entry, ...],
    arguments: tuple[str, ...],
    printed: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert rig(*entries).run("log", *arguments) == 0
    assert capsys.readouterr().err == printed


def test_an_option_that_is_on_is_not_called_off(capsys: pytest.CaptureFixture[str]) -> None:
    hooks = {"Attached": ["sched_process_exec", "sched_process_exit"]}
    one = Rig(FakeManager(hooks), FakeJournal([LS]))
    assert one.run("log", "--failed") == 0
    assert capsys.readouterr().err == FAILURES_OFF
    assert one.run("log", "--failed", "--directory", "/collected") == 0  # of another host
    assert capsys.readouterr().err == FAILURES_OFF + EXITS_OFF
    one.manager.refusal = Failure("execwatchd does not run")
    assert one.run("log", "--slow", "1s") == 0
    assert capsys.readouterr().err == EXITS_OFF


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("root",), "root (did you mean --user root?)"),
        (("4711",), "4711 (did you mean --user 4711?)"),
        (("nobody-of-this-name",), "nobody-of-this-name"
         " (did you mean --user nobody-of-this-name or --comm nobody-of-this-name?)"),
        (("nginx.service", "-f"), "nginx.service (did you mean --unit nginx.service?)"),
        (("root", "x"), "root x (did you mean --user root?)"),
        (("--nope", "root"), "--nope root (see execwatchctl --help)"),
    ],
)  # fmt: skip
def test_a_word_without_its_option(
    arguments: tuple[str, ...], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rig(LS).run("log", *arguments) == 2
    assert capsys.readouterr().err == f"execwatchctl: unrecognized arguments: {hint}\n"


def test_other_commands_have_no_filters(capsys: pytest.CaptureFixture[str]) -> None:
    assert rig(LS).run("status", "root") == 2
    assert capsys.readouterr().err == "execwatchctl: unrecognized arguments: root (see execwatchctl --help)\n"

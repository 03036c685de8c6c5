# SPDX-License-Identifier: GPL-2.0-or-later
"""A collector's journal as systemd-journal-remote writes it, read by the tool in this process."""

import io
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from execwatchd.ctl.__main__ import main
from execwatchd.ctl.journal.systemd_journal import open_journal
from execwatchd.ctl.ports import Query, Source, Tools
from execwatchd.ctl.view.terminal import Console
from execwatchd.shared.message_ids import MessageId
from tests.fakes.ctl import EPOCH, FakeManager
from tests.system.harness import wait_until

REMOTE = "/usr/lib/systemd/systemd-journal-remote"
Write = Callable[..., Path]
ONE, TWO = "one", "two"


def sent(host: str, second: int, kind: MessageId = MessageId.EXEC, **fields: object) -> dict[str, str]:
    """An exec of this host, in this second after EPOCH, as its journal has it."""
    own = f"{1 if host == ONE else 2:032x}"
    named = {f"EXECWATCH_{name}": str(value) for name, value in fields.items() if name[0] != "_"}
    return {
        "__REALTIME_TIMESTAMP": str(EPOCH + second * 1_000_000),
        "__MONOTONIC_TIMESTAMP": str((second + 1) * 1_000_000),
        "_BOOT_ID": own,
        "_MACHINE_ID": own,
        "_HOSTNAME": host,
        "_SYSTEMD_UNIT": "execwatchd.service",
        "SYSLOG_IDENTIFIER": "execwatchd",
        "MESSAGE_ID": kind.value,
        "MESSAGE": f"{second}",
        "EXECWATCH_PID": str(second + 100),
        "EXECWATCH_PPID": "1",
        "EXECWATCH_UID": "0",
        "EXECWATCH_TIMESTAMP": str((second + 1) * 1_000_000_000),
        "EXECWATCH_CMDLINE": f"{host}-{second}",
        **named,
        **{name: str(value) for name, value in fields.items() if name[0] == "_"},
    }


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(entries: Iterable[Mapping[str, str]], name: str = "fleet") -> Path:
        """A directory with the journal of what arrived in this order."""
        text = "\n".join("".join(f"{name}={value}\n" for name, value in one.items()) for one in entries)
        (tmp_path / name).parent.mkdir(exist_ok=True)
        command = (REMOTE, "-o", tmp_path / f"{name}.journal", "-")
        subprocess.run(command, input=text + "\n", text=True, check=True, capture_output=True)
        return tmp_path

    return write


def run(*arguments: str | Path) -> list[str]:
    """The lines that the command prints."""
    out = io.StringIO()
    tools = Tools(Console(out, None, colour=False), FakeManager, open_journal)  # type: ignore[arg-type]
    assert main([str(one) for one in arguments], tools) == 0
    return out.getvalue().splitlines()


def shown(directory: Path, *arguments: str) -> list[dict[str, Any]]:
    """What the log shows."""
    return [json.loads(line) for line in run("log", "--directory", directory, "--json", *arguments)]


def at(second: int) -> str:
    return f"@{EPOCH // 1_000_000 + second}"


@pytest.mark.parametrize(
    "fields",
    [
        {"_SOURCE_REALTIME_TIMESTAMP": "9" * 400},
        {"TIMESTAMP": "9" * 5000},
        {"UID": "9" * 30},
        {"kind": MessageId.EXITED, "RUN_TIME_USEC": "9" * 400, "EXIT_CODE": 1},
        {"kind": MessageId.EXITED, "PEAK_RSS_KB": "9" * 400, "EXIT_CODE": 1},
    ],
    ids=lambda fields: next(name for name in fields if name != "kind"),
)
def test_no_number_of_a_sender_ends_the_reading(write: Write, fields: dict[str, Any]) -> None:
    directory = write([sent(ONE, 1), sent(ONE, 2, **fields), sent(ONE, 3)])
    assert [one["cmdline"] for one in shown(directory)] == ["one-1", "one-2", "one-3"]
    assert len(run("log", "--directory", directory)) == 3
    assert len(run("log", "--directory", directory, "--slow", "1s")) <= 1
    assert run("top", "--once", "--directory", directory, "--since", at(0))


@pytest.fixture
def after_an_outage(write: Write) -> Path:
    """Ten minutes in which host two was heard of each second, then those that host one had kept back."""
    return write([sent(host, second) for host in (TWO, ONE) for second in range(600)])


@pytest.mark.parametrize(
    ("since", "until", "each"),
    [(None, 300, 301), (500, None, 100), (300, None, 300), (200, 400, 201), (600, None, 0), (None, -1, 0)],
)
def test_a_time_is_the_hosts_own_however_late_it_came(
    after_an_outage: Path, since: int | None, until: int | None, each: int
) -> None:
    times = [] if since is None else ["--since", at(since)]
    times += [] if until is None else ["--until", at(until)]
    found = shown(after_an_outage, *times)
    assert [one["host"] for one in found] == [TWO] * each + [ONE] * each
    first = max(since or 0, 0)
    assert [one["cmdline"] for one in found[each:]] == [f"one-{first + i}" for i in range(each)]
    assert len(shown(after_an_outage, *times, "--host", ONE)) == each


def test_a_snapshot_counts_late_ones_too(after_an_outage: Path) -> None:
    snapshot = ("top", "--once", "--json", "--directory", after_an_outage, "--since", at(300))
    assert json.loads(run(*snapshot)[0])["execs"] == 600


def test_a_tree_has_all_hosts(after_an_outage: Path) -> None:
    assert len(run("log", "--directory", after_an_outage, "--tree", "--until", at(300))) == 602


def test_the_last_ones_are_those_that_came_last(after_an_outage: Path) -> None:
    def last(*arguments: str) -> list[str]:
        return [one["cmdline"] for one in shown(after_an_outage, *arguments)]

    assert last("-n", "2") == ["one-598", "one-599"]
    assert last("-n", "2", "--host", TWO) == ["two-598", "two-599"]
    assert last("-n", "2", "--until", at(300)) == ["one-299", "one-300"]
    assert last("-n", "102", "--since", at(499))[:3] == ["two-599", "one-499", "one-500"]
    assert last("-n", "5", "--since", at(598), "--until", at(598)) == ["two-598", "one-598"]
    assert last("-n", "0", "--since", at(598)) == []


def test_a_request_that_was_repeated_and_broken_off_again_hides_nothing(write: Write) -> None:
    """The one host's journal steps back and ends there: a bisection would find nothing after second 20."""
    directory = write([sent(ONE, second) for second in (*range(30), *range(10))])
    assert [one["cmdline"] for one in shown(directory, "--since", at(20))] == [
        f"one-{i}" for i in range(20, 30)
    ]


def opened(directory: Path) -> set[str]:
    """Files of this directory that are open here."""
    links = [Path(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")]
    found = [os.readlink(link) for link in links if link.is_symlink()]
    return {os.path.relpath(path, directory) for path in found if path.startswith(f"{directory}/")}


def test_files_that_got_nothing_since_are_not_read(write: Write) -> None:
    machine = f"{1:032x}.execwatchd/system"
    write([sent(ONE, 1)], machine)
    directory = write([sent(ONE, 2)])
    files = {f"{machine}.journal", "fleet.journal"}
    now, day = time.time_ns() // 1000, 86_400_000_000
    for since, expected in ((now - day, files), (now + day // 2, files), (now + 2 * day, {"fleet.journal"})):
        with open_journal(Source(str(directory))) as journal:
            assert list(journal.polled(Query(since=since))) == []
            assert opened(directory) & files == expected
    assert [one["cmdline"] for one in shown(directory, "--since", at(0))] == ["one-1", "one-2"]


def test_a_file_that_is_none_hides_no_other(write: Write) -> None:
    directory = write([sent(ONE, 1)])
    (directory / "empty.journal").touch()
    assert [one["cmdline"] for one in shown(directory, "--since", at(0))] == ["one-1"]


def test_a_live_reader_that_skips_goes_on_with_what_arrives(write: Write) -> None:
    """However late: a search for the present would pass over it."""
    directory = write([sent(TWO, second) for second in range(10)])
    with open_journal(Source(str(directory))) as journal:
        entries = journal.polled(Query(follow=True))
        assert next(entries) is not None
        journal.skip(EPOCH + 20_000_000)
        assert next(entries) is None
        write([sent(ONE, second) for second in range(3)])
        arrived = [wait_until(lambda: next(entries), "what arrived") for _ in range(3)]
    assert [one.fields["MESSAGE"] for one in arrived] == [b"0", b"1", b"2"]


def test_what_is_looked_up_may_be_in_a_file_that_came_later(write: Write) -> None:
    """As the exec of an end, after the journal was rotated."""

    def found(second: int) -> bool:
        return journal.find([(b"EXECWATCH_CMDLINE=one-%d" % second,)]) is not None

    directory = write([sent(ONE, 1)])
    with open_journal(Source(str(directory))) as journal:
        assert (found(1), found(2)) == (True, False)
        write([sent(ONE, 2)], "rotated")
        assert (found(1), found(2)) == (True, True)

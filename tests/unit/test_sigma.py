# SPDX-License-Identifier: GPL-2.0-or-later
"""contrib/sigma: rules match what they are for in a table of `execwatchctl log -o json`, and nothing else."""

import json
import re
import runpy
import sqlite3
import subprocess
import sys
from pathlib import Path

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
from tests.fakes.sigma_rules import CASES, ran

REPOSITORY = Path(__file__).resolve().parents[2]
SIGMA = REPOSITORY / "contrib/sigma"
load = runpy.run_path(str(SIGMA / "load.py"))
PIPELINE = (SIGMA / "execwatchd.yml").read_text()
STANDARD = json.loads((REPOSITORY / "tests/standards/sigma.json").read_text())
LOST = entry(MessageId.EVENTS_LOST, text=b"12 execs were not recorded", LOST=12)
BUILT = {"CommandLine": "command_line", "User": "user"}  # by load.py, from argv and uid

pytestmark = pytest.mark.usefixtures("every_field", "utc")


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
def test_a_rule_matches_what_it_is_for(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    database = table(tmp_path / "db", *case.matches, *case.others)
    sql = query(rule(case.detection)).replace("*", "rowid, *", 1)
    rows = database.execute(sql).fetchall()
    database.close()
    lines = [row["command_line"] for row in rows]
    assert [row["rowid"] for row in rows] == list(range(1, len(case.matches) + 1)), lines


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


def test_no_value_controls_the_terminal(tmp_path: Path) -> None:
    database = table(
        tmp_path / "db", ran("echo", b"\x1b[2J\t\xc2\x9b\xe2\x80\xae", PARENT_CMDLINE=rb"a $'\033[2J\012'")
    )
    (row,) = database.execute("SELECT command_line, parent_cmdline FROM execs").fetchall()
    assert tuple(row) == ("echo \\x1b[2J\t\\x9b\\u202e", "a \\033[2J\n")
    database.close()


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "[]",
        '{"kind": "exec", "argv": 5}',
        '{"kind": "x", "pid": 99999999999999999999}',
        '{"pid": 1}',
        '{"kind": "exec", "x\\"y": 1}',
    ],
)
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

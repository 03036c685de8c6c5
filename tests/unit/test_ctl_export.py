# SPDX-License-Identifier: GPL-2.0-or-later
"""`execwatchctl log -o ecs` and `-o otel`, compared with the published names and types."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from execwatchd.ctl.export.fields import ECS_VERSION, FIELDS, OTEL_VERSION, ecs_names, otel_names
from execwatchd.ctl.ports import Entry
from execwatchd.shared.message_ids import MessageId
from tests.fakes.ctl import BOOT, FakeJournal, Rig, end_entry, entry, exec_entry, failed_entry

STANDARDS = Path(__file__).resolve().parents[1] / "standards"
ECS = json.loads((STANDARDS / "ecs.json").read_text())
OTEL = json.loads((STANDARDS / "otel.json").read_text())
MACHINE = "fedcba9876543210fedcba9876543210"
ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z").fullmatch
FORMS = pytest.mark.parametrize("form", ["ecs", "otel"])

# Every fact that an exec may have.
FULL: dict[str, Any] = {
    "EUID": 0,
    "GID": 0,
    "LOGINUID": 1000,
    "SESSION": 3,
    "TTY": b"pts/0",
    "EXEC_ID": b"7-11-2",
    "EXE": b"/usr/bin/ls",
    "PARENT_EXE": b"/usr/bin/bash",
    "PARENT_CMDLINE": b"bash -c 'ls -la'",
    "INTERP": b"/usr/bin/x",
    "ARGV_BYTES": 9000,
    "TRUNCATED": b"cmdline",
    "REDACTED": 1,
    "BY_KERNEL": 1,
    "ANCESTORS": b"12:sshd 1:systemd",
    "CWD": b"/root",
    "CGROUP": b"/system.slice/a.service",
    "UNIT": b"a.service",
    "USER_UNIT": b"b.service",
    "CONTAINER": b"0123456789ab",
    "PIDNS": 4026531836,
    "MNTNS": 4026531841,
    "NSPID": 2,
    "UID": 0,
}
EXEC = exec_entry(7, b"ls", b"-la", b"a b", **FULL)
FAILED = failed_entry(8, b"/tmp/nosuch", at=1)
ENDED = end_entry(7, "7-11-2", 12, code=2, at=2, UID=0, TIMESTAMP=2_000_000_000)
KILLED = end_entry(9, "9-1-1", 5, code=None, at=3)
LOST = entry(MessageId.EVENTS_LOST, at=4, text=b"12 execs were not recorded", LOST=12)
STORM: dict[str, Any] = {"UID": 5, "LIMIT": 200, "SUPPRESSED": 7, "SUPPRESSED_TOTAL": 70}
SUPPRESSED = entry(MessageId.STORM_STARTED, at=5, text=b"UID 5: more than 200", TIMESTAMP=1, **STORM)
RAW = exec_entry(7, b"ls", b"\xff\\", COMM=b"\xfe", FILENAME=b"/\xff", CWD=b"/\x80", TTY=b"\xf0")
ALL = EXEC, FAILED, ENDED, KILLED, LOST, SUPPRESSED


pytestmark = pytest.mark.usefixtures("every_field")


def shown(form: str, *entries: Entry, options: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    host = {"_HOSTNAME": b"web1", "_MACHINE_ID": MACHINE.encode()}
    stored = [one._replace(fields={**one.fields, **host}) for one in entries]
    rig = Rig(journal=FakeJournal(stored))
    assert rig.run("log", "-o", form, *options) == 0
    return [json.loads(line) for line in rig.lines]


def flat(document: dict[str, Any], above: str = "") -> dict[str, Any]:
    """The leaves of nested objects by their dotted names."""
    leaves: dict[str, Any] = {}
    for name, value in document.items():
        leaves |= flat(value, f"{above}{name}.") if isinstance(value, dict) else {above + name: value}
    return leaves


def attributes(record: dict[str, Any]) -> dict[str, Any]:
    return {**record["Attributes"], **record["Resource"]}


def is_of(kind: str, value: Any) -> bool:
    """Whether a value in JSON is of a type of ECS or of OpenTelemetry."""
    if kind.endswith("[]"):
        return isinstance(value, list) and all(is_of(kind[:-2], each) for each in value)
    if kind in {"long", "int"}:
        return type(value) is int
    if kind == "date":
        return isinstance(value, str) and ISO(value) is not None
    return kind in {"keyword", "wildcard", "match_only_text", "string"} and isinstance(value, str)


def test_the_versions_are_those_of_the_lists() -> None:
    assert (ECS["version"], OTEL["version"]) == (ECS_VERSION, OTEL_VERSION)


def test_the_names_of_the_table_are_published() -> None:
    assert {name for field in FIELDS.values() for name in field.ecs.split()} <= ECS["fields"].keys()
    assert {name for field in FIELDS.values() for name in field.otel.split()} <= OTEL["attributes"].keys()


def test_every_name_is_explained() -> None:
    page = (STANDARDS.parents[1] / "docs/fields.md").read_text()
    names = {name for document in shown("ecs", *ALL, RAW) for name in flat(document)}
    names |= {name for record in shown("otel", *ALL, RAW) for name in (*record, *attributes(record))}
    assert {name for name in names if f"`{name}`" not in page} == {"Attributes", "Resource"}


def test_ecs_has_published_names_and_types_or_our_own() -> None:
    for document in map(flat, shown("ecs", *ALL)):
        for name, value in document.items():
            if not name.startswith("execwatchd."):
                assert is_of(ECS["fields"][name], value), (name, value)


def test_otel_has_published_names_and_types_or_our_own() -> None:
    for record in shown("otel", *ALL):
        assert record.keys() <= set(OTEL["log_record"])
        for name, value in attributes(record).items():
            if not name.startswith("execwatchd."):
                assert is_of(OTEL["attributes"][name], value), (name, value)


@FORMS
def test_every_fact_is_in_every_form(form: str) -> None:
    names = ecs_names if form == "ecs" else otel_names
    for one, other in zip(shown("json", *ALL), shown(form, *ALL), strict=True):
        have = flat(other) if form == "ecs" else attributes(other)
        for fact in one.keys() - {"kind", "time", "host", "text"}:
            field = "NEW_COMM" if one["kind"] == "ended" and fact == "comm" else fact.upper()
            assert set(names(field)) <= have.keys(), fact


@FORMS
def test_nothing_is_an_array_of_numbers(form: str) -> None:
    for document in shown(form, *ALL, RAW):
        for value in (flat(document) if form == "ecs" else attributes(document)).values():
            assert not isinstance(value, list) or all(isinstance(each, str) for each in value)


def test_an_exec_in_ecs() -> None:
    (document,) = shown("ecs", exec_entry(7, b"ls", b"-la", b"a b", UID=0, text=b"7 0 bash Hello World: ls"))
    assert document == {
        "@timestamp": "2023-11-14T22:13:20.000000Z",
        "ecs": {"version": ECS_VERSION},
        "event": {
            "kind": "event",
            "category": ["process"],
            "type": ["start"],
            "action": "exec",
            "outcome": "success",
            "module": "execwatchd",
            "dataset": "execwatchd.events",
            "created": "2023-11-14T22:13:20.000000Z",
        },
        "host": {
            "id": MACHINE,
            "name": "web1",
            "hostname": "web1",
            "boot": {"id": "01234567-89ab-cdef-0123-456789abcdef"},
        },
        "log": {"level": "info"},
        "message": "7 0 bash Hello World: ls",
        "process": {
            "pid": 7,
            "name": "ls",
            "executable": "/bin/ls",
            "real_user": {"id": "0", "name": "root"},
            "args": ["ls", "-la", "a b"],
            "args_count": 3,
            "command_line": "ls -la a b",
            "parent": {"pid": 1, "name": "bash"},
        },
        "user": {"id": "0", "name": "root"},
        "execwatchd": {
            "kind": "exec",
            "comm": "bash",
            "filename": "/bin/ls",
            "cmdline": "ls -la a b",
            "message": "Hello World",
            "result": 0,
            "timestamp": 0,
        },
    }


def test_an_exec_in_otel() -> None:
    (record,) = shown("otel", exec_entry(7, b"ls", b"-la", UID=0, EUID=0, text=b"7 0 bash: ls"))
    assert record == {
        "Timestamp": "1700000000000000000",
        "ObservedTimestamp": "1700000000000000000",
        "SeverityText": "info",
        "SeverityNumber": 9,
        "EventName": "execwatchd.exec",
        "Body": "7 0 bash: ls",
        "Resource": {"service.name": "execwatchd", "host.name": "web1", "host.id": MACHINE},
        "InstrumentationScope": {"Name": "execwatchd"},
        "Attributes": {
            "process.pid": 7,
            "process.parent_pid": 1,
            "process.command_args": ["ls", "-la"],
            "process.command": "ls",
            "process.args_count": 2,
            "process.executable.path": "/bin/ls",
            "process.executable.name": "ls",
            "process.real_user.id": 0,
            "process.real_user.name": "root",
            "user.id": "0",
            "process.user.id": 0,
            "process.user.name": "root",
            "user.name": "root",
            "execwatchd.boot_id": BOOT,
            "execwatchd.comm": "bash",
            "execwatchd.new_comm": "ls",
            "execwatchd.parent_comm": "bash",
            "execwatchd.filename": "/bin/ls",
            "execwatchd.cmdline": "ls -la",
            "execwatchd.message": "Hello World",
            "execwatchd.result": 0,
            "execwatchd.timestamp": 0,
        },
    }


def test_how_each_kind_is_classified() -> None:
    documents = [one["event"] for one in shown("ecs", *ALL)]
    assert [(one["type"][0], one["action"], one.get("outcome")) for one in documents] == [
        ("start", "exec", "success"),
        ("start", "exec", "failure"),
        ("end", "end", "failure"),
        ("end", "end", "failure"),
        ("info", "execs-lost", None),
        ("info", "execs-suppressed", None),
    ]
    for name, allowed in ECS["values"].items():
        for one in documents:
            value = one.get(name.removeprefix("event."), [])
            assert set([value] if isinstance(value, str) else value) <= set(allowed)
    assert {each for one in documents for each in one["type"]} <= set(ECS["types_of_process"])
    records = [(one["EventName"], one["SeverityNumber"]) for one in shown("otel", *ALL)]
    assert records == [
        ("execwatchd.exec", 9),
        ("execwatchd.failed", 9),
        ("execwatchd.ended", 9),
        ("execwatchd.ended", 9),
        ("execwatchd.lost", 13),
        ("execwatchd.suppressed", 13),
    ]


def test_an_exec_and_its_end_have_the_same_process() -> None:
    begun, ended = shown("ecs", EXEC, ENDED)
    assert begun["process"]["entity_id"] == ended["process"]["entity_id"] == f"{BOOT}-7-11"
    assert (ended["process"]["name"], ended["process"]["exit_code"]) == ("make", 2)
    assert ended["event"]["duration"] == 12_000_000
    assert ended["process"]["end"] == ended["@timestamp"] == "2023-11-14T22:13:22.000000Z"


def test_the_program_is_the_file_that_runs_or_else_what_is_nearest_to_it() -> None:
    execs = [
        exec_entry(1, b"sh", EXE=b"/usr/bin/dash", INTERP=b"/bin/sh", FILENAME=b"./x"),
        exec_entry(1, b"sh", INTERP=b"/bin/sh", FILENAME=b"./x"),
        exec_entry(1, b"sh", FILENAME=b"./x"),
    ]
    assert [one["process"]["executable"] for one in shown("ecs", *execs)] == [
        "/usr/bin/dash",
        "/bin/sh",
        "./x",
    ]


@FORMS
def test_what_is_not_utf8_can_be_had_back(form: str) -> None:
    raws = [b"a\\x", b"\xff\\xff\n", "é".encode()]
    (document,) = shown(form, exec_entry(7, *raws, CWD=b"/a\\b", COMM=b"\xed\xa0\x80"))
    values = flat(document) if form == "ecs" else attributes(document)
    name = "process.args" if form == "ecs" else "process.command_args"
    assert values[name] == [r"a\\x", "\\xff\\\\xff\n", "é"]
    assert [unescaped(text) for text in values[name]] == raws
    assert values["execwatchd.comm"] == r"\xed\xa0\x80"
    assert {name, "execwatchd.comm"} <= set(values["execwatchd.escaped"])
    assert values["process.working_directory"] == r"/a\b"
    assert "process.working_directory" not in values["execwatchd.escaped"]


def unescaped(text: str) -> bytes:
    parts = re.split(r"(\\\\|\\x[0-9a-f]{2})", text)
    return b"".join(
        b"\\" if p == r"\\" else bytes.fromhex(p[2:]) if p[:2] == r"\x" else p.encode() for p in parts
    )


@FORMS
def test_names_of_users_are_those_of_this_host_only(form: str) -> None:
    for options, name in (((), "root"), (("-D", "/collected"), None)):
        (document,) = shown(form, exec_entry(1, b"ls", UID=0, GID=0), options=options)
        values = flat(document) if form == "ecs" else attributes(document)
        assert values.get("user.name") == values.get("process.real_user.name") == name
        assert form != "ecs" or values.get("group.name") == name


@FORMS
def test_what_an_entry_leaves_out_is_there(form: str) -> None:
    host = entry(MessageId.ATTACHED, PIDNS=4026531836, MNTNS=4026531841)
    (document,) = shown(form, host, exec_entry(1, b"ls"))
    values = flat(document) if form == "ecs" else attributes(document)
    names = "execwatchd.pidns", "execwatchd.mntns", "execwatchd.result", "process.args_count"
    assert [values[name] for name in names] == [4026531836, 4026531841, 0, 1]


@FORMS
def test_following_prints_each_as_it_comes(form: str) -> None:
    rig = Rig(journal=FakeJournal([EXEC], later=[FAILED, LOST]))
    assert rig.run("log", "-f", "-o", form) == 0
    assert len([json.loads(line) for line in rig.lines]) == 3


@FORMS
def test_an_entry_with_anything_in_it_is_a_line_of_ascii(form: str) -> None:
    forged = (
        entry(kind, PID=b"x", EXEC_ID=b"\xff-1-1", HOST=b"\xff", text=b"\xff\x1b\n", ARGV=b"[\xff")
        for kind in MessageId
    )
    for one in forged:
        rig = Rig(journal=FakeJournal([one._replace(fields={**one.fields, "_HOSTNAME": b"\xff"})]))
        assert rig.run("log", "-o", form) == 0
        assert rig.out.isascii()
        assert rig.out.count("\n") <= 1

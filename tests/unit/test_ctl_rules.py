# SPDX-License-Identifier: GPL-2.0-or-later
import json
import pwd

import pytest

from execwatchd.ctl.ports import Row
from execwatchd.shared.errors import Failure
from tests.fakes.ctl import FakeManager, Rig

ROOT = pwd.getpwuid(0).pw_name
WILD = "日本 \u202e"
ROWS = (
    Row(0, "Hi root", "default", "/etc/execwatchd/execwatchd.toml"),
    Row(4_000_000_000, WILD, "ignore", "state"),
)


@pytest.mark.parametrize(
    ("arguments", "call"),
    [
        (("set", "501", "Hi user 501!"), ("SetMessage", 501, "Hi user 501!")),
        (("set", ROOT, ""), ("SetMessage", 0, "")),
        (("set", "4294967294", "--", "-x"), ("SetMessage", 4294967294, "-x")),
        (("unset", ROOT), ("RemoveMessage", 0)),
        (("action", "501", "ignore"), ("SetAction", 501, "ignore")),
        (("action", "501", "default"), ("SetAction", 501, "default")),
        (("limit", "501", "200/s"), ("SetLimit", 501, "200/s")),
        (("limit", ROOT, "default"), ("SetLimit", 0, "default")),
        (("default", "--message", "Hallo"), ("Set", "DefaultMessage", "Hallo")),
        (("default", "--message="), ("Set", "DefaultMessage", "")),
        (("default", "--action", "ignore"), ("Set", "DefaultAction", "ignore")),
    ],
)
def test_a_change_is_one_call_and_silent(arguments: tuple[str, ...], call: tuple[object, ...]) -> None:
    rig = Rig()
    assert rig.run(*arguments) == 0
    assert (rig.manager.calls, rig.out) == ([call], "")


def test_both_defaults_at_once() -> None:
    rig = Rig()
    assert rig.run("default", "--message", "a", "--action", "record") == 0
    assert rig.manager.calls == [("Set", "DefaultMessage", "a"), ("Set", "DefaultAction", "record")]


def test_default_shows_both() -> None:
    rig = Rig(FakeManager({"DefaultMessage": "Hello\x1bWorld"}))
    assert rig.run("default") == 0
    assert rig.lines == ["message: Hello\\033World", "action: record"]
    assert rig.run("default", "--json") == 0
    assert json.loads(rig.out) == {"message": "Hello\x1bWorld", "action": "record"}
    assert rig.manager.calls == []


def test_list_aligns_wide_characters_and_escapes() -> None:
    rig = Rig(FakeManager(rows=ROWS, limits={4_000_000_000: "200/s"}))
    assert rig.run("list") == 0
    assert rig.lines == [
        "UID        USER     MESSAGE           ACTION  LIMIT ORIGIN",
        "0          root     Hi root           default off   /etc/execwatchd/execwatchd.toml",
        "4000000000 -        日本 \\342\\200\\256 ignore  200/s state",
        "-          (others) Hello World       record  off   default",
    ]


def test_list_as_json() -> None:
    rig = Rig(FakeManager({"DefaultLimit": "9/s"}, rows=ROWS, limits={0: "off"}))
    assert rig.run("list", "--json") == 0
    assert json.loads(rig.out) == {
        "users": [
            {
                "uid": 0,
                "user": ROOT,
                "message": "Hi root",
                "action": "default",
                "limit": "off",
                "origin": ROWS[0].origin,
            },
            {
                "uid": 4_000_000_000,
                "user": None,
                "message": "日本 \u202e",
                "action": "ignore",
                "limit": "9/s",
                "origin": "state",
            },
        ],
        "default": {"message": "Hello World", "action": "record", "limit": "9/s"},
    }
    assert rig.out.isascii()


@pytest.mark.parametrize(
    ("arguments", "status", "line"),
    [
        (("set", "no-such-user", "x"), 1, "no such user: no-such-user (a name or a UID is wanted)"),
        (("set", "4294967295", "x"), 1, "no such UID: 4294967295 (UIDs are 0 to 4294967294)"),
        (("unset", "9" * 5000), 1, f"no such UID: {'9' * 5000} (UIDs are 0 to 4294967294)"),
        (("unset", "a\nb\x1b"), 1, "no such user: a\\012b\\033 (a name or a UID is wanted)"),
        (("unset", "\0"), 1, "no such user: \\000 (a name or a UID is wanted)"),
        (("set", "0", "\udcff"), 1, "not UTF-8: \\377"),
        (("default", "--message", "\udcff"), 1, "not UTF-8: \\377"),
        (("action", "0", "drop"), 2, "argument action: invalid choice: 'drop'"),
        (("default", "--action", "default"), 2, "argument --action: invalid choice: 'default'"),
        (("set", "0"), 2, "the following arguments are required: MESSAGE (see execwatchctl set --help)"),
        ((), 2, "the following arguments are required: COMMAND (see execwatchctl --help)"),
        (("frob",), 2, "argument COMMAND: invalid choice: 'frob'"),
        (("status", "--interval", "x"), 2, "argument --interval: not a number of seconds: x"),
        (("status", "--max-lost", "-1"), 2, "argument --max-lost: not a number: -1"),
        (("log", "-n", "\u0663"), 2, "argument -n/--lines: not a number: \u0663"),
        (("log", "--since", "soon"), 2, "not a point in time: soon"),
    ],
)
def test_bad_input_is_one_line_and_calls_nothing(
    arguments: tuple[str, ...], status: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rig = Rig()
    assert rig.run(*arguments) == status
    error = capsys.readouterr().err
    assert error.startswith(f"execwatchctl: {line}")
    assert error.count("\n") == 1
    assert (rig.manager.calls, rig.out) == ([], "")


@pytest.mark.parametrize(
    "arguments",
    [
        ("set", "0", "x"),
        ("unset", "0"),
        ("list",),
        ("action", "0", "record"),
        ("limit", "0", "x"),
        ("default",),
        ("status",),
    ],
)
def test_the_daemons_refusal_is_shown_in_its_words(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    rig = Rig()
    rig.manager.refusal = Failure("message of 64 bytes:\n at most 63", code=7)
    assert rig.run(*arguments) == 7
    assert capsys.readouterr().err == "execwatchctl: message of 64 bytes:\\012 at most 63\n"


def test_an_interrupt_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    rig = Rig()
    rig.manager.refusal = KeyboardInterrupt()
    assert rig.run("list") == 130
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("arguments", [("--help",), ("log", "--help"), ("--version",)])
def test_help_and_version_go_to_standard_output(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert Rig().run(*arguments) == 0
    captured = capsys.readouterr()
    assert captured.out
    assert not captured.err

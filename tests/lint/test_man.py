# SPDX-License-Identifier: GPL-2.0-or-later
"""The manual pages render without a warning, and say neither less nor more than the code."""

import json
import re
import subprocess
from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from execwatchd import arguments
from execwatchd.ctl import cli
from execwatchd.ctl.journal.events import ARGUMENTS, NUMBERS, TEXTS
from execwatchd.kernel import layout
from execwatchd.policy.settings import Settings
from execwatchd.stream import end_entry
from execwatchd.stream.decode import Decoder
from execwatchd.stream.exec_entry import encode
from execwatchd.stream.parents import parent_field
from tests.fakes.records import pack, values

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = sorted((REPOSITORY / "docs/man").glob("*.[1-8]"))


def source(name: str) -> str:
    return (REPOSITORY / "docs/man" / name).read_text()


def section(name: str, title: str) -> str:
    """What a page has below one of its headings."""
    return source(name).partition(f"\n.Sh {title}\n")[2].partition("\n.Sh ")[0]


def test_every_page_of_the_project_is_there() -> None:
    assert [page.name for page in PAGES] == [
        "execwatchctl.1",
        "execwatchd.8",
        "execwatchd.redact.5",
        "execwatchd.toml.5",
        "org.execwatch1.5",
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.name))
def test_no_warning(page: Path) -> None:
    done = subprocess.run(
        ["groff", "-mandoc", "-Tutf8", "-ww", "-z", page], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert all(len(line) <= 110 for line in page.read_text().splitlines())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.name))
def test_mandoc_reports_nothing(page: Path) -> None:
    """Except which pages this host lacks: the next test has ours, and packages of others have the rest."""
    command = ["mandoc", "-Tlint", "-Wall", str(page)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if "STYLE: referenced manual not found" not in line]
    assert lines == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.name))
def test_references_to_our_own_pages_are_right(page: Path) -> None:
    ours = {tuple(path.name.rsplit(".", 1)) for path in PAGES}
    names = {name for name, _ in ours}
    references = {(name, number) for name, number in re.findall(r"^\.Xr (\S+) (\d)", page.read_text(), re.M)}
    assert {reference for reference in references if reference[0] in names} <= ours


def parsers(parser: ArgumentParser) -> Iterator[ArgumentParser]:
    """A parser and those of its commands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, _SubParsersAction):
            yield from action.choices.values()


def options(parser: ArgumentParser) -> set[str]:
    return {option for one in parsers(parser) for option in one._option_string_actions}


def documented_options(text: str) -> set[str]:
    return {"-" + name.replace("\\-", "-") for name in re.findall(r"\bFl (\\?-?[\w-]+)", text)}


@pytest.mark.parametrize(
    ("page", "parser"), [("execwatchctl.1", cli.parser()), ("execwatchd.8", arguments.parser())]
)
def test_options(page: str, parser: ArgumentParser) -> None:
    assert documented_options(source(page)) == options(parser)


def items(page: str, title: str) -> list[str]:
    return re.findall(r"^\.It (.*)$", section(page, title), re.MULTILINE)


def test_every_command_with_its_own_options() -> None:
    (_, *commands) = parsers(cli.parser())
    names = {command.prog.split()[1]: command for command in commands}
    found = re.split(r"^\.It Cm (\w+).*$", section("execwatchctl.1", "COMMANDS"), flags=re.MULTILINE)[1:]
    texts = dict(zip(found[::2], found[1::2], strict=True))
    assert texts.keys() == names.keys()
    texts["log"] = section("execwatchctl.1", "THE LOG")
    texts["top"] = section("execwatchctl.1", "THE LIVE SCREEN")
    texts["default"] = texts["default"].partition(".It Cm log")[0]
    for name, command in names.items():
        described = {
            option
            for item in re.findall(r"^\.It Fl.*", texts[name], re.M)
            for option in documented_options(item)
        }
        assert described == options(command) - {"-h", "--help"}, name


def test_commands_that_the_help_shows_exist() -> None:
    for text in (
        str(cli.parser().epilog),
        *(str(one.epilog) for one in parsers(cli.parser())),
        source("execwatchctl.1"),
    ):
        for line in re.findall(r"^(?:  )?execwatchctl (.+)$", text, re.MULTILINE):
            words = re.split(r"  +| [|>]", line)[0].replace('"', "'")
            cli.parse([word.strip("'") for word in re.findall(r"'[^']*'|\S+", words)])


Member = tuple[str, str, tuple[str, ...]]


def members_of_the_interface() -> set[Member]:
    root = ElementTree.parse(REPOSITORY / "execwatchd/bus/org.execwatch1.xml").getroot()
    (manager,) = [one for one in root if one.get("name") == "org.execwatch1.Manager"]
    return {_member(element) for element in manager}


def _member(element: ElementTree.Element) -> Member:
    kind, name = element.tag, str(element.get("name"))
    if kind == "property":
        return kind, name, (str(element.get("type")), str(element.get("access")))
    out = [
        ("out " if arg.get("direction") == "out" else "") + f"{arg.get('type')} {arg.get('name')}"
        for arg in element
    ]
    return kind, name, tuple(out)


def documented_members() -> Iterator[Member]:
    for kind, title in (("method", "METHODS"), ("signal", "SIGNALS")):
        for item in items("org.execwatch1.5", title):
            name, parameters = re.fullmatch(r"Fn (\w+)((?: \"[^\"]+\")*)", item).groups()  # type: ignore[union-attr]
            yield kind, name, tuple(re.findall(r"\"([^\"]+)\"", parameters))
    for item in items("org.execwatch1.5", "PROPERTIES"):
        name, kind, access = re.fullmatch(r"Va (\w+) Pq (\w+), (\w+)", item).groups()  # type: ignore[union-attr]
        yield "property", name, (kind, access)


def test_members_of_the_bus_interface() -> None:
    assert set(documented_members()) == members_of_the_interface()


def test_errors_of_the_bus_interface() -> None:
    text = (REPOSITORY / "execwatchd/bus/org.execwatch1.xml").read_text()
    named = set(re.findall(r"org\.(?:execwatch1|freedesktop\.DBus)\.Error\.\w+", text))
    assert {item.removeprefix("Li ") for item in items("org.execwatch1.5", "NAMES OF ERRORS")} == named


def test_keys_of_the_configuration_and_their_defaults() -> None:
    text = section("execwatchd.toml.5", "KEYS")
    found = re.split(r"^\.It Ic (\w+)$", text, flags=re.MULTILINE)[1:]
    keys = dict(zip(found[::2], found[1::2], strict=True))
    defaults = Settings().in_file()
    assert keys.keys() == defaults.keys()
    for name, value in defaults.items():
        if isinstance(value, str | int):
            assert f"The default is\n.Li {_toml(value)}" in keys[name].replace(r"\(dq", '"')


def _toml(value: Any) -> str:
    return json.dumps(str(value) if isinstance(value, str) else value)


def test_journal_fields() -> None:
    documented = set(re.findall(r"\bEXECWATCH_([A-Z_]+)", section("execwatchd.8", "JOURNAL FIELDS")))
    assert documented == {*NUMBERS, *TEXTS, *ARGUMENTS}


SUMS = {"LOST", "LOST_UIDS", "LIMIT", "SUPPRESSED", "SUPPRESSED_TOTAL"}  # where an entry stands for many


def test_journal_fields_that_the_daemon_writes_are_documented() -> None:
    decoded = Decoder()
    not_these = layout.Flag.CGROUP_OUTSIDE | layout.Flag.TRUNCATED_CGROUP
    full: dict[str, Any] = {"flags": 0xFFFFFFFF & ~int(not_these)}
    full |= {"interp": b"/bin/sh\0", "nspid": 7, "cwd": b"tmp\0", "argv_total": 9000}
    full |= {"pidns": 5, "ancestors": layout.ANCESTOR.pack(812, b"sshd")}
    full |= {"exe_mode": 0o104755, "caps": 1}
    user = {"cgroup": b"a.service\0app.slice\0user@501.service\0user-501.slice\0user.slice\0"}
    docker = {"cgroup": b"docker-%b.scope\0system.slice\0" % (b"0123456789abcdef" * 4)}
    records = [full, full | {"argv": b"\xff\0"}, full | user, full | docker, full | {"result": -2}]
    entries = [encode(decoded(pack(values(**record)))) for record in records]
    for status in (0, 9):
        end = decoded(pack(values(**full | {"end": layout.END.pack(1, 2, status, 0)})))
        entries.append(end_entry.encode(end))
    entries.append(parent_field(b"sh"))
    written = set(re.findall(rb"^EXECWATCH_([A-Z_]+)", b"\n".join(entries), re.MULTILINE))
    assert {name.decode() for name in written} == {*NUMBERS, *TEXTS, *ARGUMENTS} - SUMS

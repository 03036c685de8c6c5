# SPDX-License-Identifier: GPL-2.0-or-later
"""What files in redact.d add to the built-in tables, and what is said of one with an error."""

from pathlib import Path

import pytest

from execwatchd.policy import last_good, reader
from execwatchd.redaction.redactor import Redactor
from execwatchd.redaction.tables import merged
from tests.unit.test_configuration import Tree


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


SECRETS = """
names = ["geheim"]
[commands.mytool]
also = ["mytool2"]
short = "p:v"
secret = ["-p", "--pin"]
arguments = ["login * ***"]
[commands.mytool.after]
":" = ["-u"]
[tokens]
"acme_" = '[0-9a-f]{8}'
"""


def test_what_redact_d_adds(tree: Tree) -> None:
    first = tree.write_secrets(SECRETS, "usr/lib", "10-x.toml")
    second = tree.write_secrets('[commands.mytool]\nsecret = ["--code"]', "etc", "20-x.toml")
    config = tree.load()
    assert config.files == (first, second)
    command = merged(config.secrets).commands["mytool"]
    assert (command.secret, command.short) == (("-p", "--pin", "--code"), "p:v")
    redactor = Redactor(["default"], merged(config.secrets))
    words = b"mytool\0-vp\0x\0--code=y\0-u\0me:z\0login\0me\0w\0--geheim=v\0acme_01234567\0"
    masked = b"mytool\0-vp\0***\0--code=***\0-u\0me:***\0login\0me\0***\0--geheim=***\0***\0"
    assert redactor.clean(words) == masked


def test_values_that_are_no_arrays_are_replaced(tree: Tree) -> None:
    text = '[tokens]\nghp_ = "[a-f]{4}"\n[commands.gdb]\nstarts_after = "--"\narguments = ["-p***", "***"]'
    tree.write_secrets(text)
    tables = merged(tree.load().secrets)
    assert (tables.tokens["ghp_"], tables.commands["gdb"].starts_after) == ("[a-f]{4}", "--")
    assert Redactor(["default"], tables).clean(b"gdb\0ghp_abcd\0x\0") == b"gdb\0***\0x\0"


def test_in_redact_d_a_file_hides_another(tree: Tree) -> None:
    tree.write_secrets("names = 1", "usr/lib", "x.toml")
    tree.write_secrets("", "etc", "x.toml")
    assert tree.load().secrets == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("names = 1", "names: 1 must be an array of strings"),
        ("names = [1]", "names.0: 1 must be a string of 1 to 200 printable characters"),
        ('pins = ["x"]', "pins: unknown key, with the value an array"),
        ("commands = 1", "commands: 1 must be a table"),
        (
            '[commands.x]\nsecret = ["pin"]',
            "commands.x.secret.0: 'pin' must be an option: with its dashes, without a value",
        ),
        ('[commands.x]\nsecrets = ["-p"]', "commands.x.secrets: unknown key, with the value an array"),
        (
            '[commands.x]\narguments = ["a *** b"]',
            "commands.x.arguments.0: 'a *** b' must have *** in its last word, for the secret",
        ),
        (
            '[commands.x]\nshort = ":"',
            "commands.x.short: ':' must be the letters of options as for getopt(3), like \"ab:c::\"",
        ),
        (
            "[commands.x]\nstarts = 10",
            "commands.x.starts: 10 must be a number of operands, from 0 to 9, or -1",
        ),
        ("[commands.x]\njoins = 1", "commands.x.joins: 1 must be true or false"),
        ("[tokens]\nacme_ = '(x'", "tokens.acme_: the pattern '(x': missing ): (x"),
        ("names = [", "end of document: Invalid value"),
    ],
)  # fmt: skip
def test_bad_redact_d(tree: Tree, text: str, problem: str) -> None:
    path = tree.write_secrets(text)
    assert tree.problems() == [f"{path.relative_to(tree.root)}: {problem}"]


def test_redact_d_with_too_much(tree: Tree) -> None:
    names = [f"{i}{'xy' * 90}" for i in range(4000)]
    tree.write_secrets(f"names = {names}")
    (problem,) = tree.problems()
    assert problem.startswith(
        "etc/execwatchd/redact.d/x.toml: up to here the files of redact.d have too much: "
    )


def test_what_it_adds_stays_in_effect_with_the_configuration_accepted_last(
    tree: Tree, tmp_path: Path
) -> None:
    tree.write_secrets(SECRETS)
    kept = tree.load()
    last_good.keep(tmp_path / "last.json", kept)
    last = reader.last_good(tmp_path / "last.json")
    assert last
    assert last.secrets == kept.secrets

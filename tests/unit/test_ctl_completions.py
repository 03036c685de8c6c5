# SPDX-License-Identifier: GPL-2.0-or-later
"""The completions know every command and option of the grammar, and no other."""

import pwd
import re
import subprocess
from argparse import ArgumentParser
from pathlib import Path

import pytest

from execwatchd.ctl.cli import parser

PLACE = Path(__file__).resolve().parents[2] / "contrib/completions"
BASH = PLACE / "execwatchctl.bash"


def commands() -> dict[str, ArgumentParser]:
    (action,) = [action for action in parser()._actions if isinstance(action.choices, dict)]
    return dict(action.choices or {})


def long_options(command: ArgumentParser) -> set[str]:
    return {option for option in command._option_string_actions if option.startswith("--")}


def every_option() -> set[str]:
    return set().union(*map(long_options, (parser(), *commands().values())))


def bash(*words: str) -> list[str]:
    """What bash offers for the last of the words."""
    show = 'printf "%s\\n" "${COMPREPLY[@]}"'
    script = f'. {BASH}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _execwatchctl; {show}'
    command = ["bash", "-euc", script, "bash", "execwatchctl", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def test_bash_offers_the_commands() -> None:
    assert set(bash("")) == {*commands(), "--help", "--version"}
    assert bash("un") == ["unset"]


@pytest.mark.parametrize("name", sorted(commands()))
def test_bash_offers_the_options_of_each_command(name: str) -> None:
    assert set(bash(name, "-")) == long_options(commands()[name])


@pytest.mark.parametrize(
    "words", [("set",), ("unset",), ("action",), ("limit",), ("log", "--user"), ("log", "-f", "--user")]
)
def test_bash_offers_user_names(words: tuple[str, ...]) -> None:
    assert {user.pw_name for user in pwd.getpwall()} <= set(bash(*words, ""))
    assert bash(*words, "roo") == ["root"]


def test_bash_offers_values() -> None:
    assert set(bash("action", "root", "")) == {"record", "ignore", "default"}
    assert set(bash("limit", "root", "")) == {"off", "default"}
    assert set(bash("default", "--action", "")) == {"record", "ignore"}
    assert set(bash("log", "-o", "")) == {
        *("short", "verbose", "json", "json-pretty"),
        *("ecs", "otel", "cat", "argv"),
    }
    assert bash("log", "--since", "to") == ["today"]
    assert bash("log", "-D", "/etc/ssl/cer") == ["/etc/ssl/certs"]
    assert bash("set", "root", "") == bash("log", "-n", "") == bash("nonsense", "") == []


def test_zsh_and_fish_know_the_same() -> None:
    zsh, fish = (PLACE / "_execwatchctl").read_text(), (PLACE / "execwatchctl.fish").read_text()
    assert {f"--{name}" for name in re.findall(r"-l ([a-z-]+)", fish)} == every_option()
    mentioned = set(re.findall(r"--[a-z][a-z-]+", re.sub(r"systemctl .*|# .*|units --\w+", "", zsh)))
    assert mentioned == every_option()
    for text, pattern in ((zsh, r"^    ['\"](\w+):"), (fish, r"use_subcommand -a (\w+)")):
        assert set(re.findall(pattern, text, re.MULTILINE)) == set(commands())
    assert zsh.count(":_users") == 5
    assert fish.count("__fish_complete_users") == 2

# SPDX-License-Identifier: GPL-2.0-or-later
"""The completions know every command and option of the grammar, and no other."""

import os
import pty
import pwd
import re
import shutil
import subprocess
from argparse import ArgumentParser
from contextlib import suppress
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


# What is typed, and what the shell makes of it.
TYPED = {
    "execwatchctl unse": "execwatchctl unset",
    "execwatchctl log --rev": "execwatchctl log --reverse",
    "execwatchctl log -p warn": "execwatchctl log -p warning",
    "execwatchctl log -o json-p": "execwatchctl log -o json-pretty",
    "execwatchctl show 1 --no-p": "execwatchctl show 1 --no-pager",
    "execwatchctl top --sort na": "execwatchctl top --sort name",
    "execwatchctl top --any": "execwatchctl top --any-sender",
    "execwatchctl action root rec": "execwatchctl action root record",
}


def fish(line: str) -> str:
    """The line with the only word that fish offers for its last."""
    script = f"source {PLACE}/execwatchctl.fish; complete --do-complete {line!r}"
    done = subprocess.run(["fish", "--no-config", "-c", script], check=True, capture_output=True, text=True)
    (offer,) = done.stdout.splitlines()
    return f"{line.rpartition(' ')[0]} {offer.partition(chr(9))[0]}"


ZSH = """
fpath=({place} $fpath); autoload -Uz compinit; compinit -u -D
shown() {{ print -r -- $BUFFER >{file}; exit }}; zle -N shown; bindkey '^X' shown; stty -ixon; PS1='READ''Y '
"""


def zsh(line: str, file: Path) -> str:
    """The line after the tabulator key, on a terminal of its own."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(["zsh", "-f", "-i"], stdin=theirs, stdout=theirs, stderr=theirs) as shell:
        os.close(theirs)
        os.write(ours, ZSH.format(place=PLACE, file=file).encode())
        seen = b""
        while b"READY" not in seen:
            seen += os.read(ours, 65536)
        os.write(ours, f"{line}\t\x18".encode())
        with suppress(OSError):  # EIO: it has ended
            while os.read(ours, 65536):
                pass
        shell.wait()
    os.close(ours)
    return file.read_text().rstrip()


@pytest.mark.parametrize("line", TYPED)
def test_the_shells_that_are_installed_complete(line: str, tmp_path: Path) -> None:
    """zsh and fish need not be: no package of this project asks for them."""
    if shutil.which("fish"):
        assert fish(line) == TYPED[line]
    if shutil.which("zsh"):
        assert zsh(line, tmp_path / "line") == TYPED[line]


def test_zsh_and_fish_know_the_same() -> None:
    zsh, fish = (PLACE / "_execwatchctl").read_text(), (PLACE / "execwatchctl.fish").read_text()
    assert {f"--{name}" for name in re.findall(r"-l ([a-z-]+)", fish)} == every_option()
    mentioned = set(re.findall(r"--[a-z][a-z-]+", re.sub(r"systemctl .*|# .*|units --\w+", "", zsh)))
    assert mentioned == every_option()
    for text, pattern in ((zsh, r"^    ['\"](\w+):"), (fish, r"use_subcommand -a (\w+)")):
        assert set(re.findall(pattern, text, re.MULTILINE)) == set(commands())
    assert zsh.count(":_users") == 5
    assert fish.count("__fish_complete_users") == 2

# SPDX-License-Identifier: GPL-2.0-or-later
"""The completions in the shells themselves; bash is tried in tests/unit/test_ctl_completions.py."""

import os
import pty
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

PLACE = Path(__file__).resolve().parents[2] / "contrib/completions"

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
def test_fish_completes(line: str) -> None:
    assert fish(line) == TYPED[line]


@pytest.mark.parametrize("line", TYPED)
def test_zsh_completes(line: str, tmp_path: Path) -> None:
    assert zsh(line, tmp_path / "line") == TYPED[line]

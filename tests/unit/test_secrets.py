# SPDX-License-Identifier: GPL-2.0-or-later
"""The command lines of tests/secrets: what is between « and » becomes ***, and no more."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from execwatchd.redaction.redactor import Redactor

SETS = Path(__file__).resolve().parents[1] / "secrets"
REDACTOR = Redactor(["default"])
MARKED = re.compile("«.*?»".encode(), re.DOTALL)
ALL_RIGHT = (
    *(
        "marked_but_left",
        "quoted_and_url",
        "named_keys",
        "bundled_options",
        "known_tools_other_places",
        "wrappers",
    ),
    *("tokens", "unknown_tools", "taken_too_much", "spellings", "everyday"),
)


def lines(name: str) -> list[str]:
    text = (SETS / f"{name}.txt").read_text()
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def differing(name: str) -> Iterator[str]:
    """The lines that come out other than marked, with what comes out."""
    for line in lines(name):
        marked = b"".join(word.encode() + b"\0" for word in shlex.split(line))
        before = marked.replace("«".encode(), b"").replace("»".encode(), b"")
        found = REDACTOR.clean(before) if REDACTOR.suspects(before) else before
        if found != MARKED.sub(b"***", marked):
            yield f"{line} -> {shlex.join(found.decode(errors='replace').split(chr(0))[:-1])}"


@pytest.mark.parametrize("name", ALL_RIGHT)
def test_all_are_right(name: str) -> None:
    assert list(differing(name)) == []


def test_of_what_manual_pages_describe_one_is_missed() -> None:
    """Options that have a secret, by the manual pages of these tools, in each spelling."""
    assert len(lines("manual_pages")) == 779
    assert [line.partition(" ")[0] for line in differing("manual_pages")] == ["msmtp"]  # of a command's own


def test_of_harmless_ones_as_few_are_touched() -> None:
    """Out of maintainer scripts, units and cron files of Debian packages, with a secret in none of them."""
    assert len(lines("harmless")) == 1000
    assert list(differing("harmless")) == []

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
    *("tokens", "unknown_tools", "taken_too_much", "spellings", "everyday", "other_manual_pages"),
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


# Words with line breaks: documents for a command, and files that are arguments.
OF_LINES = [
    ("sh", "-c", "mysql -u root <<EOF\nALTER USER me IDENTIFIED BY '«hunter2»';\nEOF\n"),
    ("sh", "-c", "cat <<EOF | mysql db\nSET PASSWORD FOR me = PASSWORD('«hunter2»');\nEOF"),
    ("sh", "-c", "cat > /x <<'EOF'\nuser=me\npassword=«hunter2»\nport=1\nEOF\nmysql -p«x1»"),
    ("sh", "-c", "cat <<EOF >.env\nDB_PASSWORD=«hunter2»\nA=b\nEOF"),
    ("sh", "-c", "chpasswd <<EOF\nroot:«hunter2»\nEOF"),
    ("bash", "-c", "bash <<EOF\nmysql -p«hunter2»\nEOF"),
    ("sh", "-c", "ssh h <<-EOF\n\tcurl -u me:«hunter2» h\n\tEOF"),
    ("sh", "-c", 'curl -d @- h <<EOF\n{"password": "«hunter2»"}\nEOF'),
    ("sh", "-c", 'set -e\nexport TOKEN=«x1»\ncurl -u "a:«b c»" h\n'),
    ("sh", "-c", "mysql \\\n  -p«x1» \\\n  db\n"),
    ("tool", "[client]\nuser=me\npassword=«x1»\nhost=h\n"),
    ("tool", "db.password=«x1»\nport=1"),
    ("tool", "a:\n  b:\n    password: «x1»\n    url: x\n"),
    ("tool", "--password=«two\nlines=1»"),
]


@pytest.mark.parametrize("words", OF_LINES)
def test_lines_in_a_word(words: tuple[str, ...]) -> None:
    marked = "\0".join([*words, ""]).encode()
    before = marked.replace("«".encode(), b"").replace("»".encode(), b"")
    assert REDACTOR.clean(before) == MARKED.sub(b"***", marked)


def test_of_what_manual_pages_describe_one_is_missed() -> None:
    """Options that have a secret, by the manual pages of these tools, in each spelling."""
    assert len(lines("manual_pages")) == 779
    assert [line.partition(" ")[0] for line in differing("manual_pages")] == ["msmtp"]  # of a command's own


def test_of_harmless_ones_as_few_are_touched() -> None:
    """Out of maintainer scripts, units and cron files of Debian packages, with a secret in none of them."""
    assert len(lines("harmless")) == 1000
    assert list(differing("harmless")) == []

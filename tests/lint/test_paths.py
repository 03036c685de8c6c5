# SPDX-License-Identifier: GPL-2.0-or-later
"""The files that the documentation names exist."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
TEXTS = [
    *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((REPOSITORY / "docs").glob("*.md")),
    *sorted((REPOSITORY / "docs/man").glob("*.[1-8]")),
    REPOSITORY / "contrib/systemd/execwatchd.catalog",
]
TOP = "bpf|contrib|docs|execwatchd|packaging|tests"
PACKAGES = sorted(path.parent.name for path in (REPOSITORY / "execwatchd").glob("*/__init__.py"))
_NOT_BEFORE = r"(?<![\w/.@~-])"  # else it is the end of another path, as of /etc/execwatchd/execwatchd.toml
_PATH = re.compile(rf"{_NOT_BEFORE}((?:{TOP})/[\w./*@-]*)")
_SHORT = re.compile(rf"{_NOT_BEFORE}((?:{'|'.join(PACKAGES)})/[\w/]+\.(?:py|xml))\b")
_LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)[^)]*\)")


def named(text: Path) -> Iterator[tuple[str, Path]]:
    """Each path that a text names, with the directory that it starts from; `*` stands for any name."""
    source = text.read_text().replace(r"\-", "-")
    for path in _PATH.findall(source):
        yield path.rstrip(".-*"), REPOSITORY  # without a sentence's end, or emphasis's
    for path in _SHORT.findall(source):
        yield path, REPOSITORY / "execwatchd"
    for path in _LINK.findall(source) if text.suffix == ".md" else ():
        yield path, text.parent


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_what_a_text_names_exists(text: Path) -> None:
    absent = {path for path, start in named(text) if not list(start.glob(path.rstrip("/")))}
    assert not absent


def test_the_texts_name_files_in_each_way() -> None:
    names = {path for text in TEXTS for path, _ in named(text)}
    assert {"execwatchd/kernel/layout.py", "bus/wire.py", "docs/benchmarks.md"} <= names


def test_a_name_of_nothing_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "`tests/none.py`, kernel/none.py. *tests/none.* [it](none.md#part), /etc/tests/x, a/bus/x.py"
    )
    assert [path for path, _ in named(page)] == [
        "tests/none.py",
        "tests/none",
        "kernel/none.py",
        "none.md",
    ]

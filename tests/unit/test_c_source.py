# SPDX-License-Identifier: GPL-2.0-or-later
"""The program's files are one text for the compiler, and its messages still name the files."""

import re
import subprocess
from pathlib import Path

import pytest

from execwatchd.kernel.c_source import assembled, directory

MAIN = '/* main */\n#include "a.h"\nint main_1 = A;\n#include "made.h" /* generated */\nint main_2;\n'


@pytest.fixture
def main(tmp_path: Path) -> Path:
    (tmp_path / "a.h").write_text("\n#define A 1\nint a;\n")
    (tmp_path / "main.c").write_text(MAIN)
    return tmp_path / "main.c"


def test_headers_stand_where_they_are_included(main: Path) -> None:
    text = assembled(main, {"made.h": "int made;\n"})
    assert re.findall(r"^int (\w+)", text, re.MULTILINE) == ["a", "main_1", "made", "main_2"]
    assert "#include" not in text


@pytest.mark.parametrize(
    ("name", "line", "content"),
    [
        ("a.h", 3, "int a;"),
        ("main.c", 3, "int main_1 = A;"),
        ("made.h", 1, "int made;"),
        ("main.c", 5, "int main_2;"),
    ],
)
def test_the_compiler_names_file_and_line(name: str, line: int, content: str, main: Path) -> None:
    broken = content.replace("int", "undeclared")
    text = assembled(main, {"made.h": "int made;\n"}).replace(content, broken)
    compiled = subprocess.run(
        ["gcc", "-fsyntax-only", "-x", "c", "-"], input=text, capture_output=True, text=True, check=False
    )
    assert re.search(rf"^{name}:{line}:1: error: ", compiled.stderr, re.MULTILINE)


def test_each_header_of_the_program_is_in_its_text() -> None:
    text = assembled(directory() / "execwatch.c", {"vmlinux.h": ""})
    for header in directory().glob("*.h"):
        assert text.count(header.read_text()) == 1


def test_a_header_that_is_not_there(main: Path) -> None:
    with pytest.raises(OSError, match=r"made\.h"):
        assembled(main, {})

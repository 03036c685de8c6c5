# SPDX-License-Identifier: GPL-2.0-or-later
"""The program's C: where it is, a copy that an unprivileged user may read, and the text that BCC compiles."""

import contextlib
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

_INCLUDE = re.compile(r'^#include "(.+)".*\n', re.MULTILINE)
_PACKAGE = Path(__file__).resolve().parent.parent


def directory() -> Path:
    """Beside the package in a checkout, inside it where installed."""
    installed = _PACKAGE / "bpf"
    return installed if installed.is_dir() else _PACKAGE.parent / "bpf"


def read(top: Path) -> dict[str, bytes]:
    """Every file by its path below `top`. Raises OSError."""
    return {str(path.relative_to(top)): path.read_bytes() for path in sorted(top.rglob("*.[ch]"))}


@contextlib.contextmanager
def unpacked(files: Mapping[str, bytes]) -> Iterator[Path]:
    """The same tree in a temporary directory, which ends with the context."""
    with tempfile.TemporaryDirectory(prefix="execwatchd-") as name:
        for path, content in files.items():
            place = Path(name, path)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        yield Path(name)


def assembled(main: Path, generated: Mapping[str, str]) -> str:
    """The program in one text: headers beside `main`, and generated ones, in place of its #includes.

    BCC makes programs of functions, and helper calls of method calls on maps, in the main file alone.
    Lines keep their file and number for the compiler's messages. Raises OSError.
    """

    def included(include: re.Match[str]) -> str:
        name = include[1]
        text = generated[name] if name in generated else main.with_name(name).read_text()
        following = source.count("\n", 0, include.end()) + 1
        return f'#line 1 "{name}"\n{text}#line {following} "{main.name}"\n'

    source = main.read_text()
    return f'#line 1 "{main.name}"\n' + _INCLUDE.sub(included, source)

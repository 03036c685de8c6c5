# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the program's C is, and a copy of it that an unprivileged user may read."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

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

# SPDX-License-Identifier: GPL-2.0-or-later
"""What names a program exactly: an attached program is taken over only if its digest is still the same."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from execwatchd.kernel import c_source, layout, libbpf
from execwatchd.kernel.options import Options

# These make the compiler's flags and choose what is loaded. The members' places themselves are the running
# kernel's and can't change while it runs, so a take-over doesn't read them.
GENERATORS = ("btf.py", "c_source.py", "header.py", "loader.py", "options.py")


def generators(directory: Path) -> dict[str, bytes]:
    """Their text by name."""
    return {name: (directory / name).read_bytes() for name in GENERATORS}


# Read at the import: a foreground run has become a user who may not read the checkout when it asks.
_GENERATORS = generators(Path(__file__).parent)


def digest(sources: Path, options: Options) -> str:
    """64 hexadecimal digits of all that shapes the program: every file below `sources`, what generates the
    rest of its text, the record layout, the options and the number of CPUs.
    """
    asked = f"{layout.SCHEMA}\n{options!r}\n{libbpf.possible_cpus()}"
    files = sorted({**c_source.read(sources), **_GENERATORS}.items())
    return _sha256([("", asked.encode()), *files])


def _sha256(files: Iterable[tuple[str, bytes]]) -> str:
    """Of names and contents, each behind its length, so that no two sets of files look alike."""
    state = hashlib.sha256()
    for name, content in files:
        for part in (name.encode(), content):
            state.update(len(part).to_bytes(8, "little") + part)
    return state.hexdigest()

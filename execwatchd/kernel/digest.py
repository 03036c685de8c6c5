# SPDX-License-Identifier: GPL-2.0-or-later
"""The digest of all that shapes a program: an attached program is taken over only if it is the same."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from execwatchd.kernel import c_source, header, layout, libbpf
from execwatchd.kernel.options import Options

# These put the program's text together, make the compiler's flags and choose what is loaded. The generated
# header itself is not hashed: it depends on them and on the running kernel, which only modules change.
GENERATORS = ("btf.py", "c_source.py", "header.py", "loader.py", "options.py", "structures.py")


def generators(directory: Path) -> dict[str, bytes]:
    """The text of these modules by name."""
    return {name: (directory / name).read_bytes() for name in GENERATORS}


# Read at the import: later, a foreground run has become a user who may not be able to read the checkout.
_GENERATORS = generators(Path(__file__).parent)


def digest(sources: Path, options: Options) -> str:
    """64 hexadecimal digits of all that shapes the program: every file below `sources`, what generates the
    rest of its text, the record layout, the options, the number of CPUs, and whether a module has types.
    """
    asked = f"{layout.SCHEMA}\n{options!r}\n{libbpf.possible_cpus()}\n{header.OVERLAY.exists()}"
    files = sorted({**c_source.read(sources), **_GENERATORS}.items())
    return _sha256([("", asked.encode()), *files])


def _sha256(files: Iterable[tuple[str, bytes]]) -> str:
    """Of names and contents, each behind its length, so that no two sets of files look alike."""
    state = hashlib.sha256()
    for name, content in files:
        for part in (name.encode(), content):
            state.update(len(part).to_bytes(8, "little") + part)
    return state.hexdigest()

# SPDX-License-Identifier: GPL-2.0-or-later
"""What packages are told to need of a release, and what counts as having it."""

import subprocess
from pathlib import Path

import pytest

PACKAGING = Path(__file__).resolve().parents[2] / "packaging"
# Stands for a release whose package manager knows these versions.
SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
import host
project = {"google-re2": [("==", (1, 1, 20251105))], "pydantic": [(">=", (2, 5)), ("<", (3,))]}
host.requirements = lambda: project
host.shutil.which = lambda name: name if name == sys.argv[2] else None
known = dict(word.split("=") for word in sys.argv[3:])
host._available = lambda name: host.version(known[name]) if name in known else None
print(*(library for library in project if host.has(library)))
"""


@pytest.mark.parametrize(
    ("manager", "known", "usable"),
    [
        ("apt-cache", ["python3-pydantic=1.10.4-1"], ""),
        ("apt-cache", ["python3-pydantic=2.10.6-1", "python3-re2=20240702-3+b1"], "pydantic"),
        ("apt-cache", ["python3-pydantic=3.0-1", "python3-re2=20251105-1"], "google-re2"),
        ("apt-cache", ["python3-re2=20260101-1"], ""),
        ("dnf", ["python3-pydantic=2.5", "python3-google-re2=1.1.20251105"], "google-re2 pydantic"),
        ("dnf", ["python3-re2=20251105"], ""),
    ],
)
def test_a_library_of_the_release_is_used_where_its_version_serves(
    manager: str, known: list[str], usable: str
) -> None:
    command = ("/usr/bin/python3", "-Ic", SCRIPT, str(PACKAGING), manager, *known)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == usable

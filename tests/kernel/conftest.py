# SPDX-License-Identifier: GPL-2.0-or-later
"""Helper programs, built once, and a watch that the tests of a module share."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.service_manager import Manager
from tests.kernel.watch import Runner, Watch, hand_over, watching
from tests.running import nothing_is_left_running

__all__ = ["nothing_is_left_running"]

_SOURCES = Path(__file__).parent


@pytest.fixture(scope="session")
def public() -> Iterator[Path]:
    """A directory where any user may execute what is in it, set-UID programs too."""
    places = [tempfile.gettempdir(), "/var/tmp", "/run", "/"]
    forbidden = os.ST_NOSUID | os.ST_NOEXEC
    place = next(place for place in places if not os.statvfs(place).f_flag & forbidden)
    made = Path(tempfile.mkdtemp(prefix="execwatchd-ways-", dir=place))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def built(source: str, binary: Path) -> Path:
    flags = ("-O1", "-Wall", "-Wextra", "-Werror", "-static", "-pthread")
    subprocess.run(["gcc", *flags, _SOURCES / source, "-o", binary], check=True)
    return binary


@pytest.fixture(scope="session")
def ways(public: Path) -> Path:
    return built("ways.c", public / "ways")


@pytest.fixture(scope="session")
def target(public: Path) -> Path:
    """A program that stays until its standard input ends."""
    return built("target.c", public / "target")


@pytest.fixture
def runner(ways: Path) -> Iterator[Runner]:
    made = Runner(ways)
    yield made
    made.close()


@pytest.fixture(scope="session")
def tracepoint_ids(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """As the unit's drop-in hands them over."""
    directory = tmp_path_factory.mktemp("credentials")
    hand_over(directory)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CREDENTIALS_DIRECTORY", str(directory))
        yield directory


@pytest.fixture(scope="module")
def watch() -> Iterator[Watch]:
    with watching() as attached:
        yield attached


@pytest.fixture
def manager() -> Iterator[Manager]:
    """Closes what it still keeps."""
    made = Manager()
    yield made
    for name in list(made.kept):
        made.remove(name)

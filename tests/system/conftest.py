# SPDX-License-Identifier: GPL-2.0-or-later
"""Boxes for the tests: one layer with the installation for the session, and systems booted on it."""

import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.kernel.conftest import built
from tests.kernel.watch import Runner
from tests.system import storm as storms
from tests.system.harness import BOX, REPOSITORY, STATES, Boot, Box, in_layer
from tests.system.storm import Storm

_PREFIX = "test-"
_NUMBERS = itertools.count(1)


def _sweep() -> None:
    """Ends what a session that was killed left behind."""
    for state in STATES.glob(f"{_PREFIX}*"):
        if not Path(f"/proc/{state.name.split('-')[1]}").exists():
            subprocess.run([BOX, "down", state.name], check=True)


@pytest.fixture(scope="session")
def layers() -> Iterator[Path]:
    """A directory for layers; overlayfs takes no upper directory that is itself on an overlay."""
    _sweep()
    directory = Path(tempfile.mkdtemp(prefix="execwatchd-", dir="/dev/shm"))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def installed(layers: Path) -> Path:
    """What `make install PREFIX=/usr` adds to this host, as a layer."""
    in_layer(layers / "installed", "make", "-C", str(REPOSITORY), "install", "PREFIX=/usr")
    return layers / "installed/upper"


@pytest.fixture(scope="session")
def storm(layers: Path) -> Storm:
    return storms.build(layers)


@pytest.fixture(scope="session")
def public(layers: Path) -> Path:
    """Where any user may execute what is in it: the programs `ways` and `target`."""
    layers.chmod(0o755)
    directory = layers / "public"
    directory.mkdir(mode=0o755)
    for name in ("ways", "target"):
        built(f"{name}.c", directory / name)
    return directory


@pytest.fixture
def runner(public: Path) -> Iterator[Runner]:
    made = Runner(public / "ways")
    yield made
    made.close()


@pytest.fixture(scope="module")
def boot(installed: Path) -> Iterator[Boot]:
    """Boots boxes that live as long as the module's tests; takes a shell script with $R, its root."""
    with ExitStack() as ends:

        def boot(prepare: str = "") -> Box:
            box = Box(f"{_PREFIX}{os.getpid()}-{next(_NUMBERS)}")
            ends.callback(box.down)
            box.boot(installed, prepare)
            return box

        yield boot


@pytest.fixture(scope="module")
def host(boot: Boot) -> Box:
    """A booted system in which the daemon is installed but not started."""
    return boot()

# SPDX-License-Identifier: GPL-2.0-or-later
"""Packages for each release, built in a clean root of it: this version, and one that is newer."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.packages import roots
from tests.packages.roots import RELEASES, Release, in_root
from tests.system import storm as storms
from tests.system.conftest import layers
from tests.system.harness import REPOSITORY, Box
from tests.system.storm import Storm

__all__ = ["layers"]


def _version() -> str:
    found: dict[str, str] = {}
    exec((REPOSITORY / "execwatchd/__init__.py").read_text(), found)
    return found["__version__"]


VERSION = _version()
# As long, and of the same date: only its text tells Python that this one's bytecode isn't the newer one's.
NEWER = f"9{VERSION[1:]}"
_NOT_SOURCES = shutil.ignore_patterns(".*", "__pycache__", "build", "dist")

BUILD = """
apt-get install -qqy make python3-venv >/dev/null 2>&1
export PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels SOURCE_DATE_EPOCH=1700000000
make --silent -C /src packages
mkdir -p /opt/packages
cp /src/dist/* /opt/packages/
"""
# somebody else's clock, time zone, umask and directory
BUILD_AGAIN = """
umask 077
export PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels SOURCE_DATE_EPOCH=1700000000 TZ=Asia/Tokyo
cp -r /src /again
rm -rf /again/{.venv,build,dist}
make --silent -C /again packages
mkdir -p /opt/again
cp /again/dist/* /opt/again/
"""
BUILD_NEWER = f"""
export PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels SOURCE_DATE_EPOCH=1700000000
cd /src
sed -i 's/^__version__ = .*/__version__ = "{NEWER}"/' execwatchd/__init__.py
echo '# newer' >>contrib/execwatchd.toml
sed -i '2i ## {NEWER} (2030-01-01)\\n\\n- Newer.\\n' CHANGELOG.md
make --silent packages
cp dist/* /opt/packages/
"""


@dataclass(frozen=True)
class Built:
    """What was built for a release, on a layer over its root, in /opt/packages and again in /opt/again."""

    release: Release
    root: Path
    layer: Path

    @property
    def packages(self) -> Path:
        return self.layer / "upper/opt/packages"

    def deb(self, version: str = VERSION) -> str:
        release = self.release
        return f"execwatchd_{version}-1~{release.tag}_{release.architecture}.deb"

    def rpm(self, version: str = VERSION) -> str:
        architecture = {"all": "noarch", "amd64": "x86_64"}[self.release.architecture]
        return f"execwatchd-{version}-1.{self.release.tag}.{architecture}.rpm"


@pytest.fixture(scope="session", params=RELEASES, ids=lambda release: str(release.suite))
def built(request: pytest.FixtureRequest, layers: Path) -> Built:
    release: Release = request.param
    root, layer = roots.root(release), layers / release.suite
    source = layer / "upper/src"
    shutil.copytree(REPOSITORY, source, ignore=_NOT_SOURCES)
    shutil.copytree(roots.wheels(release), layer / "upper/wheels")
    in_root(root, layer, "bash", "-euc", BUILD + BUILD_AGAIN + BUILD_NEWER)
    return Built(release, root, layer)


@pytest.fixture
def clean(built: Built, layers: Path) -> Iterator[Callable[[str], Box]]:
    """Boots the release as it is after its installation, with our packages in /opt/packages."""
    lower = layers / f"{built.release.suite}-clean"
    shutil.copytree(built.packages, lower / "opt/packages", dirs_exist_ok=True)
    with ExitStack() as ends:

        def boot(prepare: str = "") -> Box:
            box = Box(f"test-{os.getpid()}-{built.release.suite}")
            ends.callback(box.down)
            box.boot(lower, prepare, built.root)
            return box

        yield boot


@pytest.fixture(scope="session")
def storm(layers: Path) -> Storm:
    return storms.build(layers)

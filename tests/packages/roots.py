# SPDX-License-Identifier: GPL-2.0-or-later
"""Clean roots of Debian releases, made once and kept in a cache that may be deleted at any time."""

import fcntl
import hashlib
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.system.harness import BOX, REPOSITORY

CACHE = Path("/var/cache/execwatchd-tests")
SYSTEM = "systemd,systemd-sysv,dbus"
BUILDING = ("make", "python3-venv")
OTHER_FORMAT = "rpm"
# Other log programs, each fetched by itself, since two of them conflict.
SHIPPERS = ("rsyslog", "syslog-ng-core", "systemd-journal-remote")
LOCKS = ("requirements", "requirements-package")


@dataclass(frozen=True)
class Release:
    """A release, its versions, and which of the libraries that the project needs it has itself."""

    suite: str
    tag: str
    systemd: str
    bcc: str
    python: str
    has: frozenset[str]

    @property
    def carries(self) -> set[str]:
        project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
        needed = {re.split(r"[=<>]", text)[0] for text in project["dependencies"]}
        return needed - self.has - {"systemd-python"}

    @property
    def architecture(self) -> str:
        return "amd64" if self.carries else "all"


# README.md has each; a test compares.
RELEASES = (
    Release("bookworm", "deb12", "252", "0.26", "3.11", frozenset({"dbus-next", "wcwidth"})),
    Release("trixie", "deb13", "257", "0.31", "3.13", frozenset({"dbus-next", "pydantic", "wcwidth"})),
)


def dependencies() -> list[str]:
    """All that a package may depend on or recommend; the first of alternatives."""
    deb = tomllib.loads((REPOSITORY / "packaging/package.toml").read_text())["overrides"]["deb"]
    named = [re.split(r"[ |]", text)[0] for text in (*deb["depends"], *deb["recommends"])]
    return [*named, "python3-pydantic", "python3-dbus-next", "python3-wcwidth"]


def root(release: Release) -> Path:
    """A minimal system; the packages that the tests install later wait in its apt's cache."""
    wanted = (" ".join([*dependencies(), *BUILDING, OTHER_FORMAT]), *SHIPPERS)
    download = 'chroot "$1" apt-get install -qqy --download-only'
    hooks = [f"--customize-hook={download} {packages}" for packages in wanted]
    options = ("--skip=cleanup/apt", *hooks)
    return _root(release.suite, release.suite, SYSTEM, *options)


def tools() -> Path:
    """The newest release with what looks at packages."""
    return _root("tools", RELEASES[-1].suite, "lintian,rpm,rpmlint")


def _root(name: str, suite: str, include: str, *options: str) -> Path:
    recipe = ("mmdebstrap", "--quiet", "--variant=minbase", f"--include={include}", *options, suite)
    made = CACHE / f"{name}-{_digest(' '.join(recipe))}"
    with locked():
        if not made.exists():
            for old in CACHE.glob(f"{name}-*"):
                shutil.rmtree(old)
            sources = "".join(f"{line}\n" for line in _sources(suite))
            run(*recipe, str(made.with_suffix(".new")), "-", stdin=sources)
            made.with_suffix(".new").rename(made)
    return made


def wheels(release: Release) -> Path:
    """What packaging/*.lock names, for the release's Python: in its root, nothing comes from a network."""
    locks = [REPOSITORY / f"packaging/{name}.lock" for name in LOCKS]
    made = CACHE / f"wheels-{release.python}-{_digest(''.join(lock.read_text() for lock in locks))}"
    with locked():
        if not made.exists():
            for old in CACHE.glob(f"wheels-{release.python}-*"):
                shutil.rmtree(old)
            options = [
                "--quiet",
                "--require-hashes",
                "--only-binary=:all:",
                f"--python-version={release.python}",
            ]
            for lock in locks:
                options += ["--requirement", str(lock)]
            target = made.with_suffix(".new")
            run(sys.executable, "-m", "pip", "download", *options, "--dest", str(target))
            target.rename(made)
    return made


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@contextmanager
def locked() -> Iterator[None]:
    """Two sessions at once make a thing once; what one that was killed left is removed."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for unfinished in CACHE.glob("*.new"):
            shutil.rmtree(unfinished)
        yield


def _sources(suite: str) -> list[str]:
    security = mirror("Debian-Security", "http://security.debian.org/debian-security")
    return [
        f"deb {mirror()} {suite} main",
        f"deb {mirror()} {suite}-updates main",
        f"deb {security} {suite}-security main",
    ]


def mirror(label: str = "Debian", default: str = "http://deb.debian.org/debian") -> str:
    """From where this host gets Debian's packages, if it does; else from where everybody does."""
    options = ("indextargets", "--format", "$(LABEL) $(REPO_URI)", "Created-By: Packages", "Origin: Debian")
    shown = run("apt-get", *options) if shutil.which("apt-get") else ""
    lines = [line.split(" ", 1) for line in shown.splitlines()]
    return next((uri for name, uri in lines if name == label), default)


def in_root(root: Path, layer: Path, *command: str) -> str:
    """Runs a command on an overlay of a root, as `box layer` does; what it writes."""
    kept = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8"}
    environment = {**kept, "DEBIAN_FRONTEND": "noninteractive", "LOWER": str(root)}
    return run(str(BOX), "layer", str(layer), *command, environment=environment)


def run(*command: str, stdin: str = "", environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout

# SPDX-License-Identifier: GPL-2.0-or-later
"""A clean release with the package and only what it depends on has all that the package calls."""

import re
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.packages.boxes import UNIT
from tests.packages.conftest import Built
from tests.packages.roots import in_root
from tests.system.harness import REPOSITORY

DROP_INS = sorted(path.name for path in (REPOSITORY / "contrib/systemd/execwatchd.service.d").glob("*.conf"))
VERIFY = f"systemd-analyze verify --man=no {UNIT} 2>&1"
USE = f"""
mkdir -p /run/systemd/system/{UNIT}.d
cp /usr/share/execwatchd/{UNIT}.d/$1 /run/systemd/system/{UNIT}.d/
"""
# A case's patterns, and a command's name behind what may stand in front of it.
_PATTERNS = re.compile(r"^[a-z |-]+\)$", re.MULTILINE)
_COMMAND = re.compile(
    r"(?:^|&&|\|\||;|-exec) *(?:(?:if|then|else|!) +)*"
    r"(?!(?:if|then|else|fi|case|esac)\b)([a-z][\w-]+)(?= |$)",
    re.MULTILINE,
)
# In the words of bash, which knows its own; /bin/sh is another shell, with the same of them.
MISSING = """
for word; do
  [ -n "$(type -t "$word")" ] || echo "$word"
done
"""
# Whose each program is in Fedora.
OWNERS = {
    "busctl": "systemd",
    "find": "findutils",
    "journalctl": "systemd",
    "python3": "python3",
    "rm": "coreutils",
    "sh": "/bin/sh",
    "systemctl": "systemd",
    "systemd-notify": "systemd",
    "systemd-sysusers": "systemd",
}


def commands(script: str) -> set[str]:
    """The programs that a shell script calls, and the shell's own commands."""
    return set(_COMMAND.findall(_PATTERNS.sub("", script)))


def programs_of_the_unit(text: str) -> list[str]:
    return re.findall(r"^Exec\w+=(\S+)", text, re.MULTILINE)


@pytest.fixture(scope="session")
def installed(built: Built, layers: Path) -> Callable[..., str]:
    """Runs a bash script in the release with the package installed; /run is new each time."""
    layer = layers / f"{built.release.suite}-depends"
    shutil.copytree(built.packages, layer / "upper/opt/packages")

    def run(script: str, *arguments: str) -> str:
        return in_root(built.root, layer, "bash", "-euc", script, "bash", *arguments)

    run(f"apt-get -qqy --no-install-recommends install /opt/packages/{built.deb()}")
    run("systemd-machine-id-setup 2>&1")  # as at a boot: units of systemd's own refer to it
    return run


def test_the_unit_is_valid(installed: Callable[..., str]) -> None:
    assert installed(VERIFY) == ""


def test_the_unit_calls_what_is_there(installed: Callable[..., str]) -> None:
    """systemd-analyze looks at the first of several ExecReload= only."""
    called = programs_of_the_unit(installed(f"cat /usr/lib/systemd/system/{UNIT}"))
    assert len(called) == 4
    assert installed(MISSING, *called, "/bin/nothing") == "/bin/nothing\n"


@pytest.mark.parametrize("drop_in", DROP_INS)
def test_the_unit_with_a_drop_in_is_valid(installed: Callable[..., str], drop_in: str) -> None:
    assert installed(USE + VERIFY, drop_in) == ""


@pytest.mark.parametrize("script", ["postinst", "postrm", "prerm"])
def test_a_script_calls_what_is_there(installed: Callable[..., str], script: str) -> None:
    words = commands(installed(f"cat /var/lib/dpkg/info/execwatchd.{script}"))
    assert words & {"deb-systemd-invoke", "systemctl"}
    assert installed(MISSING, *words) == ""


def test_the_rpm_requires_what_its_scripts_and_the_unit_call() -> None:
    """By its description: no clean Fedora is here to try it on."""
    scripts = "".join(path.read_text() for path in (REPOSITORY / "packaging/rpm").glob("p*"))
    unit = (REPOSITORY / "contrib/systemd" / UNIT).read_text()
    called = {path.rpartition("/")[2] for path in programs_of_the_unit(unit)}
    assert commands(scripts) | called - {"execwatchd"} == OWNERS.keys()
    rpm = tomllib.loads((REPOSITORY / "packaging/package.toml").read_text())["overrides"]["rpm"]
    assert {text.split()[0] for text in rpm["depends"]} >= {*OWNERS.values()}

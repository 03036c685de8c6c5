# SPDX-License-Identifier: GPL-2.0-or-later
"""What systemd and journald are given is valid, and agrees with the code."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from execwatchd.policy import validate
from execwatchd.policy.settings import Settings
from execwatchd.shared.errors import EXIT_CONFIG
from execwatchd.shared.message_ids import MessageId

REPOSITORY = Path(__file__).resolve().parents[2]
UNITS = REPOSITORY / "contrib/systemd"
CATALOGUE = (UNITS / "execwatchd.catalog").read_text()
CONFIG = (REPOSITORY / "contrib/execwatchd.toml").read_text()
DROP_INS = sorted((UNITS / "execwatchd.service.d").glob("*.conf"))
EXAMPLES: dict[str, Any] = {
    "messages": {0: "root", 1000: "Hi user 1000!"},
    "actions": {65534: "ignore"},
    "limits": {0: "off"},
}


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that exists: systemd checks that too."""
    text = (UNITS / "execwatchd.service").read_text()
    assert "\nExecStart=/usr/sbin/execwatchd\n" in text
    copy = tmp_path / "execwatchd.service"
    copy.write_text(text.replace("/usr/sbin/execwatchd", "/bin/true"))
    return copy


def test_the_unit_is_valid(unit: Path) -> None:
    assert run("systemd-analyze", "verify", "--man=no", unit) == ""


@pytest.mark.parametrize("drop_in", DROP_INS, ids=lambda path: path.stem)
def test_a_drop_in_is_valid(unit: Path, drop_in: Path) -> None:
    directory = unit.with_name("execwatchd.service.d")
    directory.mkdir()
    (directory / drop_in.name).write_text(drop_in.read_text())
    assert run("systemd-analyze", "verify", "--man=no", unit) == ""


@pytest.mark.parametrize("drop_in", sorted((UNITS / "fleet").glob("*.d/*.conf")), ids=lambda p: p.parent.stem)
def test_a_drop_in_of_the_fleet_is_valid(drop_in: Path, tmp_path: Path) -> None:
    for unit in Path("/usr/lib/systemd/system").glob("systemd-journal-[ru]*"):
        shutil.copy(unit, tmp_path)
    shutil.copytree(drop_in.parent, tmp_path / drop_in.parent.name)
    assert run("systemd-analyze", "verify", "--man=no", tmp_path / drop_in.parent.stem) == ""


@pytest.mark.parametrize(
    "unit", sorted((UNITS / "fleet").glob("journal-remote-*")), ids=lambda path: path.name
)
def test_a_unit_of_the_fleet_is_valid(unit: Path) -> None:
    assert run("systemd-analyze", "verify", "--man=no", unit) == ""


def test_the_exposure_is_at_most_one(unit: Path) -> None:
    run("systemd-analyze", "security", "--offline=yes", "--threshold=10", unit)


def test_a_rejected_configuration_is_not_tried_again() -> None:
    assert f"\nRestartPreventExitStatus={EXIT_CONFIG}\n" in (UNITS / "execwatchd.service").read_text()


def test_there_is_one_catalogue_entry_for_each_kind() -> None:
    assert sorted(re.findall(r"^-- ([0-9a-f]{32})$", CATALOGUE, re.MULTILINE)) == sorted(
        k.value for k in MessageId
    )


def test_journald_takes_the_catalogue(tmp_path: Path) -> None:
    target = tmp_path / "usr/lib/systemd/catalog"
    target.mkdir(parents=True)
    (target / "execwatchd.catalog").write_text(CATALOGUE)
    (tmp_path / "var/lib/systemd/catalog").mkdir(parents=True)
    assert run("journalctl", f"--root={tmp_path}", "--update-catalog") == ""
    listed = run("journalctl", f"--root={tmp_path}", "--list-catalog")
    assert {line.split()[0] for line in listed.splitlines()} == {kind.value for kind in MessageId}
    assert all(" execwatchd: " in line for line in listed.splitlines())


def test_the_shipped_configuration_changes_nothing() -> None:
    assert Settings.of_file(validate.settings(tomllib.loads(CONFIG))) == Settings()


def test_the_shipped_configuration_shows_each_default() -> None:
    shown = tomllib.loads(re.sub(r"^#(?=[a-z0-9_]+ = )", "", CONFIG, flags=re.MULTILINE))
    assert validate.settings(shown) == Settings().in_file() | {"ring_size": 8 << 20} | EXAMPLES


@pytest.mark.parametrize("pattern", ["packaging/dbus/*", "execwatchd/bus/*.xml"])
def test_xml_is_well_formed(pattern: str) -> None:
    found = list(REPOSITORY.glob(pattern))
    assert found
    for path in found:
        ET.parse(path)

# SPDX-License-Identifier: GPL-2.0-or-later
"""What README.md says is supported is what the tests run on, and what the packages ask for."""

import re
import tomllib
from pathlib import Path

from tests.matrix.kernels import KERNELS
from tests.packages.roots import RELEASES

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "README.md").read_text()


def test_the_table_has_each_release_and_kernel_that_is_tried() -> None:
    table = re.findall(r"^\| tried on .*\n\|[-|]+\n((?:\|.*\n)+)", README, re.MULTILINE)[0]
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()]
    series = {kernel.suite: kernel.series for kernel in KERNELS}
    expected = [
        [f"Debian {one.tag[3:]} {one.suite}", series.pop(one.suite), one.systemd, one.bcc, one.python]
        for one in RELEASES
    ]
    expected += [[f"its kernel of {suite}", number, "", "", ""] for suite, number in series.items()]
    assert rows == expected


def test_the_least_versions_are_what_the_packages_ask_for() -> None:
    said = dict(re.findall(r"(systemd|Python)\s+([\d.]+)\s+or\s+newer", README))
    package = tomllib.loads((REPOSITORY / "packaging/package.toml").read_text())
    (systemd,) = re.findall(r"systemd \(>= (\d+)\)", " ".join(package["overrides"]["deb"]["depends"]))
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert said == {"systemd": systemd, "Python": project["requires-python"].removeprefix(">=")}

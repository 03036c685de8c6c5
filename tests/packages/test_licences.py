# SPDX-License-Identifier: GPL-2.0-or-later
"""What the packages say of the licences of what they carry."""

import json
import re
from pathlib import Path

from tests.packages.conftest import Built
from tests.packages.test_built import files_of_the_deb, tool

# SPDX's, of each release's .rpm.
EXPRESSIONS = {
    "bookworm": ("GPL-2.0-or-later", "MIT", "BSD-3-Clause", "Apache-2.0", "Unicode-3.0", "Zlib", "PSF-2.0"),
    "trixie": ("GPL-2.0-or-later", "BSD-3-Clause", "Apache-2.0"),
}
# Under which pydantic's crates are taken, and those that only run while it is compiled.
CHOSEN = {"MIT", "Unicode-3.0", "Zlib"}
NOT_IN_IT = {"target-lexicon", "unicode-ident"}


def vendored(built: Built, layers: Path) -> dict[str, str]:
    """Names and versions of the libraries that are carried."""
    packed = "\n".join(files_of_the_deb(built, layers))
    return dict(re.findall(r"/vendor/(\w+)-([\d.]+)\.dist-info/METADATA", packed))


def test_the_copyright_file_has_what_is_carried_and_no_more(built: Built, layers: Path) -> None:
    script = f"dpkg-deb --fsys-tarfile {built.deb()} | tar -xO ./usr/share/doc/execwatchd/copyright"
    text = tool(built, layers, script)
    files = {word for line in re.findall(r"^Files: (.+)$", text, re.MULTILINE) for word in line.split()}
    for name in vendored(built, layers):
        assert any(path.startswith(f"/usr/lib/execwatchd/vendor/{name}") for path in files)
    assert ("/usr/lib/execwatchd/vendor/pydantic/*" in files) == ("pydantic" in built.release.carries)
    named = re.findall(r"^License: (.+)\n(?! )", text, re.MULTILINE)
    texts = re.findall(r"^License: (.+)\n(?= )", text, re.MULTILINE)
    assert len(texts) == len(set(texts))
    assert {name for names in named for name in names.split(" and ")} == set(texts)


def test_the_rpm_names_licences_and_libraries(built: Built, layers: Path) -> None:
    query = f"rpm --query --package {built.rpm()}"
    expression = tool(built, layers, f"{query} --queryformat '%{{LICENSE}}'")
    assert tuple(expression.split(" AND ")) == EXPRESSIONS[built.release.suite]
    provided = tool(built, layers, f"{query} --provides")
    bundled = re.findall(r"^bundled\(python3dist\((\S+)\)\) = (\S+)$", provided, re.MULTILINE)
    assert {name.replace("-", "_"): version for name, version in bundled} == vendored(built, layers)
    assert ("bundled(crate(pyo3)) = " in provided) == ("pydantic" in built.release.carries)
    texts = {"Apache-2.0", "LICENSE", "copyright"}
    assert {*tool(built, layers, f"{query} --licensefiles").split()} == {
        f"/usr/share/licenses/execwatchd/{name}" for name in texts
    }
    assert "/usr/share/doc/execwatchd/README.md" in tool(built, layers, f"{query} --docfiles").split()


def test_each_crate_may_be_taken_under_a_licence_that_is_named(built: Built) -> None:
    found = {}
    for bill in (built.layer / "upper/src/.venv").rglob("pydantic_core-*.dist-info/sboms/*.json"):
        for crate in json.loads(bill.read_text())["components"]:
            (licence,) = crate["licenses"]
            found[crate["name"]] = set(licence["expression"].split(" OR "))
    assert len(found) > 50
    assert {name for name, choice in found.items() if not choice & CHOSEN} == NOT_IN_IT

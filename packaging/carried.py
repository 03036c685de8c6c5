# SPDX-License-Identifier: GPL-2.0-or-later
"""What a package carries of other projects: their licences, their names, and what lintian says of them."""

import json
import re
from collections.abc import Collection, Iterator
from fnmatch import fnmatchcase
from typing import Any

import stage

# Debian's short names, and SPDX's.
LICENCES = {
    "Apache-2.0": "Apache-2.0",
    "BSD-3-clause": "BSD-3-Clause",
    "Expat": "MIT",
    "GPL-2+": "GPL-2.0-or-later",
    "PSF-2.0": "PSF-2.0",
    "Unicode-3.0": "Unicode-3.0",
    "Zlib": "Zlib",
}


def copyrights(paths: Collection[str]) -> str:
    """packaging/copyright, without what concerns none of these files."""
    paragraphs = (stage.ROOT / "packaging/copyright").read_text().rstrip("\n").split("\n\n")
    kept = [text for text in paragraphs if not text.startswith("Files:") or _concerns(text, paths)]
    used = set(licences("\n\n".join(kept)))
    kept = [text for text in kept if not text.startswith("License:") or _names(text)[0] in used]
    return "\n\n".join(kept) + "\n"


def overrides(paths: Collection[str]) -> str:
    """packaging/deb/lintian-overrides for these files: lintian reports one that has nothing to override."""
    every = (stage.ROOT / "packaging/deb/lintian-overrides").read_text()
    head, *paragraphs = every.rstrip("\n").split("\n\n")
    kept = [text for text in paragraphs if any(path.startswith(_directories(text)) for path in paths)]
    return "\n\n".join((head, *kept)) + "\n"


def _directories(paragraph: str) -> tuple[str, ...]:
    """Where the files are that a paragraph of overrides is about."""
    return tuple(f"/{path}" for path in re.findall(r"\[(.+/)\*?\]", paragraph))


def licences(text: str) -> list[str]:
    """Debian's names of the licences that the files have, in the order of the text."""
    files = [paragraph for paragraph in text.split("\n\n") if paragraph.startswith("Files:")]
    return list(dict.fromkeys(name for paragraph in files for name in _names(paragraph)))


def expression(text: str) -> str:
    """The same for rpm, as SPDX has it."""
    return " AND ".join(LICENCES[name] for name in licences(text))


def _concerns(paragraph: str, paths: Collection[str]) -> bool:
    patterns = paragraph.partition("\n")[0].split()[1:]
    return any(fnmatchcase(path, pattern) for path in paths for pattern in patterns)


def _names(paragraph: str) -> list[str]:
    (names,) = re.findall(r"^License: (.+)$", paragraph, re.MULTILINE)
    return str(names).split(" and ")


def bundled(vendored: Collection[str]) -> Iterator[str]:
    """As rpm's packages name it: it serves nobody else, but who looks for a vulnerable library finds it."""
    for name in sorted(stage.with_requirements(vendored)):
        distribution = stage.distribution(name)
        yield f"bundled(python3dist({name})) = {distribution.version}"
        for file in distribution.files or ():
            if file.name.endswith(".cyclonedx.json"):
                bill = json.loads((stage.SITE / file).read_text())
                yield from (f"bundled(crate({crate})) = {version}" for crate, version, _ in crates(bill))


def crates(bill: Any) -> Iterator[tuple[str, str, str]]:
    """Name, version and licence of each crate that a bill of materials (CycloneDX) lists."""
    for component in bill["components"]:
        (licence,) = component["licenses"]
        yield component["name"], component["version"], licence["expression"]

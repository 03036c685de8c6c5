# SPDX-License-Identifier: GPL-2.0-or-later
"""package.py: builds a .deb and an .rpm into dist/, for the release that it runs on.

package.toml says what they are and stage.py what is in them; nFPM writes both formats.
Nothing in them depends on when, where and by whom they are built.
"""

import gzip
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))  # -I leaves it out

import carried
import host
import release_notes
import stage
from stage import ROOT, File

BUILD, DIST = ROOT / "build/package", ROOT / "dist"
NFPM = ROOT / ".venv/bin/nfpm"
DOC, TEXTS = "/usr/share/doc/execwatchd", "/usr/share/licenses/execwatchd"

Description = dict[str, Any]


def files(form: str, vendored: list[str], changelog: str) -> dict[str, File]:
    """The installation as such a package has it: manual pages compressed, the licence in its place."""
    found = {
        (f"{path}.gz" if "/man/" in path else path): (_compressed(file.content) if "/man/" in path else file)
        for path, file in stage.manifest("/usr", vendored).items()
    }
    licence = found.pop(f"{DOC}/LICENSE")
    if form == "deb":
        found[f"{DOC}/changelog.gz"] = _compressed(found.pop(f"{DOC}/CHANGELOG.md").content)
        found[f"{DOC}/changelog.Debian.gz"] = _compressed(changelog.encode())
        found[f"{DOC}/copyright"] = File(carried.copyrights(found).encode())
        found["/usr/share/lintian/overrides/execwatchd"] = File(carried.overrides(found).encode())
    else:
        found[f"{TEXTS}/copyright"] = File(carried.copyrights(found).encode())
        found[f"{TEXTS}/LICENSE"] = licence
        found[f"{TEXTS}/Apache-2.0"] = File((ROOT / "packaging/rpm/Apache-2.0").read_bytes())
    return dict(sorted(found.items()))


def _compressed(content: bytes) -> File:
    return File(gzip.compress(content, 9, mtime=0))


def depends(form: str, vendored: list[str]) -> Iterator[str]:
    """What only this release decides."""

    def relation(name: str, sign: str, wanted: str) -> str:
        if form == "rpm":
            return f"{name} {sign} {wanted}"
        return f"{name} ({'<<' if sign == '<' else sign} {wanted}{'~' if sign == '<' else ''})"

    for library in sorted(host.requirements().keys() - vendored):
        name, bounds = host.package(library, form)
        for sign, wanted in bounds:
            yield relation(name, sign, ".".join(map(str, wanted)))
    if not vendored:
        yield relation("python3", ">=", "3.11")
    elif form == "rpm":
        yield f"python(abi) = {host.python()}"
    else:
        major, minor = host.python().split(".")
        yield relation("python3", ">=", host.python())
        yield relation("python3", "<", f"{major}.{int(minor) + 1}")
        # what compiled libraries may be linked with, by the rules for wheels
        yield from ("libc6 (>= 2.28)", "libgcc-s1 (>= 4.2)", "libstdc++6 (>= 8)")


def contents(tree: Path, listed: dict[str, File], made: str) -> Iterator[Description]:
    """nFPM's list of what is in a package; directories that are ours too, so that rpm removes them."""
    directories = {
        str(parent)
        for path in listed
        for parent in PurePosixPath(path).parents
        if "execwatchd" in str(parent)
    }
    for path in sorted(directories):
        yield {"dst": path, "type": "dir", "file_info": {"mode": 0o755, "mtime": made}}
    for path, file in listed.items():
        target = tree / path[1:]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.content)
        kind = {"type": "config|noreplace"} if path == stage.CONFIG else {}
        info = {"mode": file.mode, "mtime": made}
        yield {"src": str(target), "dst": path, "file_info": info, **kind}


def build(form: str, vendored: list[str]) -> None:
    description: Description = tomllib.loads((ROOT / "packaging/package.toml").read_text())
    every = release_notes.releases((ROOT / "CHANGELOG.md").read_text())
    today = release_notes.epoch(every[0])
    revision = f"1~{host.tag()}" if form == "deb" else f"1.{host.tag()}"
    changelog = release_notes.debian(every, revision, description["maintainer"], today)
    made = today.strftime("%Y-%m-%dT%H:%M:%SZ")
    listed = files(form, vendored, changelog)
    description |= {
        "version": stage.version(),
        "release": revision,
        "arch": host.architecture() if vendored else "all",
        "mtime": made,
        "contents": list(contents(BUILD / form, listed, made)),
    }
    description["overrides"][form]["depends"] += depends(form, vendored)
    if form == "rpm":
        speak_rpm(description, listed, vendored)
        notes = BUILD / "changelog.json"
        notes.write_text(release_notes.nfpm(every, revision, description["maintainer"], today))
        description["changelog"] = str(notes)
    config = BUILD / f"{form}.json"
    config.write_text(json.dumps(description, indent=1))
    command = (NFPM, "package", "--config", config, "--packager", form, "--target", DIST)
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(int(today.timestamp()))}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"execwatchd: nfpm: {done.stderr or done.stdout}")


def speak_rpm(description: Description, listed: dict[str, File], vendored: list[str]) -> None:
    """What rpm says in other words than Debian, or Debian in a file only."""
    description["description"] = description["description"].partition("\n")[2].replace("\n.\n", "\n\n")
    description["license"] = carried.expression(listed[f"{TEXTS}/copyright"].content.decode())
    description["overrides"]["rpm"]["provides"] = list(carried.bundled(vendored))
    for item in description["contents"]:
        if item["dst"].startswith(f"{TEXTS}/"):
            item["type"] = "license"
        elif item["dst"].startswith((f"{DOC}/", "/usr/share/man/")):
            item.setdefault("type", "doc")  # but what is a directory


def empty() -> None:
    if BUILD.exists():
        shutil.rmtree(BUILD)
    BUILD.mkdir(parents=True)
    DIST.mkdir(exist_ok=True)
    for old in (*DIST.glob("*.deb"), *DIST.glob("*.rpm")):
        old.unlink()


def main() -> None:
    os.umask(0o022)
    try:
        empty()
    except PermissionError:
        sys.exit("execwatchd: build or dist is another user's: run it with sudo, or sudo make clean first")
    vendored = [library for library in host.requirements() if not host.has(library)]
    for form in ("deb", "rpm"):
        build(form, vendored)
    print(*sorted(str(path.relative_to(ROOT)) for path in DIST.iterdir()), sep="\n")


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-2.0-or-later
"""release_notes.py VERSION: whether CHANGELOG.md tells of it. Also the same changelog for packages."""

import json
import os
import re
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Release:
    """One version, when it was made (None: not yet), and its changes, a line each."""

    version: str
    made: datetime | None
    changes: tuple[str, ...]


def releases(text: str) -> list[Release]:
    """What a changelog tells of, the newest first."""
    found = re.split(r"^## (\S+) \((unreleased|\d{4}-\d\d-\d\d)\)$", text, flags=re.MULTILINE)[1:]
    return [
        Release(version, _date(date), tuple(_changes(body)))
        for version, date, body in zip(found[::3], found[1::3], found[2::3], strict=True)
    ]


def _date(date: str) -> datetime | None:
    return None if date == "unreleased" else datetime.fromisoformat(date).replace(tzinfo=UTC)


def _changes(body: str) -> list[str]:
    return [" ".join(item.split()) for item in re.split(r"^- ", body, flags=re.MULTILINE)[1:]]


def epoch(newest: Release) -> datetime:
    """The date that everything in a package bears, so that it has the same bytes whenever it is built."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return datetime.fromtimestamp(int(given), UTC)
    if newest.made:
        return newest.made
    # root may build in a checkout of another user
    command = ("git", "-C", str(ROOT), "-c", f"safe.directory={ROOT}", "log", "-1", "--format=%ct")
    try:
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):  # no git, or a source archive
        shown = str(int((ROOT / "CHANGELOG.md").stat().st_mtime))
    return datetime.fromtimestamp(int(shown), UTC)


def debian(every: list[Release], revision: str, maintainer: str, today: datetime) -> str:
    """A changelog as dpkg reads it."""
    return "\n".join(_debian(release, revision, maintainer, release.made or today) for release in every)


def _debian(release: Release, revision: str, maintainer: str, made: datetime) -> str:
    changes = (
        textwrap.fill(change, 78, initial_indent="  * ", subsequent_indent="    ")
        for change in release.changes
    )
    heading = f"execwatchd ({release.version}-{revision}) unstable; urgency=medium"
    return f"{heading}\n\n{chr(10).join(changes)}\n\n -- {maintainer}  {format_datetime(made)}\n"


def nfpm(every: list[Release], revision: str, maintainer: str, today: datetime) -> str:
    """A changelog as nFPM reads it, which makes an .rpm's of it."""
    return json.dumps([_nfpm(release, revision, maintainer, release.made or today) for release in every])


def _nfpm(release: Release, revision: str, maintainer: str, made: datetime) -> dict[str, object]:
    return {
        "semver": f"{release.version}-{revision}",
        "date": made.isoformat(),
        "packager": maintainer,
        "changes": [{"note": change} for change in release.changes],
    }


def refusal(text: str, version: str) -> str:
    """Why a changelog doesn't make a release of this version, or nothing."""
    heading = next((line for line in text.splitlines() if line.startswith("## ")), "nothing")
    try:
        newest = next(iter(releases(text)), None)
    except ValueError as error:  # a 30th of February
        return f"a date in CHANGELOG.md: {error}"
    if newest is None or newest.made is None or heading != f"## {version} ({newest.made.date()})":
        return f"CHANGELOG.md begins with '{heading}', not with '## {version} ({datetime.now(UTC).date()})'"
    return "" if newest.changes else f"CHANGELOG.md tells of no change in {version}"


if __name__ == "__main__":
    said = refusal((ROOT / "CHANGELOG.md").read_text(), sys.argv[1])
    sys.exit(f"execwatchd: {said}" if said else 0)

# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/architecture.md lists the programs and maps that there are, and every package."""

import re
from pathlib import Path

from execwatchd.kernel import c_source
from execwatchd.kernel.loader import EXIT_TRACEPOINTS, FAILURE_TRACEPOINTS, RAW_TRACEPOINTS

REPOSITORY = Path(__file__).resolve().parents[2]
TEXT = (REPOSITORY / "docs/architecture.md").read_text()
SOURCE = "\n".join(text.decode() for text in c_source.read(c_source.directory()).values())
PROGRAM = re.compile(r"^int (\w+)\(struct \w+ \*ctx\)", re.MULTILINE)
TABLE = re.compile(r"^BPF_(?:F_)?TABLE\(\"(\w+)\", \w+, (?:struct )?\w+, (\w+),", re.MULTILINE)
ARRAY = re.compile(r"^BPF_(PERCPU_)?ARRAY\((\w+),", re.MULTILINE)
RING = re.compile(r"^BPF_RINGBUF_OUTPUT\((\w+),", re.MULTILINE)


def rows(heading: str) -> list[list[str]]:
    """The cells of the table that begins with this cell."""
    table = re.findall(rf"^\| {heading} \|.*\n\|[-|]+\n((?:\|.*\n)+)", TEXT, re.MULTILINE)[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def names(cell: str) -> list[str]:
    return re.findall(r"`(\w+)`", cell)


def test_every_program_is_listed_with_what_it_is_attached_to() -> None:
    listed = {names(row[0])[0]: row for row in rows("program")}
    assert listed.keys() == set(PROGRAM.findall(SOURCE))
    for tables, option in (
        (RAW_TRACEPOINTS, "always"),
        (EXIT_TRACEPOINTS, "`exits`"),
        (FAILURE_TRACEPOINTS, "`failures`"),
    ):
        for program in set(tables.values()):
            tracepoints = {name for name, one in tables.items() if one == program}
            _, attached, when, _ = listed[program]
            assert when == option
            if all("." not in name for name in tracepoints):
                assert set(names(attached)) == tracepoints
            else:
                assert attached == "the same, behind it"


def test_every_map_is_listed_with_its_type() -> None:
    types = {name: "per-CPU array" if per_cpu else "array" for per_cpu, name in ARRAY.findall(SOURCE)}
    types |= dict.fromkeys(RING.findall(SOURCE), "ring buffer")
    types |= {name: {"lru_hash": "LRU hash"}.get(kind, kind) for kind, name in TABLE.findall(SOURCE)}
    listed = {name: row[1] for row in rows("map") for name in names(row[0])}
    assert listed.keys() == types.keys()
    for name, kind in types.items():
        assert kind in listed[name], name


def test_every_package_is_in_the_picture() -> None:
    picture = TEXT.partition("\nData flows")[0]
    packages = {path.parent.name for path in (REPOSITORY / "execwatchd").glob("*/__init__.py")}
    assert packages == {name for name in packages if f"{name}/" in picture}

# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/fields.md says of each field what execwatchctl makes of it."""

import re
from pathlib import Path

from execwatchd.ctl.export.fields import ECS_VERSION, FIELDS, OTEL_VERSION, Field, ecs_names, otel_names
from execwatchd.ctl.journal.events import ARGUMENTS, NUMBERS, TEXTS

PAGE = (Path(__file__).resolve().parents[2] / "docs/fields.md").read_text()


def code(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def row(name: str, field: Field) -> str:
    """A field's line of the table."""
    cells = code(ecs_names(name)), code(otel_names(name)), code(field.sigma.split()), field.what, field.when
    return f"| `EXECWATCH_{name}` | {' | '.join(cells)} |".replace("|  |", "| |")


def test_the_table_is_that_of_the_code() -> None:
    """Where it fails, it shows the lines that belong into the page."""
    rows = [row(name, field) for name, field in FIELDS.items()]
    assert "\n".join(rows) == "\n".join(re.findall(r"^\| `EXECWATCH_.*$", PAGE, re.MULTILINE))


def test_every_field_of_an_entry_is_in_the_table() -> None:
    assert {*NUMBERS, *TEXTS, *ARGUMENTS} <= FIELDS.keys()


def test_the_versions_are_those_of_the_code() -> None:
    assert f"(version {ECS_VERSION})" in PAGE
    assert f"(version {OTEL_VERSION})" in PAGE

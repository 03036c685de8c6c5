# SPDX-License-Identifier: GPL-2.0-or-later
"""A take-over keeps a program as long as nothing that it is made of has changed."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from execwatchd.kernel import c_source, digest, layout
from execwatchd.kernel.options import MIB, Options

OPTIONS = Options(MIB)
SOURCES = sorted(c_source.read(c_source.directory()))


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    return Path(shutil.copytree(c_source.directory(), tmp_path / "bpf"))


def read_again(directory: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The digest by a daemon whose modules are in this directory."""
    monkeypatch.setattr(digest, "_GENERATORS", digest.generators(directory))
    return digest.digest(c_source.directory(), OPTIONS)


def test_it_is_the_same_where_nothing_changed(sources: Path) -> None:
    assert digest.digest(sources, OPTIONS) == digest.digest(c_source.directory(), OPTIONS)
    assert len(digest.digest(sources, OPTIONS)) == 64


@pytest.mark.parametrize("name", SOURCES)
def test_each_file_of_the_program_counts(name: str, sources: Path) -> None:
    before = digest.digest(sources, OPTIONS)
    with (sources / name).open("a") as file:
        file.write("\n")
    assert digest.digest(sources, OPTIONS) != before


def test_a_file_that_comes_goes_or_moves_counts(sources: Path) -> None:
    before = digest.digest(sources, OPTIONS)
    (sources / "new.h").write_text("")
    added = digest.digest(sources, OPTIONS)
    (sources / "new.h").rename(sources / "kernel/new.h")
    moved = digest.digest(sources, OPTIONS)
    (sources / "kernel/new.h").unlink()
    assert len({before, added, moved}) == 3
    assert digest.digest(sources, OPTIONS) == before


def test_what_no_compiler_reads_does_not_count(sources: Path) -> None:
    before = digest.digest(sources, OPTIONS)
    (sources / "execwatch.c~").write_text("an editor's")
    assert digest.digest(sources, OPTIONS) == before


@pytest.mark.parametrize("name", digest.GENERATORS)
def test_what_generates_the_members_places_counts(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = digest.digest(c_source.directory(), OPTIONS)
    for generator in digest.GENERATORS:
        shutil.copy(Path(digest.__file__).with_name(generator), tmp_path)
    assert read_again(tmp_path, monkeypatch) == before
    with (tmp_path / name).open("a") as file:
        file.write("\n")
    assert read_again(tmp_path, monkeypatch) != before


def test_the_record_layout_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest.digest(c_source.directory(), OPTIONS)
    monkeypatch.setattr(layout, "SCHEMA", layout.SCHEMA + " more:I")
    assert digest.digest(c_source.directory(), OPTIONS) != before


@pytest.mark.parametrize(
    "changed",
    [
        replace(OPTIONS, ring_size=2 * MIB),
        replace(OPTIONS, argv_bytes=512),
        replace(OPTIONS, ancestors=1),
        replace(OPTIONS, failures=True),
        replace(OPTIONS, cwd=True),
        replace(OPTIONS, interactive=True),
        replace(OPTIONS, exits=True),
    ],
    ids=str,
)
def test_each_option_counts(changed: Options) -> None:
    sources = c_source.directory()
    assert digest.digest(sources, changed) != digest.digest(sources, OPTIONS)

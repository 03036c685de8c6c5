# SPDX-License-Identifier: GPL-2.0-or-later
import logging
import os
import stat
from pathlib import Path

import pytest

from execwatchd.policy import last_good, reader
from execwatchd.policy.configuration import Config
from tests.unit.conftest import FullDisk


@pytest.fixture
def config(tmp_path: Path) -> Config:
    file = tmp_path / "etc/execwatchd/execwatchd.toml"
    file.parent.mkdir(parents=True)
    file.write_text('default_message = "dflt"\ncwd = true\n[messages]\n7 = "ü"\n[limits]\n8 = "9/s"\n')
    return reader.configuration(tmp_path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    return tmp_path / "state/configuration.json"


def test_what_is_kept_is_read_back(path: Path, config: Config) -> None:
    for kept in (Config(), config):
        last_good.keep(path, kept)
        assert reader.last_good(path) == kept
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == [path.name]


def test_no_path_keeps_nothing(config: Config) -> None:
    last_good.keep(None, config)
    assert reader.last_good(None) is None


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b'{"settings": {"x": 1}, "origins": []}', b"\xff"]
)
def test_what_this_version_does_not_understand_is_left_aside(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert reader.last_good(path) is None


def test_a_full_disk_is_reported_and_leaves_what_was_kept_before(
    path: Path, config: Config, full_disk: FullDisk, caplog: pytest.LogCaptureFixture
) -> None:
    last_good.keep(path, Config())
    with full_disk("write"):
        last_good.keep(path, config)
    assert reader.last_good(path) == Config()
    assert os.listdir(path.parent) == [path.name]
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (
        logging.WARNING,
        f"the accepted configuration could not be kept in {path}: No space left on device;"
        " a start with invalid files will have the one that was kept before",
    )

# SPDX-License-Identifier: GPL-2.0-or-later
import asyncio
import errno
import json
import logging
import os
import socket
import stat
from pathlib import Path

import pytest

from execwatchd.policy.layer import Layer
from execwatchd.policy.state import StateStore
from execwatchd.shared.errors import NotChanged
from execwatchd.shared.message_ids import MessageId
from execwatchd.shared.rules import MAX_UIDS, Action, Rule
from tests.fakes.control import state_store
from tests.unit.conftest import FullDisk

STATE = Layer(
    Rule("", Action.IGNORE),
    {0: Rule("root"), 4294967294: Rule("ü"), 501: Rule(action=Action.RECORD, limit="200/s")},
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.json"


def save(path: Path | None, state: Layer) -> None:
    asyncio.run(state_store(path).save(state))


def names(path: Path) -> list[str]:
    return sorted(os.listdir(path.parent))


def test_what_is_saved_is_loaded(path: Path) -> None:
    assert state_store(path).state == Layer()
    save(path, STATE)
    assert state_store(path).state == STATE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names(path) == ["state.json"]
    assert path.read_text().startswith('{\n "version": 1,\n "default_message": "",\n')
    assert json.loads(path.read_text()) == {
        "version": 1,
        "default_message": "",
        "default_action": "ignore",
        "messages": {"0": "root", "4294967294": "ü"},
        "actions": {"501": "record"},
        "limits": {"501": "200/s"},
    }


def test_an_empty_state_has_its_version_and_no_default(path: Path) -> None:
    save(path, Layer())
    assert json.loads(path.read_text()) == {"version": 1, "messages": {}, "actions": {}, "limits": {}}


def test_no_path_keeps_nothing() -> None:
    save(None, STATE)
    assert StateStore(None).state == Layer()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"version": 1, "messages": {"1": "tr',
        b"\xff\xfe",
        b"[]",
        b'{"version": 2}',
        b'{"version": 1, "unknown": 1}',
        b'{"version": 1, "limit_per_user": "9/s"}',
        b'{"version": 1, "messages": {"01": "x"}}',
        b'{"version": 1, "messages": {"1": "a\\nb"}}',
        b'{"version": 1, "actions": {"1": "default"}}',
        b'{"version": 1, "limits": {"1": "default"}}',
        b"[" * 100_000,
    ],
)
def test_a_bad_file_is_set_aside(path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    path.write_bytes(content)
    store = state_store(path)
    assert store.state == Layer()
    (aside,) = names(path)
    assert aside.startswith("state.json.rejected-")
    assert (path.parent / aside).read_bytes() == content
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.__dict__["journal"]["MESSAGE_ID"] == MessageId.STATE_REJECTED.value
    assert aside in record.getMessage()
    assert aside in store.problem
    assert len(record.getMessage().splitlines()) == 1


def test_each_bad_file_is_kept(path: Path) -> None:
    contents = {b"one", b"two", b"three"}
    for content in contents:
        path.write_bytes(content)
        state_store(path)
    assert {(path.parent / name).read_bytes() for name in names(path)} == contents


def test_a_directory_in_its_place_is_set_aside(path: Path) -> None:
    path.mkdir()
    save(path, STATE)
    assert state_store(path).state == STATE


def test_a_bad_file_that_cannot_be_renamed_is_not_overwritten(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(b"bad")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", _raise)
        store = state_store(path)
        with pytest.raises(NotChanged):
            asyncio.run(store.save(STATE))
        assert path.read_bytes() == b"bad"
    asyncio.run(store.save(STATE))
    assert state_store(path).state == STATE
    assert len(names(path)) == 2


def _raise(*_args: object, **_kwargs: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("call", ["fsync", "open", "replace"])
def test_a_failed_write_changes_nothing(
    path: Path, call: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    save(path, Layer())
    before = path.read_bytes()
    store = state_store(path)
    monkeypatch.setattr(Path if call == "replace" else os, call, _raise)
    with pytest.raises(NotChanged) as error:
        asyncio.run(store.save(STATE))
    monkeypatch.undo()
    assert str(error.value) == "the change could not be saved, so it was not made: No space left on device"
    assert str(path) in caplog.text
    assert path.read_bytes() == before
    assert names(path) == ["state.json"]


@pytest.mark.parametrize("call", ["write", "fsync of the file", "fsync of the directory"])
def test_a_full_disk_changes_nothing(path: Path, call: str, full_disk: FullDisk) -> None:
    save(path, Layer())
    before = path.read_bytes()
    with full_disk(call), pytest.raises(NotChanged, match="No space left on device"):
        save(path, STATE)
    assert path.read_bytes() == before
    assert names(path) == ["state.json"]


@pytest.mark.parametrize("what", ["fifo", "directory", "device", "socket", "large", "full"])
def test_what_is_no_state_file_is_set_aside_without_waiting(
    path: Path, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    reason = "not a regular file"
    match what:
        case "fifo":
            os.mkfifo(path)
        case "directory":
            path.mkdir()
            reason = "Is a directory"
        case "device":
            path.symlink_to("/dev/zero")
        case "socket":
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(str(path))
            reason = "No such device or address"
        case "large":
            path.write_bytes(b" " * (16 << 20) + b"{}")
            reason = "larger than 16 MiB"
        case "full":
            rules = {uid: Rule("x") for uid in range(MAX_UIDS + 1)}
            save(path, Layer(rules=rules))
            reason = f"it has {MAX_UIDS + 1} UIDs, and the table holds {MAX_UIDS}"
    store = state_store(path)
    assert store.state == Layer()
    assert f": {reason}. What was set over D-Bus is not in effect." in caplog.text
    asyncio.run(store.save(STATE))
    assert state_store(path).state == STATE
    assert len(names(path)) == 2


def test_a_state_as_large_as_the_table_is_loaded(path: Path) -> None:
    full = Layer(rules={uid: Rule("ü" * 31, Action.RECORD, "99999/s") for uid in range(MAX_UIDS)})
    save(path, full)
    assert state_store(path).state == full

# SPDX-License-Identifier: GPL-2.0-or-later
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from execwatchd.shared import atomic_file
from tests.unit.conftest import FullDisk

OLD, NEW = b"old\n", b"new\n" * 10_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.txt"


@pytest.fixture(params=[0o000, 0o077, 0o777])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_the_whole_content_with_the_wanted_mode_and_no_other_file(
    path: Path, mode: int, durable: bool
) -> None:
    for content in (OLD, NEW, b""):
        atomic_file.write(path, content, mode=mode, durable=durable)
        assert path.read_bytes() == content
        assert stat.S_IMODE(path.stat().st_mode) == mode
    assert os.listdir(path.parent) == [path.name]


def test_whoever_has_the_old_file_open_reads_it_to_the_end(path: Path) -> None:
    path.write_bytes(OLD)
    with path.open("rb") as before:
        atomic_file.write(path, NEW, mode=0o600)
        assert before.read() == OLD


def test_the_temporary_file_has_one_hidden_name_with_another_suffix(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def fail(self: Path, target: Path) -> None:
        seen.append((self.name, target.name))
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "replace", fail)
    for _ in range(2):
        with pytest.raises(OSError, match="Input/output error"):
            atomic_file.write(path, NEW, mode=0o600)
    assert seen == [(".a.txt.new", "a.txt")] * 2
    assert os.listdir(path.parent) == []


@pytest.mark.parametrize("mode", [0o000, 0o777])
def test_a_temporary_file_left_by_a_kill_is_not_reused(path: Path, mode: int) -> None:
    left = path.with_name(".a.txt.new")
    left.write_bytes(NEW * 2)
    left.chmod(mode)
    inode = left.stat().st_ino
    with left.open("rb") as keeps_the_inode:
        atomic_file.write(path, NEW, mode=0o600)
        assert keeps_the_inode.read() == NEW * 2
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (NEW, 0o600)
    assert path.stat().st_ino != inode


@pytest.mark.parametrize("name", ["a.txt", ".a.txt.new"])
def test_a_link_is_replaced_and_not_followed(path: Path, name: str) -> None:
    victim = path.with_name("victim")
    victim.write_bytes(OLD)
    path.with_name(name).symlink_to(victim)
    atomic_file.write(path, NEW, mode=0o600)
    assert (victim.read_bytes(), path.read_bytes(), path.is_symlink()) == (OLD, NEW, False)


def test_a_temporary_file_that_somebody_puts_there_meanwhile_is_not_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.with_name(".a.txt.new").write_bytes(OLD)
    monkeypatch.setattr(Path, "unlink", lambda *_args, **_kwargs: None)
    with pytest.raises(FileExistsError):
        atomic_file.write(path, NEW, mode=0o600)
    assert path.with_name(".a.txt.new").read_bytes() == OLD


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("old", [None, OLD])
def test_a_disk_that_fills_up_leaves_the_old_file_alone(
    path: Path, full_disk: FullDisk, old: bytes | None, durable: bool
) -> None:
    if old is not None:
        path.write_bytes(old)
    with full_disk("write"), pytest.raises(OSError, match="No space left"):
        atomic_file.write(path, NEW, mode=0o600, durable=durable)
    assert {name: (path.parent / name).read_bytes() for name in os.listdir(path.parent)} == (
        {} if old is None else {path.name: old}
    )


@pytest.mark.parametrize("call", ["file", "directory"])
def test_a_disk_that_is_full_at_fsync_leaves_the_old_file_alone(
    path: Path, full_disk: FullDisk, call: str
) -> None:
    path.write_bytes(OLD)
    with full_disk(f"fsync of the {call}"), pytest.raises(OSError, match="No space left"):
        atomic_file.write(path, NEW, mode=0o600, durable=True)
    assert path.read_bytes() == OLD
    assert os.listdir(path.parent) == [path.name]


def test_what_is_durable_is_synced_before_and_after_it_is_in_place(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(OLD)
    synced = []

    def fsync(fd: int) -> None:
        synced.append((os.path.basename(os.readlink(f"/proc/self/fd/{fd}")), path.read_bytes()))

    monkeypatch.setattr(os, "fsync", fsync)
    atomic_file.write(path, NEW, mode=0o600)
    assert synced == []
    path.write_bytes(OLD)
    atomic_file.write(path, NEW, mode=0o600, durable=True)
    assert synced == [(".a.txt.new", OLD), (path.parent.name, OLD), (path.parent.name, NEW)]


def test_an_interrupted_write_leaves_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_fd: int, _data: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", interrupt)
        with pytest.raises(KeyboardInterrupt):
            atomic_file.write(path, NEW, mode=0o600)
    assert os.listdir(path.parent) == []


def test_no_descriptor_is_left_open(path: Path, full_disk: FullDisk) -> None:
    before = os.listdir("/proc/self/fd")
    atomic_file.write(path, NEW, mode=0o600, durable=True)
    for call in ("write", "fsync of the file", "fsync of the directory"):
        with full_disk(call), pytest.raises(OSError, match="No space left"):
            atomic_file.write(path, NEW, mode=0o600, durable=True)
    assert len(os.listdir("/proc/self/fd")) == len(before)

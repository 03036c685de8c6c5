# SPDX-License-Identifier: GPL-2.0-or-later
"""EXE names the file that runs, however it was called, and the facts of the file are stat(2)'s."""

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from execwatchd.kernel.layout import Flag
from execwatchd.stream.decode import Record
from execwatchd.stream.exec_entry import encode
from tests.fakes.native import fields
from tests.kernel import facts
from tests.kernel.watch import HAS, Helper, Runner, Watch

RENAMES = 400
NONE = Flag(0)


def started(runner: Runner, way: str, file: str | Path, *arguments: str, **environment: Any) -> Helper:
    """It waits before its exec."""
    return runner.start(way, file, *arguments, **environment).ready()


def executed(watch: Watch, helper: Helper) -> Record:
    """The record of the helper's exec; what was executed is still there."""
    start = watch.of(helper.pid)
    helper.go()
    return watch.first(lambda record: record.pid == helper.pid and record not in start)


def check(watch: Watch, helper: Helper, filename: bytes, flags: Flag = NONE) -> dict[str, bytes]:
    """The record has the file as it was called, and as /proc/PID/exe has it; the fields of its entry."""
    record = executed(watch, helper)
    of_the_file = facts.file_of(helper.pid)
    assert {name: record._asdict()[name] for name in of_the_file} == of_the_file
    assert record.filename == filename + b"\0"
    assert Flag(record.flags) == HAS | flags == HAS | facts.flags(helper.pid) | flags & Flag.IS_UPPER
    entry = fields(encode(record))
    assert entry["EXECWATCH_EXE"] == facts.exe(helper.pid)
    assert entry.get("EXECWATCH_FILENAME", entry["EXECWATCH_EXE"]) == filename
    assert helper.end() == 0
    return entry


def test_a_symbolic_link(watch: Watch, runner: Runner, target: Path, public: Path) -> None:
    link = public / "link"
    link.symlink_to(target)
    (public / "to-links").symlink_to(public)
    for name in (link, public / "to-links/link"):
        check(watch, started(runner, "execve", name, "x"), bytes(name))


def test_a_hard_link(watch: Watch, runner: Runner, target: Path, public: Path) -> None:
    link = public / "hard-link"
    os.link(target, link)
    first = check(watch, started(runner, "execve", link, "x"), bytes(link))
    second = check(watch, started(runner, "execve", target, "x"), bytes(target))
    assert first["EXECWATCH_EXE_ID"] == second["EXECWATCH_EXE_ID"]
    assert first["EXECWATCH_EXE"] == bytes(link)


def test_relative_paths(watch: Watch, runner: Runner, target: Path, public: Path) -> None:
    (public / "below").mkdir()
    check(watch, started(runner, "execve", "./target", "x", cwd=public), b"./target")
    check(watch, started(runner, "execve", "..//target", "x", cwd=public / "below"), b"..//target")


def test_a_memfd(watch: Watch, runner: Runner, target: Path) -> None:
    entry = check(
        watch, started(runner, "memfd", target, "x"), b"/dev/fd/77", Flag.IS_FILELESS | Flag.EXE_DELETED
    )
    assert entry["EXECWATCH_EXE"] == b"/memfd:in memory (deleted)"
    assert entry["EXECWATCH_FILELESS"] == b"1"


def test_a_file_that_was_deleted(watch: Watch, runner: Runner, target: Path, public: Path) -> None:
    file = Path(shutil.copy(target, public / "deleted"))
    helper = started(runner, "fexecve", file, "x")
    file.unlink()
    check(watch, helper, b"/dev/fd/77", Flag.IS_FILELESS | Flag.EXE_DELETED)


def test_a_name_that_was_deleted_of_a_file_with_two(
    watch: Watch, runner: Runner, target: Path, public: Path
) -> None:
    """As what an upgrade replaced: the file is still somewhere."""
    file = Path(shutil.copy(target, public / "one-name"))
    os.link(file, public / "other-name")
    helper = started(runner, "fexecve", file, "x")
    file.unlink()
    check(watch, helper, b"/dev/fd/77", Flag.EXE_DELETED)


def test_a_file_without_a_name(watch: Watch, runner: Runner, target: Path, public: Path) -> None:
    descriptor = os.open(public, os.O_TMPFILE | os.O_WRONLY, 0o755)
    with os.fdopen(descriptor, "wb") as file:
        file.write(target.read_bytes())
        os.fchmod(descriptor, 0o755)
        reading = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY)
    try:
        name = f"/proc/{os.getpid()}/fd/{reading}"
        helper = started(runner, "execve", name, "x")
        check(watch, helper, name.encode(), Flag.IS_FILELESS | Flag.EXE_DELETED)
    finally:
        os.close(reading)


def test_a_bind_mount(watch: Watch, runner: Runner, target: Path, public: Path) -> None:
    (public / "original/inner").mkdir(parents=True)
    (public / "mounted").mkdir()
    shutil.copy(target, public / "original/inner/program")
    helper = started(runner, "bind-mount", "./program", "x", cwd=public / "mounted", ROOT=public / "original")
    entry = check(watch, helper, b"./program")
    assert entry["EXECWATCH_EXE"] == bytes(public / "mounted/inner/program")


def test_a_mounted_file(watch: Watch, runner: Runner, target: Path, public: Path) -> None:
    """The very file is the root of the mount."""
    place = public / "a file to mount on"
    place.touch()
    subprocess.run(["mount", "--bind", target, place], check=True)
    try:
        check(watch, started(runner, "execve", place, "x"), bytes(place))
    finally:
        subprocess.run(["umount", place], check=True)


def test_another_root(watch: Watch, runner: Runner, target: Path, public: Path) -> None:
    root = public / "another-root"
    root.mkdir()
    os.link(target, root / "target")
    helper = started(runner, "chroot", "/target", "x", cwd=root, ROOT=root)
    record = executed(watch, helper)
    assert record.exe == b"target\0"
    assert record.flags == HAS
    assert fields(encode(record))["EXECWATCH_EXE"] == b"/target"
    assert facts.exe(helper.pid) == bytes(root / "target")


def test_a_file_outside_of_the_root(watch: Watch, runner: Runner, target: Path, public: Path) -> None:
    root = public / "narrow-root"
    root.mkdir()
    helper = started(runner, "chroot", "./target", "x", cwd=public, ROOT=root)
    record = executed(watch, helper)
    assert record.exe == facts.components(bytes(target))
    assert Flag(record.flags) == HAS | Flag.EXE_UNREACHABLE
    assert fields(encode(record))["EXECWATCH_EXE"] == b"(unreachable)" + bytes(target)


@contextmanager
def overlay(lower: Path, place: Path) -> Iterator[Path]:
    """Mounted on `place`, with its upper layer in memory: an overlay can't be below another."""
    layers = place / "layers"
    merged = place / "merged"
    for directory in (layers, merged):
        directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", layers], check=True)
    for name in ("upper", "work", "lower"):
        (layers / name).mkdir()
    shutil.copy(lower, layers / "lower/program")
    options = f"lowerdir={layers}/lower,upperdir={layers}/upper,workdir={layers}/work"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, merged], check=True)
    try:
        yield merged
    finally:
        subprocess.run(["umount", merged], check=True)
        subprocess.run(["umount", layers], check=True)


def test_both_layers_of_an_overlay(watch: Watch, runner: Runner, target: Path, public: Path) -> None:
    place = public / "overlay"
    place.mkdir()
    with overlay(target, place) as merged:
        lower, upper = merged / "program", merged / "written"
        entry = check(watch, started(runner, "execve", lower, "x"), bytes(lower))
        assert "EXECWATCH_UPPER" not in entry
        shutil.copy(target, upper)
        entry = check(watch, started(runner, "execve", upper, "x"), bytes(upper), Flag.IS_UPPER)
        assert entry["EXECWATCH_UPPER"] == b"1"
        lower.chmod(0o700)  # which copies it up
        check(watch, started(runner, "execve", lower, "x"), bytes(lower), Flag.IS_UPPER)


def test_another_mount_namespace(watch: Watch, runner: Runner, target: Path) -> None:
    check(watch, started(runner, "mount-namespace", target, "x"), bytes(target))


@pytest.mark.parametrize(
    ("mode", "uid", "shown"),
    [
        (0o755, 0, None),
        (0o4755, 0, b"4755"),
        (0o2755, 0, b"2755"),
        (0o757, 0, b"0757"),
        (0o755, 4711, b"0755"),
    ],
)
def test_mode_and_owner(
    mode: int, uid: int, shown: bytes | None, watch: Watch, runner: Runner, target: Path, public: Path
) -> None:
    file = Path(shutil.copy(target, public / f"file-{mode:o}-{uid}"))
    os.chown(file, uid, 4712)
    file.chmod(mode)
    record = executed(watch, started(runner, "execve", file, "x"))
    entry = fields(encode(record))
    assert entry.get("EXECWATCH_EXE_MODE") == shown
    assert entry.get("EXECWATCH_EXE_OWNER") == (b"%d:4712" % uid if shown else None)


def test_the_users_own_file_is_usual(watch: Watch, runner: Runner, target: Path, public: Path) -> None:
    file = Path(shutil.copy(target, public / "own-file"))
    os.chown(file, 65534, 65534)
    entry = fields(encode(executed(watch, started(runner, "other-user", file, "x"))))
    assert "EXECWATCH_EXE_OWNER" not in entry


def test_a_rename_in_flight(watch: Watch, runner: Runner, target: Path, public: Path) -> None:
    """Each path is that of before or of after it, never parts of both."""
    directories = [public / "first directory", public / ("2" * 200)]
    directories[0].mkdir()
    shutil.copy(target, directories[0] / "program")
    ended = threading.Event()

    def rename() -> None:
        while not ended.is_set():
            os.rename(*directories)
            os.rename(*reversed(directories))

    renaming = threading.Thread(target=rename)
    renaming.start()
    try:
        helper = started(runner, "retry", "program", str(RENAMES), *map(str, directories))
        helper.go()
        assert helper.end() == 0
    finally:
        ended.set()
        renaming.join()
    records = watch.by(lambda record: record.ppid == helper.pid)
    assert len(records) == RENAMES
    assert {record.exe for record in records} == {facts.components(bytes(d / "program")) for d in directories}
    assert not any(record.flags & ~HAS for record in records)

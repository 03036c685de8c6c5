# SPDX-License-Identifier: GPL-2.0-or-later
"""The working directory, with the option that records it."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from execwatchd.kernel.layout import Flag
from execwatchd.stream.decode import Record
from execwatchd.stream.exec_entry import encode
from tests.fakes.native import fields
from tests.kernel import facts
from tests.kernel.facts import components
from tests.kernel.watch import (
    DEFAULT,
    HAS,
    Helper,
    Runner,
    Watch,
    after,
    as_dict,
    before,
    watching,
)


@pytest.fixture(scope="module")
def watch() -> Iterator[Watch]:
    with watching(replace(DEFAULT, cwd=True)) as attached:
        yield attached


def recorded(
    watch: Watch, helper: Helper, filename: Path, cwd: bytes | None, flags: int = 0, root: Path | None = None
) -> Record:
    """The record of the helper's exec; all of it is right but perhaps the directory, where that is None.

    `root`: the root directory of the helper.
    """
    expected = before(helper.ready().pid)
    start = watch.of(helper.pid)
    helper.go()
    record = watch.first(lambda one: one.pid == helper.pid and one not in start)
    expected |= {
        **after(helper.pid),
        "filename": bytes(filename) + b"\0",
        "flags": HAS | Flag.HAS_CWD | flags,
    }
    expected["cwd"] = record.cwd if cwd is None else components(cwd)
    if root:
        expected["exe"] = components(facts.exe(helper.pid).removeprefix(bytes(root)))
    assert as_dict(record) == expected
    assert helper.end() == 0
    return record


def test_any_directory(watch: Watch, runner: Runner, target: Path, public: Path) -> None:
    recorded(watch, runner.start("execve", target, "x", cwd=public), target, bytes(public))


def test_the_root(watch: Watch, runner: Runner, target: Path) -> None:
    recorded(watch, runner.start("execve", target, "x", cwd="/"), target, b"/")


def test_another_file_system(watch: Watch, runner: Runner, target: Path) -> None:
    recorded(watch, runner.start("execve", target, "x", cwd="/proc/self/net/stat"), target, None)
    recorded(watch, runner.start("execve", target, "x", cwd="/proc/sys/kernel"), target, b"/proc/sys/kernel")


def test_names_of_any_bytes(watch: Watch, runner: Runner, target: Path, public: Path) -> None:
    names = [b"a\nb", b" ", b"\xff\xfe", b"x" * 255]
    path = os.path.join(bytes(public), b"names", *names)
    os.makedirs(path)
    recorded(watch, runner.start("execve", target, "x", cwd=path), target, path)


def test_a_deep_one(watch: Watch, runner: Runner, target: Path, public: Path) -> None:
    path = public.joinpath("deep", *"d" * (60 - len(public.parts)))
    path.mkdir(parents=True)
    recorded(watch, runner.start("execve", target, "x", cwd=path), target, bytes(path))


@pytest.mark.parametrize(("name", "depth"), [("e", 80), ("f" * 200, 19)])
def test_one_too_deep(
    name: str, depth: int, watch: Watch, runner: Runner, target: Path, public: Path
) -> None:
    path = public.joinpath(*[name] * depth)
    path.mkdir(parents=True)
    helper = runner.start("execve", target, "x", cwd=path)
    record = recorded(watch, helper, target, None, Flag.TRUNCATED_CWD)
    assert components(bytes(path)).startswith(record.cwd)
    assert record.cwd.startswith(f"{name}\0".encode() * 15)
    entry = fields(encode(record))
    recorded_names = path.parts[-record.cwd.count(b"\0") :]
    assert entry["EXECWATCH_CWD"].decode() == "/".join(["…", *recorded_names])
    assert entry["EXECWATCH_TRUNCATED"] == b"cwd"


def test_one_that_was_deleted(watch: Watch, runner: Runner, target: Path, public: Path) -> None:
    path = public / "deleted"
    path.mkdir()
    helper = runner.start("execve", target, "x", cwd=path).ready()
    path.rmdir()
    expected = before(helper.pid)
    helper.go()
    record = watch.first(lambda one: one.pid == helper.pid and one.new_comm.startswith(b"target"))
    assert record.cwd == components(bytes(path))
    assert record.flags == HAS | Flag.HAS_CWD | Flag.CWD_DELETED
    assert record.pid == expected["pid"]
    assert fields(encode(record))["EXECWATCH_CWD"] == os.readlink(f"/proc/{helper.pid}/cwd").encode()


def test_a_bind_mount(watch: Watch, runner: Runner, target: Path, public: Path) -> None:
    (public / "bound/inner").mkdir(parents=True)
    (public / "here").mkdir()
    helper = runner.start("bind-mount", target, "x", cwd=public / "here", ROOT=public / "bound")
    recorded(watch, helper, target, bytes(public / "here/inner"))


def test_inside_of_a_changed_root(watch: Watch, runner: Runner, target: Path, public: Path) -> None:
    """As the process itself sees it, as getcwd() does."""
    inside = public / "root/inside"
    inside.mkdir(parents=True)
    os.link(target, public / "root/target")
    helper = runner.start("chroot", "/target", "x", cwd=inside, ROOT=public / "root")
    recorded(watch, helper, Path("/target"), b"/inside", root=public / "root")


def test_outside_of_a_changed_root(watch: Watch, runner: Runner, target: Path, public: Path) -> None:
    (public / "jail").mkdir()
    os.link(target, public / "jail/target")
    helper = runner.start("chroot", "/target", "x", cwd=public, ROOT=public / "jail")
    recorded(watch, helper, Path("/target"), None, Flag.CWD_UNREACHABLE, root=public / "jail")

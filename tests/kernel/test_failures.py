# SPDX-License-Identifier: GPL-2.0-or-later
"""Execs that fail, with the option that records them: one record each, and none more for what succeeds."""

import errno
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from execwatchd.kernel.layout import Flag
from execwatchd.kernel.loader import FAILURE_TRACEPOINTS, RAW_TRACEPOINTS
from execwatchd.stream.decode import Record
from tests.kernel import facts
from tests.kernel.watch import DEFAULT, HAS, Runner, Watch, as_dict, before, objects, watching

ARGV_BYTES = 4096
MAX_ARGS = 64


@pytest.fixture(scope="module")
def watch(tracepoint_ids: Path) -> Iterator[Watch]:
    with watching(replace(DEFAULT, failures=True)) as attached:
        yield attached


def failed(watch: Watch, runner: Runner, way: str, file: str | Path, *arguments: str | bytes) -> Record:
    """The only record of the helper's attempt; its process and how it ended are right."""
    helper = runner.start(way, file, *arguments).ready()
    start = watch.of(helper.pid)
    expected = before(helper.pid)
    helper.go()
    code = helper.end()
    assert code
    (record,) = watch.of(helper.pid)[len(start) :]
    of_the_exec = ("flags", "argc", "argv", "filename", "argv_total", "new_comm")
    found = as_dict(record)
    expected |= {**facts.NO_FILE, "exec_id": 0}
    expected |= {"result": -code, "new_comm": b"", "argv_total": 0, **{k: found[k] for k in of_the_exec[:4]}}
    assert found == expected
    return record


def said(record: Record) -> tuple[str, bytes, bytes, int, int]:
    return (errno.errorcode[-record.result], record.filename, record.argv, record.argc, record.flags)


def test_no_such_file(watch: Watch, runner: Runner) -> None:
    record = failed(watch, runner, "execve", "/nonexistent", "a b", "", "x\n")
    assert said(record) == ("ENOENT", b"/nonexistent\0", b"a b\0\0x\n\0", 3, HAS)


@pytest.mark.parametrize("file", ["/nonexistent", "/etc/passwd"])
def test_a_question_is_no_exec(file: str, watch: Watch, runner: Runner) -> None:
    """execveat(AT_EXECVE_CHECK), which older kernels answer with EINVAL."""
    helper = runner.start("check", file, "x").ready()
    start = watch.of(helper.pid)
    helper.go()
    assert errno.errorcode[helper.end()] in {"ENOENT", "EACCES", "EINVAL"}
    assert watch.of(helper.pid) == start


def test_not_executable(watch: Watch, runner: Runner, public: Path) -> None:
    (public / "plain").write_text("")
    record = failed(watch, runner, "execve", public / "plain", "x")
    assert said(record) == ("EACCES", bytes(public / "plain") + b"\0", b"x\0", 1, HAS)


def test_no_program(watch: Watch, runner: Runner, public: Path) -> None:
    (public / "noise").write_bytes(b"\x01\x02\x03" * 99)
    (public / "noise").chmod(0o755)
    record = failed(watch, runner, "execve", public / "noise", "x")
    assert said(record) == ("ENOEXEC", bytes(public / "noise") + b"\0", b"x\0", 1, HAS)


def test_an_interpreter_that_is_not_there(watch: Watch, runner: Runner, public: Path) -> None:
    (public / "orphan").write_text("#!/nonexistent\n")
    (public / "orphan").chmod(0o755)
    record = failed(watch, runner, "execve", public / "orphan", "x")
    assert said(record) == ("ENOENT", bytes(public / "orphan") + b"\0", b"x\0", 1, HAS)


@pytest.mark.parametrize(
    ("way", "name", "filename"),
    [
        ("execveat", "/nonexistent", b"/nonexistent\0"),
        ("execveat-directory", "/usr//nonexistent", b"nonexistent\0"),
        ("execveat-empty-path", "/etc", b"\0"),
    ],
)
def test_execveat(way: str, name: str, filename: bytes, watch: Watch, runner: Runner) -> None:
    record = failed(watch, runner, way, name, "x", "y")
    error = "EACCES" if name == "/etc" else "ENOENT"
    assert said(record) == (error, filename, b"x\0y\0", 2, HAS)


def test_an_empty_name(watch: Watch, runner: Runner) -> None:
    assert said(failed(watch, runner, "execve", "", "x")) == ("ENOENT", b"\0", b"x\0", 1, HAS)


def test_no_arguments(watch: Watch, runner: Runner) -> None:
    assert said(failed(watch, runner, "no-arguments", "/etc")) == ("EACCES", b"/etc\0", b"", 0, HAS)


@pytest.mark.parametrize(
    ("way", "filename", "argv"),
    [
        ("bad-filename", b"", b"x\0y\0"),
        ("bad-argv", b"/etc\0", b""),
        ("bad-argument", b"/etc\0", b"x\0"),
    ],
)
def test_pointers_to_nowhere(way: str, filename: bytes, argv: bytes, watch: Watch, runner: Runner) -> None:
    record = failed(watch, runner, way, "/etc", "x", "y")
    assert (record.filename, record.argv) == (filename, argv)
    assert record.flags == HAS | (Flag.TRUNCATED_ARGV if argv != b"x\0y\0" else 0)


@pytest.mark.parametrize("count", [MAX_ARGS - 1, MAX_ARGS, MAX_ARGS + 1, 500])
def test_many_arguments(count: int, watch: Watch, runner: Runner) -> None:
    arguments = [str(i) for i in range(count)]
    record = failed(watch, runner, "execve", "/nonexistent", *arguments)
    kept = arguments[:MAX_ARGS]
    flags = HAS | Flag.TRUNCATED_ARGV if count > MAX_ARGS else HAS
    assert said(record) == (
        "ENOENT", b"/nonexistent\0", "".join(f"{one}\0" for one in kept).encode(), len(kept), flags,
    )  # fmt: skip


@pytest.mark.parametrize(
    "arguments",
    [
        ["x" * (ARGV_BYTES - 2)],
        ["x" * (ARGV_BYTES - 1)],
        ["x" * ARGV_BYTES],
        ["x" * 100_000],
        ["x" * (ARGV_BYTES - 1), "y"],
        ["x" * (ARGV_BYTES - 2), "y"],
        ["x" * (ARGV_BYTES - 2), ""],
        ["x" * (ARGV_BYTES - 2), "", ""],
        ["x", "y" * (ARGV_BYTES - 3)],
        ["x", "y" * (ARGV_BYTES - 2)],
        ["x" * 1000] * 4,
        ["x" * 1000] * 5,
        ["x" * 1023] * 4,
        ["x" * 1023] * 4 + ["y"],
        ["x" * 90_000] * 3,
    ],
    ids=lambda arguments: "+".join(str(len(one)) for one in arguments),
)
def test_long_arguments(arguments: list[str], watch: Watch, runner: Runner) -> None:
    """What fits is whole and not called cut; what doesn't is called so."""
    record = failed(watch, runner, "execve", "/nonexistent", *arguments)
    joined = "".join(f"{one}\0" for one in arguments).encode()
    assert joined[:ARGV_BYTES].startswith(record.argv)
    assert record.flags == HAS | (Flag.TRUNCATED_ARGV if len(joined) > ARGV_BYTES else 0)
    if len(joined) <= ARGV_BYTES:
        assert (record.argv, record.argc) == (joined, len(arguments))
    else:
        assert len(record.argv) == ARGV_BYTES


def test_too_many_bytes_for_the_kernel(watch: Watch, runner: Runner) -> None:
    record = failed(watch, runner, "too-long", "/bin/sh", "x", "y")
    assert said(record)[:3] == ("E2BIG", b"/bin/sh\0", b"x\0" + b"z" * (ARGV_BYTES - 2))


def test_a_success_after_a_failure_is_one_of_each(watch: Watch, runner: Runner, target: Path) -> None:
    helper = runner.start("twice", target, "x").ready()
    start = watch.of(helper.pid)
    helper.go()
    assert helper.end() == 0
    first, second = watch.of(helper.pid)[len(start) :]
    assert said(first) == ("ENOENT", b"/nonexistent\0", b"x\0", 1, HAS)
    assert (second.result, second.filename, second.argv) == (0, bytes(target) + b"\0", b"x\0")
    assert first.comm.startswith(b"ways\0")


def test_a_thread(watch: Watch, runner: Runner) -> None:
    helper = runner.start("thread", "/nonexistent", "x").ready()
    start = watch.of(helper.pid)
    helper.go()
    assert helper.end() == errno.ENOENT
    (record,) = watch.of(helper.pid)[len(start) :]
    assert (record.comm.rstrip(b"\0"), record.pid) == (b"a worker", helper.pid)


def test_what_is_attached(watch: Watch) -> None:
    assert watch.generation.attached == ["task_rename", "sched_process_exec", *FAILURE_TRACEPOINTS]


def test_while_it_is_off_its_programs_are_not_there() -> None:
    with watching() as plain:
        assert plain.generation.attached == ["task_rename", "sched_process_exec"]
        names = set()
        for kind, number in objects(plain.generation.fds.values()):
            if kind == "prog":
                shown = subprocess.check_output(
                    ["bpftool", "-j", "prog", "show", "id", str(number)], text=True
                )
                names.add(shown.partition('"name":"')[2].partition('"')[0])
        assert names == set(RAW_TRACEPOINTS.values())

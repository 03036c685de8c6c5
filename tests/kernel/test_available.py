# SPDX-License-Identifier: GPL-2.0-or-later
"""What this host can't give is left out before a program is loaded; a later start takes that program over."""

import errno
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from execwatchd.kernel import attach, c_source, structures
from execwatchd.kernel.available import available
from execwatchd.kernel.generation import Generation
from execwatchd.kernel.options import MIB, Options
from execwatchd.kernel.takeover import Generations
from execwatchd.shared.errors import Failure
from execwatchd.shared.rules import Action
from tests.fakes.rules import rule
from tests.kernel.watch import NoStore

PLAIN = Options(MIB)
EVERYTHING = Options(MIB, failures=True, cwd=True, ancestors=8, interactive=True, exits=True)
LACKING = {"task_struct.no_such_member": "u32"}


@pytest.fixture
def without_drop_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setattr(attach, "_EVENTS", tmp_path)


@pytest.fixture
def lacks(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Has the kernel lack what an option needs."""

    def lack(option: str) -> None:
        monkeypatch.setattr(structures, "OF_OPTIONS", {**structures.OF_OPTIONS, option: LACKING})

    return lack


def test_this_host_gives_everything(tracepoint_ids: Path) -> None:
    assert tracepoint_ids.exists()
    assert available(EVERYTHING) == (EVERYTHING, {})


@pytest.mark.usefixtures("without_drop_in")
def test_failures_without_the_drop_in() -> None:
    options, left_out = available(EVERYTHING)
    assert options == replace(EVERYTHING, failures=False)
    assert left_out.keys() == {"failures"}
    assert left_out["failures"].startswith("the tracepoint sys_enter_execve can't be read at ")
    assert "failures.conf" in left_out["failures"]
    assert available(PLAIN) == (PLAIN, {})


def test_failures_that_the_kernel_refuses(tracepoint_ids: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_config: int) -> int:
        raise OSError(errno.EACCES, "Permission denied")

    assert tracepoint_ids.exists()
    monkeypatch.setattr(attach, "_tracepoint_event", refuse)
    options, left_out = available(EVERYTHING)
    assert options == replace(EVERYTHING, failures=False)
    assert "perf_event_paranoid" in left_out["failures"]


@pytest.mark.parametrize("option", ["cwd", "interactive", "exits"])
@pytest.mark.usefixtures("tracepoint_ids")
def test_a_kernel_that_lacks_what_an_option_needs(option: str, lacks: Callable[[str], None]) -> None:
    lacks(option)
    reason = "this kernel's structures lack task_struct.no_such_member"
    assert available(EVERYTHING) == (replace(EVERYTHING, **{option: False}), {option: reason})
    assert available(PLAIN) == (PLAIN, {})


@pytest.fixture
def started() -> Iterator[Callable[[dict[str, int]], Generations]]:
    """Starts with options of which this host can't give one, on the descriptors of the start before."""
    all_of_them: list[Generations] = []

    def start(stored: dict[str, int]) -> Generations:
        generations = Generations(NoStore())
        all_of_them.append(generations)
        generations.start(stored, c_source.directory(), replace(PLAIN, failures=True, cwd=True), _fill)
        return generations

    yield start
    last = all_of_them[-1]
    last.detach()
    last.current.discard(NoStore())


def _fill(new: Generation) -> None:
    new.rules.set_default(rule("Hello World", Action.RECORD))


@pytest.mark.usefixtures("without_drop_in")
def test_what_is_left_out_is_so_again_at_a_take_over(
    started: Callable[[dict[str, int]], Generations], caplog: Any
) -> None:
    first = started({})
    assert first.options == replace(PLAIN, cwd=True)
    assert "prog.exit_execve" not in first.current.fds
    stored = {f"1.{name}": fd for name, fd in first.current.fds.items()}
    caplog.set_level("INFO")
    second = started(stored)
    assert second.current.number == 1
    assert (second.options, second.left_out) == (first.options, first.left_out)
    assert second.left_out.keys() == {"failures"}
    assert second.older_program == ""
    assert any(line.startswith("took over the attached program: ") for line in caplog.messages)


@pytest.mark.usefixtures("without_drop_in")
def test_a_program_that_does_not_load_with_its_options_is_loaded_without_them(
    started: Callable[[dict[str, int]], Generations], monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Generation.load

    def refuse(number: int, sources: Path, options: Options, *rest: Any) -> Generation:
        if options.cwd:
            raise Failure("the kernel refused the program on_exec")
        return load(number, sources, options, *rest)

    monkeypatch.setattr(Generation, "load", refuse)
    first = started({})
    assert first.options == PLAIN
    assert first.left_out["cwd"] == "the kernel refused the program on_exec"
    assert "failures.conf" in first.left_out["failures"]
    second = started({f"1.{name}": fd for name, fd in first.current.fds.items()})
    assert second.current.number == 1
    assert second.older_program == "the kernel refused the program on_exec"
    assert second.left_out == {}


@pytest.mark.usefixtures("without_drop_in")
def test_without_options_a_program_that_does_not_load_ends_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def refuse(_number: int, _sources: Path, options: Options, *_rest: Any) -> Generation:
        tried.append(options)
        raise Failure("not permitted")

    monkeypatch.setattr(Generation, "load", refuse)
    for options in (PLAIN, replace(PLAIN, failures=True), replace(PLAIN, cwd=True)):
        with pytest.raises(Failure, match="not permitted"):
            Generations(NoStore()).start({}, c_source.directory(), options, _fill)
    assert tried == [PLAIN, PLAIN, replace(PLAIN, cwd=True), PLAIN]

# SPDX-License-Identifier: GPL-2.0-or-later
"""execwatchctl on damaged files that journald wrote: it shows what is left of them, and names them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.harness import Box, Result, wait_until

UNIT = "execwatchd.service"
EXECS = 600
PLACE = "/var/tmp/damaged"


@pytest.fixture(scope="module")
def journal(host: Box) -> bytes:
    """A whole file, with what EXECS programs and nobody else executed."""
    host.systemctl("start", UNIT)
    host.shell(f"for i in $(seq {EXECS}); do /bin/true $i; done", uid=5700)
    journalctl = ("journalctl", "-q", "-o", "cat", "EXECWATCH_UID=5700", "EXECWATCH_NEW_COMM=true")
    wait_until(lambda: host.run(*journalctl).stdout.count("\n") >= EXECS, "the execs' entries")
    host.systemctl("stop", UNIT)
    host.run("journalctl", "--rotate")
    host.run("journalctl", "--sync")
    (archived,) = host.path("/run/log/journal").glob("*/system@*.journal")
    return archived.read_bytes()


def flipped(whole: bytes) -> bytes:
    """A byte of a field's name, in an object that every entry has."""
    raw = bytearray(whole)
    raw[raw.index(b"EXECWATCH_UID=5700") + 4] = 0xBA
    return bytes(raw)


def zeroed(whole: bytes) -> bytes:
    """The second half was not written: what the header says of the end is not there."""
    end = middle(whole)
    return whole[:end] + bytes(len(whole) - end)


def truncated(whole: bytes) -> bytes:
    return whole[: middle(whole)]


def middle(whole: bytes) -> int:
    """Where half of the execs are written."""
    return whole.index(b"EXECWATCH_CMDLINE=/bin/true %d" % (EXECS // 2))


def run(host: Box, name: str, raw: bytes, *arguments: str, check: bool = True) -> Result:
    """The command on a directory that has this file alone."""
    file = host.path(PLACE) / name / "system.journal"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(raw)
    return host.run("execwatchctl", *arguments, "-D", f"{PLACE}/{name}", check=check)


TRUE = "log", "--comm", "true", "-o", "argv"


@pytest.mark.parametrize(
    ("damage", "least", "what"),
    [
        (flipped, EXECS, "fields of its entries are unreadable"),
        (zeroed, EXECS // 3, "a part of it was not written"),
        (truncated, EXECS // 3, "bytes are missing"),
    ],
)
def test_what_is_left_is_shown_in_every_way(
    host: Box, journal: bytes, damage: Callable[[bytes], bytes], least: int, what: str
) -> None:
    raw, name = damage(journal), damage.__name__
    forward = run(host, name, raw, *TRUE)
    lines = forward.stdout.splitlines()
    assert lines == [f"/bin/true {number}" for number in range(1, len(lines) + 1)]
    assert len(lines) >= least
    (line,) = forward.stderr.splitlines()
    assert line.startswith(f"execwatchctl: {PLACE}/{name}/system.journal was not read whole: ")
    assert what in line
    for arguments, expected in (
        (("-n", "7"), lines[-7:]),
        (("-n", "100000"), lines),
        (("-r",), lines[::-1]),
        (("-r", "-n", "7"), lines[:-8:-1]),
    ):
        again = run(host, name, raw, *TRUE, *arguments)
        assert (again.stdout.splitlines(), again.stderr) == (expected, forward.stderr)


@pytest.mark.parametrize("damage", [flipped, zeroed, truncated])
def test_the_counts_and_the_tree_are_of_what_is_left(
    host: Box, journal: bytes, damage: Callable[[bytes], bytes]
) -> None:
    raw, name = damage(journal), damage.__name__
    left = len(run(host, name, raw, *TRUE).stdout.splitlines())
    counted = run(host, name, raw, "top", "--once", "--json", "--by", "command", "--since", "-1d")
    groups = {group["command"]: group["execs"] for group in json.loads(counted.stdout)["groups"]}
    assert groups["true"] == left
    tree = run(host, name, raw, "log", "--tree", "--json", "--comm", "true")
    assert len(tree.stdout.splitlines()) == left
    assert counted.stderr == tree.stderr != ""


def test_damage_hides_nothing_of_other_files(host: Box, journal: bytes) -> None:
    run(host, "beside", truncated(journal), *TRUE)
    beside = host.path(PLACE) / "beside"
    (beside / "whole.journal").write_bytes(journal)
    done = host.run("execwatchctl", *TRUE, "-D", f"{PLACE}/beside", "-n", "5")
    assert done.stdout.splitlines() == [f"/bin/true {number}" for number in range(EXECS - 4, EXECS + 1)]
    assert f"{PLACE}/beside/system.journal was not read whole: " in done.stderr


def test_what_is_no_journal_and_what_may_not_be_read_is_named(host: Box, journal: bytes) -> None:
    done = run(host, "none", b"x" * 4096, *TRUE)
    assert (done.stdout, done.returncode) == ("", 0)
    assert (
        done.stderr == f"execwatchctl: {PLACE}/none/system.journal was not read whole: not a journal file\n"
    )
    run(host, "mixed", journal, *TRUE)
    other = host.path(PLACE) / "mixed" / "other.journal"
    other.write_bytes(journal)
    other.chmod(0)
    done = host.run("execwatchctl", *TRUE, "-D", f"{PLACE}/mixed", "-n", "1", uid=5701)
    assert done.stdout == f"/bin/true {EXECS}\n"
    assert done.stderr == f"execwatchctl: {PLACE}/mixed/other.journal was not read whole: Permission denied\n"


def test_no_copy_is_left(host: Box, journal: bytes) -> None:
    run(host, "copied", truncated(journal), *TRUE)
    assert list(Path(host.path("/var/tmp")).glob("*.journal")) == []

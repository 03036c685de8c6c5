# SPDX-License-Identifier: GPL-2.0-or-later
"""A person's rule follows that person into user namespaces, whatever subordinate UIDs they have there."""

from pathlib import Path

import pytest

from execwatchd.shared.rules import Action
from execwatchd.stream.decode import Record
from tests.fakes.rules import rule
from tests.kernel.test_counters import UID, emptied
from tests.kernel.watch import Runner, Watch

FIRST, COUNT = 300000, 20


def run(runner: Runner, file: Path, owner: int, depth: int = 1, *euid: int) -> None:
    """An exec by each of these UIDs, in user namespaces that this user made."""
    arguments = (owner, FIRST, COUNT, depth, *euid)
    helper = runner.start("subordinate", file, *map(str, arguments)).ready()
    helper.go()
    assert helper.end() == 0


def recorded(watch: Watch) -> list[Record]:
    return watch.by(lambda one: FIRST <= one.uid < FIRST + COUNT)


def uids(watch: Watch) -> list[int]:
    return sorted(one.uid for one in recorded(watch))


@pytest.mark.parametrize("depth", [1, 3])
def test_who_is_watched_is_watched_as_a_subordinate_uid(depth: int, runner: Runner, target: Path) -> None:
    with emptied() as watch:
        watch.generation.rules.set_default(rule("", Action.IGNORE))
        watch.generation.rules.set(UID, rule("watched", Action.RECORD))
        run(runner, target, UID, depth)
        assert uids(watch) == list(range(FIRST, FIRST + COUNT))
        assert {one.message.rstrip(b"\0") for one in recorded(watch)} == {b"watched"}


@pytest.mark.parametrize("depth", [1, 3])
def test_who_is_ignored_is_ignored_as_a_subordinate_uid(depth: int, runner: Runner, target: Path) -> None:
    with emptied() as watch:
        watch.generation.rules.set(UID, rule("", Action.IGNORE))
        ignored = watch.generation.counters().ignored
        run(runner, target, UID, depth)
        assert uids(watch) == []
        assert watch.generation.counters().ignored == ignored + COUNT


@pytest.mark.parametrize("action", Action)
def test_a_rule_that_was_set_for_a_subordinate_uid_goes_first(
    action: Action, runner: Runner, target: Path
) -> None:
    other = next(one for one in Action if one != action)
    exception = FIRST + 3
    with emptied() as watch:
        watch.generation.rules.set_default(rule("", Action.IGNORE))
        watch.generation.rules.set(UID, rule("the person's", other))
        watch.generation.rules.set(exception, rule("the exception's", action))
        run(runner, target, UID)
        exceptions = action is Action.RECORD
        assert uids(watch) == [uid for uid in range(FIRST, FIRST + COUNT) if (uid == exception) == exceptions]
        message = b"the exception's" if exceptions else b"the person's"
        assert {one.message.rstrip(b"\0") for one in recorded(watch)} == {message}


def test_a_namespace_that_root_made(runner: Runner, target: Path) -> None:
    """Its UIDs are nobody's: neither root's rule applies nor another's, but the default."""
    with emptied() as watch:
        watch.generation.rules.set_default(rule("by default", Action.RECORD))
        watch.generation.rules.set(0, rule("root's", Action.IGNORE))
        run(runner, target, 0, 2)
        assert uids(watch) == list(range(FIRST, FIRST + COUNT))
        assert {one.message.rstrip(b"\0") for one in recorded(watch)} == {b"by default"}


def test_the_effective_uid_follows_too(runner: Runner, target: Path) -> None:
    """An ignored subordinate UID with the effective UID of another, which counts as a watched person."""
    euid = COUNT + 5
    with emptied() as watch:
        watch.generation.rules.set_default(rule("", Action.IGNORE))
        for i in range(COUNT):
            watch.generation.rules.set(FIRST + i, rule("", Action.IGNORE))
        ignored = watch.generation.counters().ignored
        run(runner, target, UID, 1, euid)
        assert uids(watch) == []
        assert watch.generation.counters().ignored >= ignored + COUNT
        watch.generation.rules.set(UID, rule("", Action.RECORD))
        run(runner, target, UID, 1, euid)
        assert uids(watch) == list(range(FIRST, FIRST + COUNT))
        assert {one.euid for one in recorded(watch)} == {FIRST + euid}

# SPDX-License-Identifier: GPL-2.0-or-later
import asyncio
import contextlib
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execwatchd.policy import validate
from execwatchd.policy.configuration import Config
from execwatchd.policy.layer import Layer
from execwatchd.policy.settings import Settings, keys
from execwatchd.policy.state import StateStore
from execwatchd.policy.table import RuleTable
from execwatchd.shared.errors import ChangeError, NotChanged, TableFull
from execwatchd.shared.rules import ACTION, BUILT_IN, LIMIT, MESSAGE, Action, Rule
from tests.fakes.control import FakeMap, Recorder, state_store
from tests.fakes.rules import rule

FILE = Path("/etc/execwatchd/execwatchd.toml")
RECORD, IGNORE = Action.RECORD, Action.IGNORE


def config(**values: Any) -> Config:
    settings = Settings.of_file(validate.settings(values))
    return Config(settings, dict.fromkeys(keys(settings.in_file()), FILE), (FILE,))


class Rig:
    """A table over a fake map, started with a configuration."""

    def __init__(self, kernel: FakeMap | None = None, path: Path | None = None, **values: Any) -> None:
        self.kernel = kernel or FakeMap()
        self.store = state_store(path)
        self.table = RuleTable(self.kernel, self.store)
        self.table.apply_settings(config(**values))
        self.listener = Recorder()
        self.table.listeners.append(self.listener)
        self.kernel.writes.clear()

    def run(self, call: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run(call)

    def rows(self) -> list[tuple[int, str, str, str]]:
        rules = self.table.rules()
        return [
            (uid, str(rule.message), str(rule.action), self.table.origin(uid)) for uid, rule in rules.items()
        ]


def test_the_kernel_gets_the_files_layer() -> None:
    rig = Rig(messages={1: "one"}, actions={1: "ignore", 2: "ignore"}, default_message="dflt")
    assert rig.kernel.content == {1: rule("one", IGNORE), 2: rule("dflt", IGNORE)}
    assert rig.kernel.fallback == rule("dflt")
    assert rig.rows() == [(1, "one", "ignore", str(FILE)), (2, "dflt", "ignore", str(FILE))]
    assert (rig.table.rule(1).message, rig.table.rule(3).message) == ("one", "dflt")


def test_a_message_over_the_files() -> None:
    rig = Rig(messages={1: "file"})
    assert rig.run(rig.table.set_value(1, MESSAGE, "bus"))
    assert rig.run(rig.table.set_value(2, MESSAGE, ""))
    assert rig.kernel.content == {1: rule("bus"), 2: rule("")}
    assert rig.rows() == [(1, "bus", "record", "state"), (2, "", "record", "state")]
    assert rig.listener.changes == [(1,), (2,)]
    rig.run(rig.table.set_value(1, MESSAGE, None))
    rig.run(rig.table.set_value(2, MESSAGE, None))
    assert rig.kernel.content == {1: rule("file")}
    assert rig.listener.changes == [(1,), (2,), (1,), (2,)]


def test_limits_over_the_files() -> None:
    rig = Rig(limits={1: "1/s", 2: "off"}, messages={3: "three"}, limit_per_user="9/s")
    assert rig.kernel.default() == rule("Hello World", RECORD, 9)
    assert rig.kernel.content == {
        1: rule("Hello World", RECORD, 1),
        2: rule("Hello World"),
        3: rule("three", RECORD, 9),
    }
    assert list(rig.table.values(LIMIT).items()) == [(1, "1/s"), (2, "off")]
    assert rig.rows()[0] == (1, "Hello World", "record", str(FILE))
    assert rig.run(rig.table.set_value(1, LIMIT, "off"))
    assert not rig.run(rig.table.set_value(1, LIMIT, "off"))
    assert rig.run(rig.table.set_value(4, LIMIT, "7/s"))
    assert list(rig.table.values(LIMIT).items()) == [(1, "off"), (2, "off"), (4, "7/s")]
    assert rig.rows()[-1] == (4, "Hello World", "record", "state")
    assert rig.kernel.rules()[1] == rule("Hello World")
    assert rig.listener.changes == [(1,), (4,)]
    assert rig.run(rig.table.set_value(1, LIMIT, None))
    assert rig.run(rig.table.set_value(4, LIMIT, None))
    assert not rig.run(rig.table.set_value(4, LIMIT, None))
    assert rig.kernel.rules()[1] == rule("Hello World", RECORD, 1)
    assert 4 not in rig.kernel.content


def test_a_changed_default_limit_reaches_everybody_without_one() -> None:
    rig = Rig(messages={1: "one"}, limits={2: "2/s"})
    rig.table.apply_settings(config(messages={1: "one"}, limits={2: "2/s"}, limit_per_user="5/s"))
    assert rig.kernel.writes == [
        ("set", 1, rule("one", RECORD, 5)),
        ("default", rule("Hello World", RECORD, 5)),
    ]
    assert rig.listener.changes == [("limit", "5/s"), (1,)]


def test_what_is_set_already_changes_nothing() -> None:
    rig = Rig()
    assert rig.run(rig.table.set_value(1, MESSAGE, "x"))
    assert not rig.run(rig.table.set_value(1, MESSAGE, "x"))
    assert not rig.run(rig.table.set_value(1, ACTION, None))
    assert rig.run(rig.table.set_default(ACTION, RECORD))  # it is kept now, whatever the file will say
    assert not rig.run(rig.table.set_default(ACTION, RECORD))
    assert rig.kernel.writes == [("set", 1, rule("x"))]
    assert rig.listener.changes == [(1,)]


def test_the_files_own_text_set_over_the_bus_changes_the_origin_only() -> None:
    rig = Rig(messages={1: "x"})
    assert rig.run(rig.table.set_value(1, MESSAGE, "x"))
    assert (rig.kernel.writes, rig.listener.changes) == ([], [(1,)])
    assert rig.rows() == [(1, "x", "record", "state")]


def test_actions() -> None:
    rig = Rig(actions={1: "ignore"})
    rig.run(rig.table.set_value(1, ACTION, RECORD))
    rig.run(rig.table.set_value(2, ACTION, IGNORE))
    assert rig.kernel.content == {1: rule("Hello World"), 2: rule("Hello World", IGNORE)}
    rig.run(rig.table.set_value(1, ACTION, None))
    rig.run(rig.table.set_value(2, ACTION, None))
    assert rig.kernel.content == {1: rule("Hello World", IGNORE)}


def test_what_is_not_set_over_the_bus_cannot_be_removed() -> None:
    rig = Rig(messages={1: "file"}, actions={2: "ignore"})
    for uid in (1, 2, 3):
        assert not rig.run(rig.table.set_value(uid, MESSAGE, None))
    assert (rig.table.file(1, MESSAGE), rig.table.file(2, MESSAGE)) == (str(FILE), None)
    assert (rig.kernel.writes, rig.listener.changes) == ([], [])


def test_a_default_reaches_those_who_inherit_half() -> None:
    rig = Rig(messages={1: "one"}, actions={2: "record"})
    rig.run(rig.table.set_default(MESSAGE, "new"))
    rig.run(rig.table.set_default(ACTION, IGNORE))
    assert rig.kernel.content == {1: rule("one", IGNORE), 2: rule("new")}
    assert rig.kernel.fallback == rule("new", IGNORE)
    assert rig.listener.changes == [("message", "new"), (2,), ("action", "ignore"), (1,)]


def test_the_state_survives(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    rig = Rig(path=path)
    rig.run(rig.table.set_value(1, MESSAGE, "kept"))
    rig.run(rig.table.set_default(MESSAGE, "kept too"))
    again = Rig(path=path, messages={1: "file"}, default_message="file")
    assert again.kernel.content == {1: rule("kept")}
    assert again.kernel.fallback == rule("kept too")


def test_a_reload_writes_differences_only() -> None:
    rig = Rig(messages={1: "one", 2: "two", 3: "three"})
    rig.run(rig.table.set_value(3, MESSAGE, "bus"))
    rig.kernel.writes.clear()
    rig.listener.changes.clear()
    rig.table.apply_settings(config(messages={1: "one", 2: "TWO", 4: "four"}, default_message="new"))
    assert rig.kernel.writes == [
        ("set", 2, rule("TWO")),
        ("set", 4, rule("four")),
        ("default", rule("new")),
    ]
    assert rig.listener.changes == [("message", "new"), (2,), (4,)]


def test_a_take_over_removes_strays_last() -> None:
    kernel = FakeMap(content={1: rule("one"), 9: rule("stray", IGNORE)})
    kernel.fallback = rule("Hello World")
    table = RuleTable(kernel, StateStore(None))
    table.apply_settings(config(messages={1: "one", 2: "two"}))
    assert kernel.writes == [("set", 2, rule("two")), ("remove", 9)]


def test_a_full_map_makes_room_from_strays_first() -> None:
    kernel = FakeMap(2, {8: rule("stray"), 9: rule("stray")})
    table = RuleTable(kernel, StateStore(None))
    table.apply_settings(config(messages={1: "one", 2: "two"}))
    assert kernel.content == {1: rule("one"), 2: rule("two")}


def test_a_full_table(tmp_path: Path) -> None:
    rig = Rig(FakeMap(3), tmp_path / "state.json", messages={1: "one"}, actions={2: "ignore"})
    rig.run(rig.table.set_value(3, MESSAGE, "three"))
    before, changes = dict(rig.kernel.content), list(rig.listener.changes)
    file = (tmp_path / "state.json").read_bytes()
    for call in (rig.table.set_value(4, MESSAGE, "x"), rig.table.set_value(4, ACTION, IGNORE)):
        with pytest.raises(TableFull, match=r"^the table is full: it holds 3 UIDs"):
            rig.run(call)
    with pytest.raises(TableFull):
        rig.table.apply_settings(config(messages=dict.fromkeys(range(4), "x"), default_message="new"))
    assert (rig.kernel.content, rig.listener.changes) == (before, changes)
    assert (tmp_path / "state.json").read_bytes() == file
    assert rig.table.default == BUILT_IN
    assert rig.run(rig.table.set_value(2, MESSAGE, "still possible"))
    rig.run(rig.table.set_value(3, MESSAGE, None))
    assert rig.run(rig.table.set_value(4, MESSAGE, "room again"))


@pytest.mark.parametrize("nth", range(5))
def test_a_refusal_by_the_kernel_changes_nothing(tmp_path: Path, nth: int) -> None:
    path = tmp_path / "state.json"
    rig = Rig(FakeMap(), path, messages={1: "one", 2: "two", 3: "three"}, actions={4: "ignore"})
    rig.run(rig.table.set_value(5, MESSAGE, "bus"))
    content, fallback, rows = dict(rig.kernel.content), rig.kernel.fallback, rig.rows()
    file = path.read_bytes()
    rig.listener.changes.clear()
    countdown = iter([False] * nth + [True])
    rig.kernel.refuse = lambda _: next(countdown, False)
    with pytest.raises(NotChanged, match="Cannot allocate memory"):
        rig.table.apply_settings(config(messages={1: "ONE", 6: "six"}, default_message="new"))
    rig.kernel.refuse = lambda what: what[:2] == ("set", 1)
    with pytest.raises(NotChanged, match="Cannot allocate memory"):
        rig.run(rig.table.set_value(1, MESSAGE, "bus"))
    assert (rig.kernel.content, rig.kernel.fallback, rig.rows()) == (content, fallback, rows)
    assert (path.read_bytes(), rig.listener.changes) == (file, [])


def test_a_state_that_cannot_be_saved_changes_nothing(tmp_path: Path) -> None:
    rig = Rig(path=tmp_path / "gone" / "state.json")
    with pytest.raises(NotChanged, match=r"^the change could not be saved, so it was not made: No such file"):
        rig.run(rig.table.set_value(1, MESSAGE, "x"))
    assert (rig.kernel.content, rig.rows(), rig.listener.changes) == ({}, [], [])


def test_a_reload_during_a_save_is_kept() -> None:
    rig = Rig(messages={1: "old"})

    class SlowStore(StateStore):
        async def save(self, state: Layer) -> None:  # noqa: ARG002
            rig.table.apply_settings(config(messages={1: "new", 2: "new"}))

    rig.table = RuleTable(rig.kernel, SlowStore(None))
    rig.run(rig.table.set_value(3, MESSAGE, "bus"))
    assert rig.kernel.content == {1: rule("new"), 2: rule("new"), 3: rule("bus")}


UIDS = st.integers(0, 5)
TEXTS = st.sampled_from(["", "a", "b"])
ACTIONS = st.sampled_from(Action)
LIMITS = st.sampled_from(["off", "1/s", "200/s"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set_value"), UIDS, st.just(MESSAGE), st.none() | TEXTS),
        st.tuples(st.just("set_value"), UIDS, st.just(ACTION), st.none() | ACTIONS),
        st.tuples(st.just("set_value"), UIDS, st.just(LIMIT), st.none() | LIMITS),
        st.tuples(st.just("set_default"), st.just(MESSAGE), TEXTS),
        st.tuples(st.just("set_default"), st.just(ACTION), ACTIONS),
        st.tuples(
            st.just("apply"),
            st.fixed_dictionaries(
                {},
                optional={
                    "messages": st.dictionaries(UIDS, TEXTS),
                    "actions": st.dictionaries(UIDS, ACTIONS),
                    "limits": st.dictionaries(UIDS, LIMITS),
                    "default_message": TEXTS,
                    "limit_per_user": LIMITS,
                },
            ),
        ),
        st.tuples(st.just("refuse"), st.integers(0, 6)),
    ),
    max_size=12,
)


@given(STEPS)
def test_the_kernel_always_has_what_the_table_says(steps: list[tuple[Any, ...]]) -> None:
    rig = Rig(FakeMap(4))
    asyncio.run(_take(rig, steps))
    assert rig.kernel.rules() == rig.table.rules()
    assert rig.kernel.default() == rig.table.default


def applied(table: RuleTable) -> dict[int, tuple[Rule, str]]:
    return {uid: (rule, table.origin(uid)) for uid, rule in table.rules().items()}


async def _take(rig: Rig, steps: list[tuple[Any, ...]]) -> None:
    for name, *arguments in steps:
        before = applied(rig.table)
        rig.listener.changes.clear()
        with contextlib.suppress(ChangeError):
            if name == "refuse":
                countdown = iter([False] * arguments[0] + [True])
                rig.kernel.refuse = lambda _, c=countdown: next(c, False)  # type: ignore[misc]
            elif name == "apply":
                rig.table.apply_settings(config(**arguments[0]))
            else:
                await getattr(rig.table, name)(*arguments)
        after = applied(rig.table)
        changed = {uid for uid in before.keys() | after if before.get(uid) != after.get(uid)}
        assert sorted(t[0] for t in rig.listener.changes if isinstance(t[0], int)) == sorted(changed)

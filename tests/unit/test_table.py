# SPDX-License-Identifier: GPL-2.0-or-later
import asyncio
import contextlib
from collections.abc import Coroutine
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execwatchd.policy import validate
from execwatchd.policy.configuration import Config
from execwatchd.policy.settings import keys
from execwatchd.policy.state import State, StateStore
from execwatchd.policy.table import MessageTable
from execwatchd.shared.errors import ChangeError, NoSuchMessage, NotChanged, TableFull
from execwatchd.shared.rules import Action, per_second
from tests.fakes.control import FakeMap, Recorder, state_store

FILE = Path("/etc/execwatchd/execwatchd.toml")
RECORD, IGNORE = Action.RECORD, Action.IGNORE


def config(**values: Any) -> Config:
    settings = validate.settings(values)
    return Config(settings, dict.fromkeys(keys(asdict(settings)), FILE), (FILE,))


class Rig:
    """A table over a fake map, started with a configuration."""

    def __init__(self, kernel: FakeMap | None = None, path: Path | None = None, **values: Any) -> None:
        self.kernel = kernel or FakeMap()
        self.store = state_store(path)
        self.table = MessageTable(self.kernel, self.store)
        self.table.apply_settings(config(**values))
        self.heard = Recorder()
        self.table.listeners.append(self.heard)
        self.kernel.writes.clear()

    def run(self, call: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run(call)

    def rows(self) -> list[tuple[int, str, str, str]]:
        return [(row.uid, row.message, str(row.action), row.origin) for row in self.table.rows()]


def test_the_kernel_gets_the_files_layer() -> None:
    rig = Rig(messages={1: "one"}, actions={1: "ignore", 2: "ignore"}, default_message="dflt")
    assert rig.kernel.content == {1: (b"one", IGNORE), 2: (b"dflt", IGNORE)}
    assert rig.kernel.fallback == (b"dflt", RECORD)
    assert rig.rows() == [(1, "one", "ignore", str(FILE)), (2, "dflt", "ignore", str(FILE))]
    assert (rig.table.message(1), rig.table.message(3)) == ("one", "dflt")


def test_a_message_over_the_files() -> None:
    rig = Rig(messages={1: "file"})
    assert rig.run(rig.table.set_message(1, "bus"))
    assert rig.run(rig.table.set_message(2, ""))
    assert rig.kernel.content == {1: (b"bus", RECORD), 2: (b"", RECORD)}
    assert rig.rows() == [(1, "bus", "record", "state"), (2, "", "record", "state")]
    assert rig.heard.told == [(1,), (2,)]
    rig.run(rig.table.remove_message(1))
    rig.run(rig.table.remove_message(2))
    assert rig.kernel.content == {1: (b"file", RECORD)}
    assert rig.heard.told == [(1,), (2,), (1,), (2,)]


def test_limits_over_the_files() -> None:
    rig = Rig(limits={1: "1/s", 2: "off"}, messages={3: "three"}, limit_per_user="9/s")
    assert rig.kernel.default() == (b"Hello World", RECORD, 9)
    assert rig.kernel.content == {
        1: (b"Hello World", RECORD, 1),
        2: (b"Hello World", RECORD),
        3: (b"three", RECORD, 9),
    }
    assert rig.table.limits() == [(1, "1/s"), (2, "off")]
    assert rig.rows()[0] == (1, "Hello World", "record", str(FILE))
    assert rig.run(rig.table.set_limit(1, "off"))
    assert not rig.run(rig.table.set_limit(1, "off"))
    assert rig.run(rig.table.set_limit(4, "7/s"))
    assert rig.table.limits() == [(1, "off"), (2, "off"), (4, "7/s")]
    assert rig.rows()[-1] == (4, "Hello World", "record", "state")
    assert rig.kernel.users()[1] == (b"Hello World", RECORD, 0)
    assert rig.heard.told == [(1,), (4,)]
    assert rig.run(rig.table.set_limit(1, None))
    assert rig.run(rig.table.set_limit(4, None))
    assert not rig.run(rig.table.set_limit(4, None))
    assert rig.kernel.users()[1] == (b"Hello World", RECORD, 1)
    assert 4 not in rig.kernel.content


def test_a_changed_default_limit_reaches_everybody_without_one() -> None:
    rig = Rig(messages={1: "one"}, limits={2: "2/s"})
    rig.table.apply_settings(config(messages={1: "one"}, limits={2: "2/s"}, limit_per_user="5/s"))
    assert rig.kernel.writes == [("set", 1, b"one", RECORD, 5), ("default", b"Hello World", RECORD, 5)]
    assert rig.heard.told == [("DefaultLimit", "5/s"), (1,)]


def test_what_is_set_already_changes_nothing() -> None:
    rig = Rig()
    assert rig.run(rig.table.set_message(1, "x"))
    assert not rig.run(rig.table.set_message(1, "x"))
    assert not rig.run(rig.table.set_action(1, None))
    assert rig.run(rig.table.set_default_action(RECORD))  # it is kept now, whatever the file will say
    assert not rig.run(rig.table.set_default_action(RECORD))
    assert rig.kernel.writes == [("set", 1, b"x", RECORD)]
    assert rig.heard.told == [(1,)]


def test_the_files_own_text_set_over_the_bus_changes_the_origin_only() -> None:
    rig = Rig(messages={1: "x"})
    assert rig.run(rig.table.set_message(1, "x"))
    assert (rig.kernel.writes, rig.heard.told) == ([], [(1,)])
    assert rig.rows() == [(1, "x", "record", "state")]


def test_actions() -> None:
    rig = Rig(actions={1: "ignore"})
    rig.run(rig.table.set_action(1, RECORD))
    rig.run(rig.table.set_action(2, IGNORE))
    assert rig.kernel.content == {1: (b"Hello World", RECORD), 2: (b"Hello World", IGNORE)}
    rig.run(rig.table.set_action(1, None))
    rig.run(rig.table.set_action(2, None))
    assert rig.kernel.content == {1: (b"Hello World", IGNORE)}


def test_no_such_message() -> None:
    rig = Rig(messages={1: "file"}, actions={2: "ignore"})
    for uid in (1, 2, 3):
        with pytest.raises(NoSuchMessage, match=f"^UID {uid} has no message that was set over D-Bus$"):
            rig.run(rig.table.remove_message(uid))
    assert (rig.table.message_file(1), rig.table.message_file(2)) == (str(FILE), None)
    assert rig.heard.told == []


def test_a_default_reaches_those_who_inherit_half() -> None:
    rig = Rig(messages={1: "one"}, actions={2: "record"})
    rig.run(rig.table.set_default_message("new"))
    rig.run(rig.table.set_default_action(IGNORE))
    assert rig.kernel.content == {1: (b"one", IGNORE), 2: (b"new", RECORD)}
    assert rig.kernel.fallback == (b"new", IGNORE)
    assert rig.heard.told == [("DefaultMessage", "new"), (2,), ("DefaultAction", "ignore"), (1,)]


def test_the_state_survives(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    rig = Rig(path=path)
    rig.run(rig.table.set_message(1, "kept"))
    rig.run(rig.table.set_default_message("kept too"))
    again = Rig(path=path, messages={1: "file"}, default_message="file")
    assert again.kernel.content == {1: (b"kept", RECORD)}
    assert again.kernel.fallback == (b"kept too", RECORD)


def test_a_reload_writes_differences_only() -> None:
    rig = Rig(messages={1: "one", 2: "two", 3: "three"})
    rig.run(rig.table.set_message(3, "bus"))
    rig.kernel.writes.clear()
    rig.heard.told.clear()
    rig.table.apply_settings(config(messages={1: "one", 2: "TWO", 4: "four"}, default_message="new"))
    assert rig.kernel.writes == [
        ("set", 2, b"TWO", RECORD),
        ("set", 4, b"four", RECORD),
        ("default", b"new", RECORD),
    ]
    assert rig.heard.told == [("DefaultMessage", "new"), (2,), (4,)]


def test_a_take_over_removes_strays_last() -> None:
    kernel = FakeMap(content={1: (b"one", RECORD), 9: (b"stray", IGNORE)})
    kernel.fallback = (b"Hello World", RECORD)
    table = MessageTable(kernel, StateStore(None))
    table.apply_settings(config(messages={1: "one", 2: "two"}))
    assert kernel.writes == [("set", 2, b"two", RECORD), ("remove", 9)]


def test_a_full_map_makes_room_from_strays_first() -> None:
    kernel = FakeMap(2, {8: (b"stray", RECORD), 9: (b"stray", RECORD)})
    table = MessageTable(kernel, StateStore(None))
    table.apply_settings(config(messages={1: "one", 2: "two"}))
    assert kernel.content == {1: (b"one", RECORD), 2: (b"two", RECORD)}


def test_a_full_table(tmp_path: Path) -> None:
    rig = Rig(FakeMap(3), tmp_path / "state.json", messages={1: "one"}, actions={2: "ignore"})
    rig.run(rig.table.set_message(3, "three"))
    before, told = dict(rig.kernel.content), list(rig.heard.told)
    file = (tmp_path / "state.json").read_bytes()
    for call in (rig.table.set_message(4, "x"), rig.table.set_action(4, IGNORE)):
        with pytest.raises(TableFull, match=r"^the table is full: it holds 3 UIDs"):
            rig.run(call)
    with pytest.raises(TableFull):
        rig.table.apply_settings(config(messages=dict.fromkeys(range(4), "x"), default_message="new"))
    assert (rig.kernel.content, rig.heard.told) == (before, told)
    assert (tmp_path / "state.json").read_bytes() == file
    assert rig.table.default_message == "Hello World"
    assert rig.run(rig.table.set_message(2, "still possible"))
    rig.run(rig.table.remove_message(3))
    assert rig.run(rig.table.set_message(4, "room again"))


@pytest.mark.parametrize("nth", range(5))
def test_a_refusal_by_the_kernel_changes_nothing(tmp_path: Path, nth: int) -> None:
    path = tmp_path / "state.json"
    rig = Rig(FakeMap(), path, messages={1: "one", 2: "two", 3: "three"}, actions={4: "ignore"})
    rig.run(rig.table.set_message(5, "bus"))
    content, fallback, rows = dict(rig.kernel.content), rig.kernel.fallback, rig.rows()
    file = path.read_bytes()
    rig.heard.told.clear()
    countdown = iter([False] * nth + [True])
    rig.kernel.refuse = lambda _: next(countdown, False)
    with pytest.raises(NotChanged, match="Cannot allocate memory"):
        rig.table.apply_settings(config(messages={1: "ONE", 6: "six"}, default_message="new"))
    rig.kernel.refuse = lambda what: what[:2] == ("set", 1)
    with pytest.raises(NotChanged, match="Cannot allocate memory"):
        rig.run(rig.table.set_message(1, "bus"))
    assert (rig.kernel.content, rig.kernel.fallback, rig.rows()) == (content, fallback, rows)
    assert (path.read_bytes(), rig.heard.told) == (file, [])


def test_a_state_that_cannot_be_saved_changes_nothing(tmp_path: Path) -> None:
    rig = Rig(path=tmp_path / "gone" / "state.json")
    with pytest.raises(NotChanged, match=r"^the change could not be saved, so it was not made: No such file"):
        rig.run(rig.table.set_message(1, "x"))
    assert (rig.kernel.content, rig.rows(), rig.heard.told) == ({}, [], [])


def test_a_reload_during_a_save_is_kept() -> None:
    rig = Rig(messages={1: "old"})

    class SlowStore(StateStore):
        async def save(self, state: State) -> None:  # noqa: ARG002
            rig.table.apply_settings(config(messages={1: "new", 2: "new"}))

    rig.table = MessageTable(rig.kernel, SlowStore(None))
    rig.run(rig.table.set_message(3, "bus"))
    assert rig.kernel.content == {1: (b"new", RECORD), 2: (b"new", RECORD), 3: (b"bus", RECORD)}


UIDS = st.integers(0, 5)
TEXTS = st.sampled_from(["", "a", "b"])
ACTIONS = st.sampled_from(Action)
LIMITS = st.sampled_from(["off", "1/s", "200/s"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set_message"), UIDS, TEXTS),
        st.tuples(st.just("remove_message"), UIDS),
        st.tuples(st.just("set_action"), UIDS, st.none() | ACTIONS),
        st.tuples(st.just("set_limit"), UIDS, st.none() | LIMITS),
        st.tuples(st.just("set_default_message"), TEXTS),
        st.tuples(st.just("set_default_action"), ACTIONS),
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
    table = rig.table
    inside = {row.uid: (row.message.encode(), row.action, per_second(row.limit)) for row in table.rows()}
    assert rig.kernel.users() == inside
    default = (table.default_message.encode(), table.default_action, per_second(table.default_limit))
    assert rig.kernel.default() == default


async def _take(rig: Rig, steps: list[tuple[Any, ...]]) -> None:
    for name, *arguments in steps:
        before = {row.uid: row for row in rig.table.rows()}
        rig.heard.told.clear()
        with contextlib.suppress(ChangeError):
            if name == "refuse":
                countdown = iter([False] * arguments[0] + [True])
                rig.kernel.refuse = lambda _, c=countdown: next(c, False)  # type: ignore[misc]
            elif name == "apply":
                rig.table.apply_settings(config(**arguments[0]))
            else:
                await getattr(rig.table, name)(*arguments)
        after = {row.uid: row for row in rig.table.rows()}
        changed = {uid for uid in before.keys() | after if before.get(uid) != after.get(uid)}
        assert sorted(t[0] for t in rig.heard.told if isinstance(t[0], int)) == sorted(changed)

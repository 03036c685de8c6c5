# SPDX-License-Identifier: GPL-2.0-or-later
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from execwatchd.policy.layer import Layer
from execwatchd.shared.rules import ACTION, LIMIT, MEMBERS, MESSAGE, Action, Rule

RULES = st.builds(
    Rule,
    st.none() | st.sampled_from(["", "a"]),
    st.none() | st.sampled_from(Action),
    st.none() | st.sampled_from(["off", "1/s"]),
)
LAYERS = st.builds(
    Layer, RULES, st.dictionaries(st.integers(0, 5), RULES.filter(lambda rule: rule != Rule()))
)


def test_a_files_three_tables_are_one_rule_for_each_uid() -> None:
    layer = Layer.of_file(
        {
            "default_action": Action.IGNORE,
            "cwd": True,
            "messages": {1: "", 2: "two"},
            "actions": {2: Action.RECORD},
            "limits": {2: "off", 3: "1/s"},
        }
    )
    assert layer.default == Rule(action=Action.IGNORE)
    assert layer.rules == {1: Rule(""), 2: Rule("two", Action.RECORD, "off"), 3: Rule(limit="1/s")}
    assert layer.defaults() == {"default_action": "ignore"}
    assert layer.tables() == {
        "messages": {1: "", 2: "two"},
        "actions": {2: "record"},
        "limits": {2: "off", 3: "1/s"},
    }
    assert list(layer.tables()) == ["messages", "actions", "limits"]


@given(LAYERS)
def test_what_is_put_into_a_file_is_read_back(layer: Layer) -> None:
    assert Layer.of_file({**layer.defaults(), **layer.tables()}) == layer


@given(LAYERS, st.integers(0, 5), st.sampled_from(MEMBERS), st.data())
def test_a_change_of_one_value_changes_nothing_else(
    layer: Layer, uid: int, member: Any, data: st.DataObject
) -> None:
    values = {MESSAGE: "b", ACTION: Action.IGNORE, LIMIT: "9/s"}
    value = data.draw(st.none() | st.just(values[member]))
    before = layer.tables()
    after = layer.with_value(uid, member, value)
    if value is None:
        before[member.table].pop(uid, None)
    else:
        before[member.table][uid] = value
    assert (after.tables(), after.default) == (before, layer.default)
    assert Rule() not in after.rules.values()
    default = layer.with_default(member, value)
    assert (member.of(default.default), default.rules) == (value, layer.rules)


def test_a_uid_goes_with_the_last_value_that_is_set_for_it() -> None:
    layer = Layer().with_value(5, MESSAGE, "").with_value(5, LIMIT, "off")
    assert layer.rules == {5: Rule("", None, "off")}
    assert layer.with_value(5, MESSAGE, None).rules == {5: Rule(limit="off")}
    assert layer.with_value(5, MESSAGE, None).with_value(5, LIMIT, None) == Layer()

# SPDX-License-Identifier: GPL-2.0-or-later
"""The canonical XML, the code, the bus policy and the polkit actions name the same things."""

import inspect
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from execwatchd.bus.authority import MANAGE, READ
from execwatchd.bus.manager import METHODS, PROPERTIES
from execwatchd.bus.routes import INTERFACE, NAME, PATH, ROUTES, XML

PACKAGING = Path(__file__).resolve().parents[2] / "packaging/dbus"
NODE = ElementTree.fromstring(XML)
MANAGER = next(interface for interface in NODE if interface.get("name") == INTERFACE)
EMITS = "org.freedesktop.DBus.Property.EmitsChangedSignal"
COUNTERS = {"Seen", "Forwarded", "Ignored", "Lost", "RingFill", "Refused"}
CHANGING = {"DefaultMessage", "DefaultAction", "DefaultLimit", "NotInEffect"}


def signature(member: ElementTree.Element, direction: str) -> str:
    arguments = (arg for arg in member.findall("arg") if arg.get("direction", "out") == direction)
    return "".join(arg.attrib["type"] for arg in arguments)


def test_methods() -> None:
    assert NODE.get("name") == PATH
    assert {
        interface.get("name"): {
            method.get("name"): (signature(method, "in"), signature(method, "out"))
            for method in interface.findall("method")
        }
        for interface in NODE.findall("interface")
    } == ROUTES


def test_signals() -> None:
    """They are emitted by name in bus/service.py; tests/bus hears each with these arguments."""
    signals = {signal.get("name"): signature(signal, "out") for signal in MANAGER.findall("signal")}
    assert signals == {"MessageChanged": "u", "EventsLost": "t"}


def test_properties() -> None:
    properties = {p.attrib["name"]: p for p in MANAGER.findall("property")}
    assert {name: p.get("type") for name, p in properties.items()} == {
        n: p.signature for n, p in PROPERTIES.items()
    }
    writable = {name for name, p in properties.items() if p.get("access") == "readwrite"}
    assert writable == {name for name, p in PROPERTIES.items() if p.write}
    assert {p.get("access") for p in properties.values()} <= {"read", "readwrite"}


def test_which_properties_announce_a_change() -> None:
    for member in MANAGER.findall("property"):
        name = member.attrib["name"]
        expected = "true" if name in CHANGING else "false" if name in COUNTERS else "const"
        assert {a.get("name"): a.get("value") for a in member.findall("annotation")} == {EMITS: expected}


def test_a_method_takes_what_it_declares() -> None:
    writes = [p.write for p in PROPERTIES.values() if p.write]
    for method in (*METHODS.values(), *writes):
        assert len(method.checks) == len(method.signature)
        assert len(inspect.signature(method.run).parameters) == len(method.checks) + 2


@pytest.mark.parametrize("member", MANAGER.findall("*"), ids=lambda member: member.get("name"))
def test_every_member_and_argument_is_described(member: ElementTree.Element) -> None:
    name = re.escape(member.attrib["name"])
    comment = re.search(rf"<!--\s+{name}:\n(.*?)-->\s+<{member.tag} name=\"{name}\"", XML, re.DOTALL)
    assert comment
    for argument in member.findall("arg"):
        assert f"@{argument.attrib['name']}: " in comment[1]
    prose = re.sub(r"@.*\n", "", comment[1]).strip()
    assert prose.endswith(".")


def test_the_bus_policy_allows_method_calls_and_nothing_else() -> None:
    policy = ElementTree.parse(PACKAGING / "org.execwatch1.conf").getroot()
    (default,) = policy.findall("policy[@context='default']")
    assert [(rule.tag, rule.attrib) for rule in default] == [
        ("deny", {"send_destination": NAME}),
        ("allow", {"send_destination": NAME, "send_type": "method_call"}),
    ]
    assert {p.get("user") for p in policy.findall("policy") if p.find("allow[@own]") is not None} == {
        "execwatchd",
        "root",
    }


def test_polkit_actions() -> None:
    root = ElementTree.parse(PACKAGING / "org.execwatch1.policy").getroot()
    actions = {action.get("id"): action for action in root.findall("action")}
    assert actions.keys() == {MANAGE, READ}
    for action in actions.values():
        owner = action.findtext("annotate[@key='org.freedesktop.policykit.owner']")
        assert owner == "unix-user:execwatchd"
        assert {default.text for default in action.findall("defaults/*")} == {"auth_admin_keep"}
        for text in (action.find("description"), action.find("message")):
            assert text is not None
            assert text.get("gettext-domain") == "execwatchd"

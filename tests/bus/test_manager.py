# SPDX-License-Identifier: GPL-2.0-or-later
"""What each member does for a caller who may."""

import asyncio
import logging
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from dbus_next.message import Message
from dbus_next.signature import Variant

from execwatchd import __version__
from execwatchd.bus.routes import INTERFACE, NAME, PATH, PROPERTIES_INTERFACE, XML
from execwatchd.policy.configuration import Config
from execwatchd.policy.settings import Settings
from execwatchd.shared.message_ids import MessageId
from execwatchd.shared.rules import Action, Rule
from tests.bus.harness import ALICE, DBUS_ERROR, OWN_ERROR, PrivateBus, serving, until
from tests.fakes.control import state_store
from tests.fakes.rules import rule

FILE = Path("/etc/execwatchd/execwatchd.toml")
MACHINE_ID = Path("/etc/machine-id").read_text().strip()


async def test_a_message_comes_and_goes(bus: PrivateBus, directory: Path) -> None:
    async with serving(bus, directory) as rig:
        root = await rig.client()
        assert await root.call("GetMessage", "u", 501) == "Hello World"
        assert await root.call("SetMessage", "us", 501, "Hi user 501!") is None
        assert await root.call("GetMessage", "u", 501) == "Hi user 501!"
        assert rig.kernel.content == {501: rule("Hi user 501!")}
        assert state_store(rig.state).state.rules == {501: Rule("Hi user 501!")}
        assert await root.call("ListMessages") == [[501, "Hi user 501!", "record", "state"]]
        await root.call("RemoveMessage", "u", 501)
        assert await root.call("GetMessage", "u", 501) == "Hello World"
        assert (rig.kernel.content, await root.call("ListMessages")) == ({}, [])


async def test_actions(bus: PrivateBus, directory: Path) -> None:
    async with serving(bus, directory) as rig:
        root = await rig.client()
        await root.call("SetAction", "us", 33, "ignore")
        assert await root.call("ListMessages") == [[33, "Hello World", "ignore", "state"]]
        await root.call("SetAction", "us", 33, "default")
        assert await root.call("ListMessages") == []


async def test_limits(bus: PrivateBus, directory: Path) -> None:
    settings = Settings.of_file({"limit_per_user": "100/s", "limits": {7: "off"}})
    config = Config(settings, {("limits", 7): FILE}, (FILE,))
    async with serving(bus, directory, config) as rig:
        root, alice = await rig.client(), await rig.client(ALICE)
        await alice.listen()
        assert await alice.get("DefaultLimit") == "100/s"
        assert await root.call("SetLimit", "us", 33, "20/s") is None
        await root.call("SetLimit", "us", 33, "20/s")
        assert await root.call("ListLimits") == [[7, "off"], [33, "20/s"]]
        assert await root.call("ListMessages") == [
            [7, "Hello World", "record", str(FILE)],
            [33, "Hello World", "record", "state"],
        ]
        assert rig.kernel.content[33] == rule("Hello World", per_second=20)
        assert state_store(rig.state).state.rules == {33: Rule(limit="20/s")}
        await root.call("SetLimit", "us", 33, "default")
        assert await root.call("ListLimits") == [[7, "off"]]
        assert state_store(rig.state).state.rules == {}
        await until(lambda: len(alice.heard) == 2)
        assert alice.heard == [("MessageChanged", [33])] * 2


async def test_where_a_message_comes_from(bus: PrivateBus, directory: Path) -> None:
    config = Config(Settings.of_file({"messages": {7: "seven"}}), {("messages", 7): FILE}, (FILE,))
    async with serving(bus, directory, config) as rig:
        root = await rig.client()
        assert await root.call("ListMessages") == [[7, "seven", "record", str(FILE)]]
        text = await root.refused(f"{OWN_ERROR}NoSuchMessage", root.call("RemoveMessage", "u", 7))
        assert text == f"UID 7 has no message that was set over D-Bus: its message comes from {FILE}"
        text = await root.refused(f"{OWN_ERROR}NoSuchMessage", root.call("RemoveMessage", "u", 8))
        assert text == "UID 8 has no message that was set over D-Bus"


async def test_properties(bus: PrivateBus, directory: Path) -> None:
    async with serving(bus, directory) as rig:
        alice = await rig.client(ALICE)
        message = Message(NAME, PATH, PROPERTIES_INTERFACE, "GetAll", signature="s", body=[INTERFACE])
        (values,) = await alice.send(message)
        assert values == {
            "DefaultMessage": Variant("s", "Hello World"),
            "DefaultAction": Variant("s", "record"),
            "DefaultLimit": Variant("s", "off"),
            "Version": Variant("s", __version__),
            "MaxMessageLength": Variant("u", 63),
            "NotInEffect": Variant("as", []),
            "Attached": Variant("as", ["sched_process_exec", "task_rename"]),
            "Since": Variant("t", 1_700_000_000_000_000),
            "RingSize": Variant("t", 4 << 20),
            "Seen": Variant("t", 10),
            "Forwarded": Variant("t", 7),
            "Ignored": Variant("t", 2),
            "Lost": Variant("t", 1),
            "RingFill": Variant("t", 4096),
            "Refused": Variant("t", 0),
        }
        for name, value in values.items():
            assert await alice.get(name) == value.value


async def test_the_defaults_can_be_written(bus: PrivateBus, directory: Path) -> None:
    async with serving(bus, directory) as rig:
        root = await rig.client()
        await root.set("DefaultMessage", "")
        await root.set("DefaultAction", "ignore")
        assert (await root.get("DefaultMessage"), await root.get("DefaultAction")) == ("", "ignore")
        assert rig.kernel.fallback == rule("", Action.IGNORE)


async def test_signals_come_exactly_when_something_changed(bus: PrivateBus, directory: Path) -> None:
    async with serving(bus, directory) as rig:
        root, alice = await rig.client(), await rig.client(ALICE)
        await alice.listen()
        for text in ("a", "a", "b"):
            await root.call("SetMessage", "us", 5, text)
            await root.set("DefaultMessage", text)
        await root.set("DefaultAction", "record")
        rig.service.events_lost(2**63)
        await until(lambda: len(alice.heard) == 5)
        assert alice.heard == [
            ("MessageChanged", [5]),
            ("PropertiesChanged", [INTERFACE, {"DefaultMessage": "a"}, []]),
            ("MessageChanged", [5]),
            ("PropertiesChanged", [INTERFACE, {"DefaultMessage": "b"}, []]),
            ("EventsLost", [2**63]),
        ]


async def test_every_change_is_logged_with_who_made_it(
    bus: PrivateBus, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "execwatchd")
    async with serving(bus, directory) as rig:
        root = await rig.client()
        await root.call("SetMessage", "us", 501, "it's \\x")
        await root.call("SetMessage", "us", 501, "it's \\x")
        await root.call("SetAction", "us", 501, "ignore")
        await root.call("SetAction", "us", 501, "default")
        await root.call("RemoveMessage", "u", 501)
        await root.set("DefaultMessage", "new")
        await root.set("DefaultAction", "ignore")
    who = {
        "MESSAGE_ID": MessageId.MESSAGE_CHANGED.value,
        "EXECWATCH_CALLER_UID": 0,
        "EXECWATCH_CALLER_PID": os.getpid(),
    }
    user = {**who, "EXECWATCH_UID": 501}
    assert [(r.getMessage(), r.__dict__["journal"]) for r in caplog.records if "journal" in r.__dict__] == [
        (f"UID 0 (PID {os.getpid()}) {text}", fields)
        for text, fields in (
            ('set the message of UID 501 to "it\'s \\\\x"', user),
            ("set the action of UID 501 to ignore", user),
            ("set the action of UID 501 to the default", user),
            ("removed the message of UID 501", user),
            ("set the default message to 'new'", who),
            ("set the default action to ignore", who),
        )
    ]


async def test_introspection_is_the_canonical_xml(bus: PrivateBus, directory: Path) -> None:
    async with serving(bus, directory) as rig:
        alice = await rig.client(ALICE)

        async def introspect(path: str) -> str:
            (xml,) = await alice.send(
                Message(NAME, path, "org.freedesktop.DBus.Introspectable", "Introspect")
            )
            return str(xml)

        assert await introspect(PATH) == XML
        assert '<node name="org"/>' in await introspect("/")
        assert '<node name="execwatch1"/>' in await introspect("/org")
        await alice.refused(f"{DBUS_ERROR}UnknownObject", introspect("/org/execwatch1/x"))


async def test_peer(bus: PrivateBus, directory: Path) -> None:
    async with serving(bus, directory) as rig:
        alice = await rig.client(ALICE)
        assert await alice.send(Message(NAME, PATH, "org.freedesktop.DBus.Peer", "Ping")) == []
        (machine,) = await alice.send(Message(NAME, PATH, "org.freedesktop.DBus.Peer", "GetMachineId"))
        assert machine == MACHINE_ID


async def test_busctl(bus: PrivateBus, directory: Path) -> None:
    async with serving(bus, directory) as rig:

        async def busctl(*arguments: str) -> str:
            command = ("busctl", f"--address={bus.address}", *arguments)
            process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
            output, _ = await process.communicate()
            assert process.returncode == 0
            return output.decode()

        object_ = (NAME, PATH, INTERFACE)
        await busctl("call", *object_, "SetMessage", "us", "501", "Hi user 501!")
        assert await busctl("call", *object_, "GetMessage", "u", "501") == 's "Hi user 501!"\n'
        assert await busctl("call", *object_, "ListMessages") == (
            'a(usss) 1 501 "Hi user 501!" "record" "state"\n'
        )
        await busctl("set-property", *object_, "DefaultMessage", "s", "Hello")
        assert await busctl("get-property", *object_, "DefaultMessage") == 's "Hello"\n'
        members = await busctl("introspect", *object_)
        for line in (
            ".ListMessages method - a(usss) -",
            ".SetMessage method us - -",
            '.DefaultMessage property s "Hello" emits-change writable',
            ".Seen property t 10 -",
            ".MaxMessageLength property u 63 const",
            ".EventsLost signal t - -",
        ):
            assert line in {" ".join(member.split()) for member in members.splitlines()}
        assert "/org/execwatch1" in await busctl("tree", NAME)
        assert rig.kernel.fallback.message == "Hello"


QDBUS = shutil.which("qdbus-qt6") or "/usr/lib/qt6/bin/qdbus"


async def test_qts_tool_reads_properties(bus: PrivateBus, directory: Path) -> None:
    """It calls a method of that name first, and reads the property only after UnknownMethod."""
    async with serving(bus, directory) as rig:
        for name, shown in (("MaxMessageLength", "63"), ("Attached", "\n".join(rig.status.attached))):
            member = f"{INTERFACE}.{name}"
            qdbus = await asyncio.create_subprocess_exec(
                *("setpriv", f"--reuid={ALICE}", "--clear-groups"),
                *(QDBUS, "--bus", bus.address, NAME, PATH, member),
                stdout=asyncio.subprocess.PIPE,
            )
            out, _ = await qdbus.communicate()
            assert (qdbus.returncode, out.decode()) == (0, f"{shown}\n")


async def test_what_is_not_in_effect_is_shown_to_everybody_and_announced(
    bus: PrivateBus, directory: Path
) -> None:
    async with serving(bus, directory) as rig:
        alice = await rig.client(ALICE)
        await alice.listen()
        options = {"cwd": False}
        rig.in_effect.started(options, options, {}, "")
        rig.in_effect.accepted({"cwd": True})
        rig.in_effect.accepted({"cwd": True})
        lines = ["restart needed for: cwd"]
        assert await alice.get("NotInEffect") == lines
        rig.in_effect.accepted(options)
        await until(lambda: len(alice.heard) == 2)
        assert alice.heard == [
            ("PropertiesChanged", [INTERFACE, {"NotInEffect": lines}, []]),
            ("PropertiesChanged", [INTERFACE, {"NotInEffect": []}, []]),
        ]
        assert await alice.get("NotInEffect") == []

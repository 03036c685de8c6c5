# SPDX-License-Identifier: GPL-2.0-or-later
"""What a caller gets who asks for what there is not, or in the wrong way."""

import asyncio
import errno
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from dbus_next.constants import MessageFlag, MessageType
from dbus_next.message import Message
from dbus_next.signature import Variant

from execwatchd.bus.authority import Authority
from execwatchd.bus.routes import INTERFACE, NAME, PATH, PROPERTIES_INTERFACE
from execwatchd.bus.wire import Header
from execwatchd.shared.counters import Counters
from execwatchd.shared.rules import BUILT_IN
from tests.bus.harness import ALICE, DBUS_ERROR, OWN_ERROR, CallError, PrivateBus, serving
from tests.fakes.rules import rule

INTROSPECTABLE = "org.freedesktop.DBus.Introspectable"
PEER = "org.freedesktop.DBus.Peer"
INVALID_ARGS = f"{DBUS_ERROR}InvalidArgs"

METHOD_CASES = [
    ("SetMessage", "us", (2**32 - 1, "x"), INVALID_ARGS, "UID 4294967295 is out of range"),
    (
        "SetMessage",
        "us",
        (1, "x" * 64),
        "InvalidMessage",
        f"'{'x' * 64}' has 64 bytes of UTF-8: at most 63 fit",
    ),
    (
        "SetMessage",
        "us",
        (1, "a\nb"),
        "InvalidMessage",
        "'a\\nb' has a control character (U+000A) at position 1",
    ),
    ("SetMessage", "us", (1, "x" * 100_000), "InvalidMessage", "at most 65536"),
    ("SetMessage", "us", (1, "x" * 5_000_000), "InvalidMessage", "5000009 bytes"),
    ("SetMessage", "su", ("x", 1), INVALID_ARGS, "types 'us', not 'su'"),
    ("SetMessage", "", (), INVALID_ARGS, "types 'us', not ''"),
    ("SetMessage", "is", (1, "x"), INVALID_ARGS, "types 'us', not 'is'"),
    ("SetMessage", "ay", (bytes(5_000_000),), INVALID_ARGS, "types 'us', not 'ay'"),
    ("SetMessage", "uss", (1, "x", "y"), INVALID_ARGS, "types 'us', not 'uss'"),
    ("SetMessage", "ah", ([0, 1],), INVALID_ARGS, "types 'us', not 'ah'"),
    ("RemoveMessage", "u", (9,), "NoSuchMessage", "UID 9 has no message that was set over D-Bus"),
    ("RemoveMessage", "u", (2**32 - 1,), INVALID_ARGS, "UID 4294967295 is out of range"),
    (
        "SetAction",
        "us",
        (1, "drop"),
        "InvalidAction",
        "the action 'drop' does not exist: it must be 'record'",
    ),
    (
        "SetLimit",
        "us",
        (1, "0/s"),
        "InvalidLimit",
        "the limit '0/s' does not exist:"
        " it must be 'off' or execs a second from '1/s' to '100000/s', or 'default'",
    ),
    ("SetLimit", "us", (2**32 - 1, "off"), INVALID_ARGS, "UID 4294967295 is out of range"),
    ("SetLimit", "uu", (1, 200), INVALID_ARGS, "types 'us', not 'uu'"),
    ("ListLimits", "u", (1,), INVALID_ARGS, "types '', not 'u'"),
    ("SetAction", "us", (1, "x" * 70_000), INVALID_ARGS, "at most 65536"),
    ("GetMessage", "u", (2**32 - 1,), INVALID_ARGS, "UID 4294967295 is out of range"),
    ("GetMessage", "t", (1,), INVALID_ARGS, "types 'u', not 't'"),
    ("ListMessages", "s", ("x",), INVALID_ARGS, "types '', not 's'"),
]


@pytest.mark.parametrize(("member", "signature", "values", "name", "text"), METHOD_CASES)
async def test_methods(
    bus: PrivateBus, directory: Path, member: str, signature: str, values: Any, name: str, text: str
) -> None:
    async with serving(bus, directory) as rig:
        root = await rig.client()
        name = name if "." in name else f"{OWN_ERROR}{name}"
        assert text in await root.refused(name, root.call(member, signature, *values))
        assert (rig.kernel.writes, rig.table.rules()) == ([("default", BUILT_IN)], {})


PROPERTY_CASES = [
    ("Get", "ss", [INTERFACE, "Nope"], "UnknownProperty"),
    ("Get", "ss", ["org.example.Nope", "Version"], "UnknownInterface"),
    ("Get", "ss", [PEER, "Version"], "UnknownProperty"),
    ("Get", "s", [INTERFACE], "InvalidArgs"),
    ("Get", "su", [INTERFACE, 1], "InvalidArgs"),
    ("GetAll", "s", ["org.example.Nope"], "UnknownInterface"),
    ("GetAll", "", [], "InvalidArgs"),
    ("Set", "ssv", [INTERFACE, "Nope", Variant("s", "x")], "UnknownProperty"),
    ("Set", "ssv", ["org.example.Nope", "DefaultMessage", Variant("s", "x")], "UnknownInterface"),
    ("Set", "ssv", [INTERFACE, "Seen", Variant("t", 0)], "PropertyReadOnly"),
    ("Set", "ssv", [INTERFACE, "DefaultLimit", Variant("s", "9/s")], "PropertyReadOnly"),
    ("Set", "ssv", [INTERFACE, "DefaultMessage", Variant("u", 1)], "InvalidArgs"),
    ("Set", "ssv", [INTERFACE, "DefaultMessage", Variant("as", ["x"])], "InvalidArgs"),
    ("Set", "ssv", [INTERFACE, "DefaultMessage", Variant("v", Variant("s", "x"))], "InvalidArgs"),
    ("Set", "ssv", [INTERFACE, "DefaultAction", Variant("b", True)], "InvalidArgs"),
    ("Set", "sss", [INTERFACE, "DefaultMessage", "x"], "InvalidArgs"),
    ("Nope", "", [], "UnknownMethod"),
]


@pytest.mark.parametrize(("member", "signature", "values", "name"), PROPERTY_CASES)
async def test_properties(
    bus: PrivateBus, directory: Path, member: str, signature: str, values: list[Any], name: str
) -> None:
    async with serving(bus, directory) as rig:
        root = await rig.client()
        message = Message(NAME, PATH, PROPERTIES_INTERFACE, member, signature=signature, body=values)
        await root.refused(f"{DBUS_ERROR}{name}", root.send(message))


async def test_bad_values_of_properties(bus: PrivateBus, directory: Path) -> None:
    async with serving(bus, directory) as rig:
        root = await rig.client()
        await root.refused(f"{OWN_ERROR}InvalidMessage", root.set("DefaultMessage", "x" * 64))
        await root.refused(f"{OWN_ERROR}InvalidMessage", root.set("DefaultMessage", "\x85"))
        await root.refused(f"{OWN_ERROR}InvalidAction", root.set("DefaultAction", "default"))
        assert rig.kernel.fallback == rule("Hello World")


OBJECT_CASES = [
    (PATH, PEER, "Nope", "UnknownMethod"),
    (PATH, INTROSPECTABLE, "Nope", "UnknownMethod"),
    ("/org", INTERFACE, "ListMessages", "UnknownInterface"),
    ("/", PROPERTIES_INTERFACE, "GetAll", "UnknownInterface"),
    ("/org/execwatch1/1", INTERFACE, "ListMessages", "UnknownObject"),
    ("/nope", PEER, "Nope", "UnknownMethod"),
    ("/nope", None, "Nope", "UnknownObject"),
    ("/nope", "org.example.Nope", "Nope", "UnknownObject"),
    (PATH, "org.example.Nope", "Nope", "UnknownInterface"),
    (PATH, INTERFACE, "Nope", "UnknownMethod"),
    (PATH, INTERFACE, "Version", "UnknownMethod"),  # Qt's tools try a property after this error only
    (PATH, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", "UnknownInterface"),
    (PATH, None, "Nope", "UnknownMethod"),
    ("/", None, "ListMessages", "UnknownMethod"),
]


@pytest.mark.parametrize(("path", "interface", "member", "name"), OBJECT_CASES)
async def test_objects_and_interfaces(
    bus: PrivateBus, directory: Path, path: str, interface: str | None, member: str, name: str
) -> None:
    async with serving(bus, directory) as rig:
        alice = await rig.client(ALICE)
        text = await alice.refused(
            f"{DBUS_ERROR}{name}",
            alice.send(Message(NAME, path, interface, member)),  # type: ignore[arg-type]
        )
        assert repr(member) in text or repr(interface) in text or repr(path) in text
        assert rig.service.refused == 0


async def test_what_an_unknown_name_is_told(bus: PrivateBus, directory: Path) -> None:
    async with serving(bus, directory) as rig:
        alice = await rig.client(ALICE)
        for path, interface, text in (
            (PATH, INTERFACE, f"the interface {INTERFACE} has no method 'SetMesage'"),
            (PATH, None, f"the object '{PATH}' has no method 'SetMesage'"),
            (PATH, "a.b", f"the object '{PATH}' has no interface 'a.b'"),
            ("/x", INTERFACE, f"there is no object '/x': the object is {PATH}"),
        ):
            message = Message(NAME, path, interface, "SetMesage", signature="us", body=[1, "x"])  # type: ignore[arg-type]
            with pytest.raises(CallError) as error:
                await alice.send(message)
            assert error.value.text == text


async def test_a_call_without_an_interface(bus: PrivateBus, directory: Path) -> None:
    async with serving(bus, directory) as rig:
        root, alice = await rig.client(), await rig.client(ALICE)
        bare = Message(NAME, PATH, None, "SetMessage", signature="us", body=[5, "x"])  # type: ignore[arg-type]
        await alice.refused(f"{DBUS_ERROR}AccessDenied", alice.send(bare))
        bare.serial = 0
        assert await root.send(bare) == []
        assert rig.table.rule(5).message == "x"
        get = Message(NAME, PATH, None, "Get", signature="ss", body=[INTERFACE, "MaxMessageLength"])  # type: ignore[arg-type]
        (value,) = await alice.send(get)
        assert value.value == 63


@pytest.mark.parametrize("path", ["/", "/org", PATH, "/nope", "/org/execwatch1/1"])
async def test_every_path_answers_a_ping(bus: PrivateBus, directory: Path, path: str) -> None:
    async with serving(bus, directory) as rig:
        alice = await rig.client(ALICE)
        for interface in (PEER, None):
            assert await alice.send(Message(NAME, path, interface, "Ping")) == []  # type: ignore[arg-type]
        (machine,) = await alice.send(Message(NAME, path, PEER, "GetMachineId"))
        assert len(machine) == 32
        ping = Message(NAME, path, PEER, "Ping", signature="s", body=["x"])
        await alice.refused(INVALID_ARGS, alice.send(ping))


@pytest.mark.parametrize(
    ("interface", "name"),
    [(None, "UnknownMethod"), (INTERFACE, "UnknownMethod"), ("a.b", "UnknownInterface")],
)
async def test_a_large_call_of_what_there_is_not(
    bus: PrivateBus, directory: Path, interface: str | None, name: str
) -> None:
    async with serving(bus, directory) as rig:
        alice = await rig.client(ALICE)
        for signature, body in (("av", [[Variant("s", "x" * 1000)] * 5000]), ("ay", [bytes(5_000_000)])):
            message = Message(NAME, PATH, interface, "Nope", signature=signature, body=body)  # type: ignore[arg-type]
            await alice.refused(f"{DBUS_ERROR}{name}", alice.send(message))
        assert await alice.call("GetMessage", "u", ALICE) == "Hello World"


async def test_a_full_table(bus: PrivateBus, directory: Path) -> None:
    async with serving(bus, directory) as rig:
        root = await rig.client()
        for uid in range(rig.kernel.capacity):
            await root.call("SetMessage", "us", uid, "x")
        before, state = dict(rig.kernel.content), rig.state.read_bytes()
        await root.listen()
        text = await root.refused(f"{OWN_ERROR}TableFull", root.call("SetMessage", "us", 1000, "x"))
        assert text == "the table is full: it holds 64 UIDs that have a message, an action or a limit"
        await root.refused(f"{OWN_ERROR}TableFull", root.call("SetAction", "us", 1000, "ignore"))
        assert (rig.kernel.content, rig.state.read_bytes(), root.heard) == (before, state, [])
        await root.call("SetMessage", "us", 63, "still possible")
        await root.call("RemoveMessage", "u", 0)
        await root.call("SetMessage", "us", 1000, "room again")


async def test_a_state_that_cannot_be_saved(
    bus: PrivateBus, directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(bus, directory) as rig:
        root = await rig.client()

        def full(_fd: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            text = await root.refused(f"{OWN_ERROR}Internal", root.call("SetMessage", "us", 5, "x"))
        assert text == "the change could not be saved, so it was not made: No space left on device"
        assert str(rig.state) in caplog.text
        assert (rig.kernel.content, rig.table.rules(), rig.state.exists()) == ({}, {}, False)
        await root.call("SetMessage", "us", 5, "x")


async def test_a_refusal_by_the_kernel(bus: PrivateBus, directory: Path) -> None:
    async with serving(bus, directory) as rig:
        root = await rig.client()
        rig.kernel.refuse = lambda _: True
        text = await root.refused(f"{OWN_ERROR}Internal", root.call("SetMessage", "us", 5, "x"))
        assert text == "the kernel refused the change, so it was not made: Cannot allocate memory"
        assert await root.call("ListMessages") == []


async def test_a_bug_tells_the_caller_nothing(
    bus: PrivateBus, directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(bus, directory) as rig:

        def broken() -> Counters:
            raise RuntimeError("secret of /var/lib/execwatchd")

        monkeypatch.setattr(rig.status, "counters", broken)
        monkeypatch.setattr(rig.table, "rules", broken)
        root, alice = await rig.client(), await rig.client(ALICE)
        for call in (alice.get("Seen"), root.call("ListMessages")):
            text = await alice.refused(f"{OWN_ERROR}Internal", call)
            assert text == "an internal error; the daemon's log has it"
        logged = [r.exc_info[1] for r in caplog.records if r.exc_info]
        assert [str(error) for error in logged] == ["secret of /var/lib/execwatchd"] * 2
        assert await alice.call("GetMessage", "u", ALICE) == "Hello World"


async def test_a_call_that_wants_no_reply(bus: PrivateBus, directory: Path) -> None:
    async with serving(bus, directory) as rig:
        root = await rig.client()
        flags, body = MessageFlag.NO_REPLY_EXPECTED, [5, "x"]
        message = Message(NAME, PATH, INTERFACE, "SetMessage", flags=flags, signature="us", body=body)
        await root.bus.send(message)
        await rig.settle()
        assert rig.table.rule(5).message == "x"


async def test_a_caller_that_neither_waits_nor_stays(
    bus: PrivateBus, directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The bus can't say any more who it was; changes take no effect, and the log has it once."""
    asked: asyncio.Queue[str] = asyncio.Queue()
    gone = asyncio.Event()
    really = Authority._credentials

    async def when_gone(authority: Authority, name: str) -> tuple[int, int | None]:
        asked.put_nowait(name)
        await gone.wait()
        return await really(authority, name)

    async with serving(bus, directory) as rig:
        monkeypatch.setattr(Authority, "_credentials", when_gone)
        roots = [await rig.client() for _ in range(5)]
        for member, signature, body in (
            ("GetMessage", "u", [5]),
            ("SetMessage", "us", [5, "x"]),
            ("SetAction", "us", [5, "ignore"]),
            ("SetMessage", "us", [6, "x"]),
            ("RemoveMessage", "u", [5]),
        ):
            root = roots.pop()
            message = Message(NAME, PATH, INTERFACE, member, signature=signature, body=body)
            message.flags = MessageFlag.NO_REPLY_EXPECTED
            await root.bus.send(message)
            await asked.get()
            await root.close()
        gone.set()
        await rig.settle()
        assert (rig.kernel.content, rig.table.rules(), rig.service.refused) == ({}, {}, 0)
    (line,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert line == (
        "SetMessage took no effect, since its caller left the bus at once and so couldn't be authorised;"
        " callers must wait for the reply, see org.execwatch1(5)"
    )


async def test_a_header_that_is_too_large_is_dropped(bus: PrivateBus, directory: Path) -> None:
    async with serving(bus, directory) as rig:
        root = await rig.client()
        message = Message(NAME, f"/{'x' * 100_000}", INTERFACE, "ListMessages")
        message.flags = MessageFlag.NO_REPLY_EXPECTED
        await root.bus.send(message)
        assert await root.call("GetMessage", "u", 1) == "Hello World"


async def test_only_calls_reach_the_service(
    bus: PrivateBus, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds: list[int] = []
    really = Header.message

    def noted(header: Header, fields: bytes) -> Message | None:
        kinds.append(header.raw[1])
        return really(header, fields)

    async with serving(bus, directory) as rig:
        root = await rig.client()
        monkeypatch.setattr(Header, "message", noted)
        signal = Message.new_signal(PATH, INTERFACE, "MessageChanged", "u", [1])
        signal.destination = NAME
        await root.bus.send(signal)
        signal.serial = 1000
        unknown = bytearray(signal._marshall())
        unknown[1] = 9
        root.bus._sock.send(unknown)
        assert await root.call("GetMessage", "u", 1) == "Hello World"
        own = {MessageType.METHOD_CALL.value, MessageType.METHOD_RETURN.value}  # the return is of the bus
        assert set(kinds) == own

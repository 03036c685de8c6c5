# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may do what, by polkit's word or without polkit."""

import asyncio
import logging
from pathlib import Path

import pytest
from dbus_next.constants import MessageFlag
from dbus_next.message import Message

from execwatchd.bus.authority import MANAGE, MAX_QUESTIONS_PER_UID, READ
from execwatchd.bus.connection import BUS
from execwatchd.bus.dispatch import MAX_CALLS_PER_CLIENT, MAX_CALLS_PER_UID
from execwatchd.bus.routes import INTERFACE, NAME, PATH
from execwatchd.policy.configuration import Config
from execwatchd.policy.settings import Settings
from execwatchd.shared.rules import BUILT_IN
from tests.bus.harness import (
    ALICE,
    BOB,
    DBUS_ERROR,
    OWN_ERROR,
    CallError,
    Client,
    PrivateBus,
    Rig,
    Script,
    Verdict,
    serving,
    until,
)

DENIED = f"{DBUS_ERROR}AccessDenied"
LIMITS = f"{DBUS_ERROR}LimitsExceeded"
INTERACTIVE = f"{DBUS_ERROR}InteractiveAuthorizationRequired"
REMEDY = "run it with sudo, or use execwatchctl, which asks for the password"
YES, NO, CHALLENGE = (True, False), (False, False), (False, True)


def always(verdict: Verdict | CallError) -> Script:
    async def script(_uid: int, _action: str, _interactive: bool) -> Verdict | CallError:
        return verdict

    return script


async def never(_uid: int, _action: str, _interactive: bool) -> Verdict:
    await asyncio.Event().wait()
    raise AssertionError


def changes(client: Client) -> list[tuple[str, str]]:
    """Each way to change or learn something, with the polkit action that it needs."""
    return [
        ("SetMessage", MANAGE),
        ("RemoveMessage", MANAGE),
        ("SetAction", MANAGE),
        ("SetLimit", MANAGE),
        ("DefaultMessage", MANAGE),
        ("DefaultAction", MANAGE),
        ("GetMessage", READ),
        ("ListMessages", READ),
        ("ListLimits", READ),
    ]


async def attempt(client: Client, member: str, *, interactive: bool = False) -> object:
    if member.startswith("Default"):
        await client.set(member, "ignore")
        return None
    arguments = {
        "SetMessage": ("us", 5, "x"),
        "RemoveMessage": ("u", 5),
        "SetAction": ("us", 5, "ignore"),
        "SetLimit": ("us", 5, "200/s"),
        "GetMessage": ("u", 5),
        "ListMessages": (),
        "ListLimits": (),
    }[member]
    return await client.call(member, *arguments, interactive=interactive)  # type: ignore[arg-type]


async def unchanged(rig: Rig) -> None:
    await rig.settle()
    assert (rig.kernel.content, rig.table.rules()) == ({}, {})
    assert rig.table.default == BUILT_IN
    assert not rig.state.exists()


async def test_without_polkit_root_may_all_and_others_nothing(bus: PrivateBus, directory: Path) -> None:
    async with serving(bus, directory) as rig:
        alice = await rig.client(ALICE)
        for number, (member, action) in enumerate(changes(alice), 1):
            text = await alice.refused(DENIED, attempt(alice, member))
            reason = f"only UID 0 is authorised for {action}, as this host has no polkit"
            assert text == f"{reason}: run it with sudo"
            assert (rig.service.refused, await alice.get("Refused")) == (number, number)
        await unchanged(rig)
        assert await alice.call("GetMessage", "u", ALICE) == "Hello World"
        root = await rig.client()
        for member, _ in changes(root):
            await attempt(root, member)


async def test_polkit_is_asked_for_each_call_by_its_name(bus: PrivateBus, directory: Path) -> None:
    async with serving(bus, directory) as rig:
        polkit = await rig.polkit(always(NO))
        alice = await rig.client(ALICE)
        for member, action in changes(alice):
            text = await alice.refused(DENIED, attempt(alice, member))
            assert text == f"UID {ALICE} is not authorised for {action}: run it with sudo"
            assert polkit.asked[-1] == (ALICE, action, False)
        await unchanged(rig)
        assert await alice.call("GetMessage", "u", ALICE) == "Hello World"
        assert len(polkit.asked) == rig.service.refused == len(changes(alice))


async def test_whom_polkit_authorises_may(bus: PrivateBus, directory: Path) -> None:
    async with serving(bus, directory) as rig:
        await rig.polkit(always(YES))
        alice = await rig.client(ALICE)
        for member, _ in changes(alice):
            await attempt(alice, member)
        assert rig.table.default.message == "ignore"
        assert rig.service.refused == 0


async def test_root_does_not_depend_on_polkit(bus: PrivateBus, directory: Path) -> None:
    async with serving(bus, directory) as rig:
        polkit = await rig.polkit(always(NO))
        root = await rig.client()
        await root.call("SetMessage", "us", 5, "x")
        assert polkit.asked == []


async def test_a_dialogue_only_where_the_caller_allows_one(bus: PrivateBus, directory: Path) -> None:
    async with serving(bus, directory) as rig:

        async def script(_uid: int, _action: str, interactive: bool) -> Verdict:
            return YES if interactive else CHALLENGE

        polkit = await rig.polkit(script)
        alice = await rig.client(ALICE)
        text = await alice.refused(INTERACTIVE, attempt(alice, "SetMessage"))
        assert text == f"{MANAGE} needs an authentication, which this call does not allow: {REMEDY}"
        await unchanged(rig)
        await attempt(alice, "SetMessage", interactive=True)
        assert polkit.asked == [(ALICE, MANAGE, False), (ALICE, MANAGE, True)]
        assert (rig.table.rule(5).message, rig.service.refused) == ("x", 1)
        polkit.script = always(CHALLENGE)  # nobody there to ask
        text = await alice.refused(INTERACTIVE, attempt(alice, "RemoveMessage", interactive=True))
        assert text == f"{MANAGE} needs an authentication, which nobody could be asked for: {REMEDY}"


@pytest.mark.parametrize("name", ["Failed", "AccessDenied", "NoReply", "Spawn.ChildExited", "NameHasNoOwner"])
async def test_any_other_trouble_with_polkit_denies(
    bus: PrivateBus, directory: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(bus, directory) as rig:
        await rig.polkit(always(CallError(f"{DBUS_ERROR}{name}", "trouble\n/etc/polkit-1/secret")))
        alice = await rig.client(ALICE)
        for _ in range(3):
            text = await alice.refused(DENIED, attempt(alice, "SetMessage"))
            assert text == f"polkit cannot say who is authorised for {MANAGE}"
        await unchanged(rig)
        (line,) = [r.getMessage() for r in caplog.records if "polkit cannot say" in r.getMessage()][:1]
        assert "secret" in line
        assert "\n" not in line


async def test_a_polkit_that_hangs_up_denies(bus: PrivateBus, directory: Path) -> None:
    async with serving(bus, directory) as rig:

        async def script(_uid: int, _action: str, _interactive: bool) -> Verdict:
            polkit._client.bus.disconnect()
            return YES

        polkit = await rig.polkit(script)
        alice = await rig.client(ALICE)
        await alice.refused(DENIED, attempt(alice, "SetMessage"))
        await unchanged(rig)


async def test_polkit_may_come_and_go(bus: PrivateBus, directory: Path) -> None:
    async with serving(bus, directory) as rig:
        alice = await rig.client(ALICE)
        await alice.refused(DENIED, attempt(alice, "SetMessage"))
        polkit = await rig.polkit(always(YES))
        await attempt(alice, "SetMessage")
        await polkit._client.bus.release_name("org.freedesktop.PolicyKit1")
        await alice.refused(DENIED, attempt(alice, "RemoveMessage"))


async def test_the_file_is_named_only_to_whom_may_read(bus: PrivateBus, directory: Path) -> None:
    file = Path("/etc/execwatchd/execwatchd.toml")
    config = Config(Settings.of_file({"messages": {7: "seven"}}), {("messages", 7): file}, (file,))
    async with serving(bus, directory, config) as rig:
        alice = await rig.client(ALICE)

        async def only_manage(_uid: int, action: str, _interactive: bool) -> Verdict:
            return (action == MANAGE, True)

        polkit = await rig.polkit(only_manage)
        remove = f"{OWN_ERROR}NoSuchMessage"
        text = await alice.refused(remove, alice.call("RemoveMessage", "u", 7, interactive=True))
        assert text == "UID 7 has no message that was set over D-Bus"
        assert polkit.asked[-1] == (ALICE, READ, False)  # not worth a second dialogue
        polkit.script = always(YES)
        text = await alice.refused(remove, alice.call("RemoveMessage", "u", 7))
        assert text == f"UID 7 has no message that was set over D-Bus: its message comes from {file}"


async def test_bad_arguments_are_refused_before_polkit_is_asked(bus: PrivateBus, directory: Path) -> None:
    async with serving(bus, directory) as rig:
        polkit = await rig.polkit(always(YES))
        alice = await rig.client(ALICE)
        await alice.refused(f"{DBUS_ERROR}InvalidArgs", alice.call("SetMessage", "us", 2**32 - 1, "x"))
        await alice.refused(f"{OWN_ERROR}InvalidMessage", alice.call("SetMessage", "us", 5, "x" * 64))
        await alice.refused(f"{OWN_ERROR}InvalidAction", alice.set("DefaultAction", "x"))
        assert (polkit.asked, rig.service.refused) == ([], 0)


async def test_a_dialogue_holds_up_nobody_else(bus: PrivateBus, directory: Path) -> None:
    async with serving(bus, directory) as rig:
        decided = asyncio.Event()

        async def script(uid: int, _action: str, _interactive: bool) -> Verdict:
            if uid == ALICE:
                await decided.wait()
            return YES

        polkit = await rig.polkit(script)
        alice, bob, root = await rig.client(ALICE), await rig.client(BOB), await rig.client()
        count = MAX_QUESTIONS_PER_UID + 5
        calls = [alice.call("SetMessage", "us", uid, "alice", interactive=True) for uid in range(count)]
        waiting = asyncio.gather(*calls)
        await until(lambda: len(polkit.asked) == MAX_QUESTIONS_PER_UID)
        await bob.call("SetMessage", "us", 50, "bob")
        await root.call("SetMessage", "us", 51, "root")
        assert await alice.get("DefaultMessage") == "Hello World"
        assert list(rig.table.rules()) == [50, 51]
        assert len(polkit.asked) == MAX_QUESTIONS_PER_UID + 1
        decided.set()
        await waiting
        assert list(rig.table.rules()) == [*range(count), 50, 51]


async def test_too_many_calls_that_wait(bus: PrivateBus, directory: Path) -> None:
    async with serving(bus, directory) as rig:
        polkit = await rig.polkit(never)
        message = Message(NAME, PATH, INTERFACE, "SetMessage", signature="us", body=[5, "x"])
        message.flags = MessageFlag.NO_REPLY_EXPECTED
        alices = [await rig.client(ALICE) for _ in range(MAX_CALLS_PER_UID // MAX_CALLS_PER_CLIENT + 1)]
        *busy, last = alices
        for alice in busy:
            for _ in range(MAX_CALLS_PER_CLIENT):
                message.serial = 0
                await alice.bus.send(message)
            text = await alice.refused(LIMITS, attempt(alice, "SetMessage"))
            assert text == f"too many calls are waiting: {MAX_CALLS_PER_CLIENT} of a client may"
        await until(lambda: len(polkit.asked) == MAX_QUESTIONS_PER_UID)
        await rig.turns_taken()
        text = await last.refused(LIMITS, attempt(last, "SetMessage"))
        assert text == f"{MAX_CALLS_PER_UID} calls of UID {ALICE} are waiting already"
        root = await rig.client()
        await root.call("SetMessage", "us", 6, "root")
        assert await busy[0].get("Refused") == len(alices)
        assert list(rig.table.rules()) == [6]


async def test_a_caller_that_vanishes(
    bus: PrivateBus, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(bus, directory) as rig:
        asked, gone = asyncio.Event(), asyncio.Event()

        async def script(_uid: int, _action: str, _interactive: bool) -> Verdict:
            asked.set()
            await gone.wait()
            return YES

        await rig.polkit(script)
        alice = await rig.client(ALICE)
        call = asyncio.ensure_future(attempt(alice, "SetMessage"))
        await asked.wait()
        await alice.close()
        gone.set()
        with pytest.raises((OSError, EOFError)):
            await call
        await rig.settle()
        assert rig.table.rule(5).message == "x"  # it was authorised
        for _ in range(50):
            root = await rig.client()
            call = asyncio.ensure_future(attempt(root, "SetMessage"))
            await asyncio.sleep(0)
            await root.close()
            with pytest.raises((OSError, EOFError)):
                await call
        await rig.settle()
        assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []


async def test_a_caller_that_left_is_no_trouble_of_polkit(
    bus: PrivateBus, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(bus, directory) as rig:
        asked, gone = asyncio.Event(), asyncio.Event()
        trouble = CallError(f"{DBUS_ERROR}NameHasNoOwner", "Could not get UID of name ':1.7': no such name")

        async def script(_uid: int, _action: str, _interactive: bool) -> CallError:
            asked.set()
            await gone.wait()
            return trouble

        polkit = await rig.polkit(script)
        alice, root = await rig.client(ALICE), await rig.client()
        call = asyncio.ensure_future(attempt(alice, "SetMessage"))
        await asked.wait()
        await alice.close()
        has_owner = Message(*BUS, "NameHasOwner", signature="s", body=[alice.bus.unique_name])
        while await root.send(has_owner) != [False]:
            has_owner.serial = 0
        gone.set()
        with pytest.raises((OSError, EOFError)):
            await call
        await unchanged(rig)
        assert rig.service.refused == 0
        assert [r for r in caplog.records if "polkit cannot say" in r.getMessage()] == []
        polkit.script = always(trouble)  # of a caller that is there
        bob = await rig.client(BOB)
        await bob.refused(DENIED, attempt(bob, "SetMessage"))
        assert [r for r in caplog.records if "polkit cannot say" in r.getMessage()]


async def test_refusals_are_summed_up(
    bus: PrivateBus, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(bus, directory) as rig:
        alice, bob = await rig.client(ALICE), await rig.client(BOB)
        for _ in range(40):
            await alice.refused(DENIED, attempt(alice, "SetMessage"))
        for _ in range(9):
            await bob.refused(DENIED, attempt(bob, "ListMessages"))
        assert rig.service.refused == 49
    first, rest = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert first.startswith(f"Refused a call: SetMessage by UID {ALICE} (PID ")
    assert rest == f"Refused 48 more calls: 39 by UID {ALICE}, 9 by UID {BOB}"


async def test_a_single_refusal_is_summed_up(
    bus: PrivateBus, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(bus, directory) as rig:
        alice = await rig.client(ALICE)
        for _ in range(2):
            await alice.refused(DENIED, attempt(alice, "SetMessage"))
    assert caplog.records[-1].getMessage() == f"Refused 1 more call: 1 by UID {ALICE}"

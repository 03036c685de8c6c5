# SPDX-License-Identifier: GPL-2.0-or-later
"""Taking the name, losing the bus and coming back."""

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from dbus_next.constants import RequestNameReply
from dbus_next.errors import DBusError

from execwatchd.bus import connection
from execwatchd.bus import service as control_bus
from execwatchd.bus.connection import Connection, Disconnected
from execwatchd.bus.routes import NAME, SIGNATURES
from execwatchd.bus.service import BusService
from execwatchd.policy.in_effect import InEffect
from execwatchd.policy.state import StateStore
from execwatchd.policy.table import RuleTable
from execwatchd.shared.errors import Failure
from execwatchd.shared.rules import MESSAGE, Rule
from tests.bus.harness import ALICE, POLICY, PrivateBus, serving, until
from tests.fakes.control import FakeMap, FakeStatus, state_store
from tests.fakes.rules import rule


def service(address: str) -> BusService:
    return BusService(RuleTable(FakeMap(), StateStore(None)), FakeStatus(), InEffect(), address=address)


@contextlib.asynccontextmanager
async def running(of: BusService) -> AsyncIterator[None]:
    task = asyncio.create_task(of.run())
    try:
        yield
    finally:
        assert not task.done()
        task.cancel()
        await asyncio.wait([task])
        await of.stop()


@pytest.fixture
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_bus, "_FIRST_DELAY", 0.01)


async def test_a_name_that_is_taken(bus: PrivateBus, directory: Path) -> None:
    async with serving(bus, directory) as rig:
        second = service(bus.address)
        with pytest.raises(Failure, match=r"^another process owns org\.execwatch1 on the bus"):
            await second.start()
        assert not second.connected
        await second.stop()
        root = await rig.client()
        await rig.service.stop()
        # The second did not queue: the name is free at once.
        assert await root.bus.request_name(NAME) is RequestNameReply.PRIMARY_OWNER


async def test_nobody_else_can_take_the_name(bus: PrivateBus, directory: Path) -> None:
    async with serving(bus, directory) as rig:
        root, alice = await rig.client(), await rig.client(ALICE)
        assert await root.bus.request_name(NAME, 2 | 4) is RequestNameReply.EXISTS  # type: ignore[arg-type]
        with pytest.raises(DBusError, match="not allowed to own"):
            await alice.bus.request_name(NAME)
        assert await alice.get("MaxMessageLength") == 63


async def test_the_units_user_may_own_the_name(directory: Path) -> None:
    policy = directory / "policy.conf"
    policy.write_text(POLICY.read_text().replace('user="execwatchd"', 'user="daemon"'))
    bus = PrivateBus(directory, policy)
    bus.start()
    try:
        async with serving(bus, directory) as rig:
            alice = await rig.client(ALICE)
            await rig.service.stop()
            assert await alice.bus.request_name(NAME) is RequestNameReply.PRIMARY_OWNER
    finally:
        bus.stop()


async def attempts(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Returns when the service has tried so often to get on the bus."""
    opened = []
    really = Connection.open

    async def open_counted(address: str, signatures: frozenset[str]) -> Connection:
        opened.append(address)
        return await really(address, signatures)

    monkeypatch.setattr(Connection, "open", open_counted)
    await until(lambda: len(opened) > count)


@pytest.mark.usefixtures("no_delay")
async def test_a_bus_whose_policy_is_not_ours(
    directory: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = directory / "policy.conf"
    policy.write_text("<busconfig/>")
    bus = PrivateBus(directory, policy)
    bus.start()
    try:
        without_name = service(bus.address)
        assert not await without_name.start()
        text = (
            "the bus does not give us the name org.execwatch1: its policy forbids it; is org.execwatch1.conf"
        )
        assert text in caplog.text
        async with running(without_name):
            await attempts(monkeypatch, 5)
        lines = [r.getMessage() for r in caplog.records if text in r.getMessage()]
        assert [line.partition(":")[0] for line in lines] == [
            "Not on D-Bus, messages cannot be changed at run time",
            "Still not on D-Bus",
        ]
    finally:
        bus.stop()


@pytest.mark.parametrize(
    "address", ["unix:path=/nonexistent/bus", "tcp:host=localhost", "nonsense", "unix:x=y"]
)
async def test_no_bus(address: str, caplog: pytest.LogCaptureFixture) -> None:
    alone = service(address)
    assert not await alone.start()
    assert not alone.connected
    alone.events_lost(5)
    alone.rule_changed(5)
    alone.default_changed(MESSAGE, "x")
    await alone.stop()
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("Not on D-Bus, messages cannot be changed at run time: ")


@pytest.mark.usefixtures("no_delay")
async def test_the_bus_may_go_and_come_back(
    bus: PrivateBus, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(bus, directory) as rig, running(rig.service):
        root = await rig.client()
        await root.call("SetMessage", "us", 5, "kept")
        for _ in range(3):
            bus.stop()
            await until(lambda: not rig.service.connected)
            rig.service.events_lost(1)
            await rig.table.set_value(6, MESSAGE, "meanwhile")
            bus.start()
            await until(lambda: rig.service.connected)
            again = await rig.client()
            assert await again.call("GetMessage", "u", 5) == "kept"
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []


@pytest.mark.usefixtures("no_delay")
async def test_a_bus_that_goes_during_a_save(
    bus: PrivateBus, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saving, saved = threading.Event(), threading.Event()

    def slow(fd: int) -> None:
        saving.set()
        saved.wait()

    async with serving(bus, directory) as rig, running(rig.service):
        root = await rig.client()
        monkeypatch.setattr(os, "fsync", slow)
        call = asyncio.ensure_future(root.call("SetMessage", "us", 5, "x"))
        await until(saving.is_set)
        bus.stop()
        await until(lambda: not rig.service.connected)
        saved.set()
        bus.start()
        await until(lambda: rig.service.connected)
        with pytest.raises((OSError, EOFError)):
            await call
        assert state_store(rig.state).state.rules == {5: Rule("x")}
        assert rig.kernel.content == {5: rule("x")}


@pytest.mark.usefixtures("no_delay")
async def test_a_bus_that_comes_late(directory: Path) -> None:
    bus = PrivateBus(directory)
    late = service(bus.address)
    assert not await late.start()
    async with running(late):
        await asyncio.sleep(0.05)
        bus.start()
        try:
            await until(lambda: late.connected)
        finally:
            bus.stop()
        await until(lambda: not late.connected)


@pytest.mark.usefixtures("no_delay")
async def test_a_name_taken_while_we_were_away(bus: PrivateBus, directory: Path) -> None:
    async with serving(bus, directory) as rig:
        away = service("unix:path=/nonexistent/bus")
        assert not await away.start()
        away._address = bus.address
        async with running(away):
            await asyncio.sleep(0.1)
            assert not away.connected
            await rig.service._disconnect()
            await until(lambda: away.connected)


@pytest.mark.usefixtures("no_delay")
async def test_an_error_while_coming_back_is_not_the_last_attempt(
    bus: PrivateBus, directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(bus, directory) as rig, running(rig.service):
        really, failures = Connection.open, [RuntimeError("a"), RuntimeError("a"), MemoryError("b")]

        async def open_sometimes(address: str, signatures: frozenset[str]) -> Connection:
            if failures:
                raise failures.pop(0)
            return await really(address, signatures)

        monkeypatch.setattr(Connection, "open", open_sometimes)
        bus.stop()
        await until(lambda: not rig.service.connected)
        bus.start()
        await until(lambda: rig.service.connected)
        root = await rig.client()
        assert await root.call("GetMessage", "u", 5) == "Hello World"
    logged = [repr(r.exc_info[1]) for r in caplog.records if r.exc_info]
    assert logged == ["RuntimeError('a')", "MemoryError('b')"]
    assert failures == []


@contextlib.asynccontextmanager
async def strange_bus(directory: Path, *answers: bytes) -> AsyncIterator[str]:
    """A socket that answers each line or message with the next of `answers`, then hangs up."""
    path = directory / "strange"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.read(4096)
            writer.write(answer)
        writer.close()

    async with await asyncio.start_unix_server(serve, path):
        yield f"unix:path={path}"


@pytest.mark.parametrize(
    "answers",
    [
        (),
        (b"DATA\r\n",),
        (b"REJECTED EXTERNAL\r\n",),
        (b"DATA\r\nREJECTED EXTERNAL\r\n",),
        (b"DATA\r\nOK 1234\r\n",),
        (b"DATA\r\nOK 1234\r\n", b""),
        (b"x" * 200_000,),
        (b"\xff\r\n",),
        (b"DATA\r\nOK 1234\r\n", b"l" + bytes(200)),
    ],
)
async def test_a_bus_that_hangs_up_or_talks_nonsense(directory: Path, answers: tuple[bytes, ...]) -> None:
    async with strange_bus(directory, *answers) as address:
        with pytest.raises(Disconnected):
            await Connection.open(address, SIGNATURES)


async def test_a_bus_that_says_nothing(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "TIMEOUT", 0.05)
    listening = directory / "silent"
    ended = asyncio.Event()

    async def wait(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    async with await asyncio.start_unix_server(wait, listening):
        with pytest.raises(Disconnected):
            await Connection.open(f"unix:path={listening}", SIGNATURES)
        ended.set()


async def test_stopping_ends_calls_that_wait(bus: PrivateBus, directory: Path) -> None:
    async with serving(bus, directory) as rig:
        asked = asyncio.Event()

        async def script(_uid: int, _action: str, _interactive: bool) -> tuple[bool, bool]:
            asked.set()
            await asyncio.Event().wait()
            raise AssertionError

        await rig.polkit(script)
        alice = await rig.client(ALICE)
        call = asyncio.ensure_future(alice.call("SetMessage", "us", 5, "x", interactive=True))
        await asked.wait()
        await rig.service.stop()
        with pytest.raises(Exception, match=r"NoReply"):
            await call
        assert rig.table.rules() == {}

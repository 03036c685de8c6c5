# SPDX-License-Identifier: GPL-2.0-or-later
"""The order of the answers while many connections of one user send more than can be served."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from dbus_next.constants import MessageType
from dbus_next.message import Message

from execwatchd.bus.manager import PROPERTIES
from execwatchd.bus.routes import INTERFACE, NAME, PATH, PROPERTIES_INTERFACE
from tests.bus.harness import ALICE, BOB, Client, PrivateBroker, PrivateBus, Service, callers, until

FLOODERS, CALLS_EACH = 60, 20
BUSES = {"dbus-daemon": PrivateBus, "dbus-broker": PrivateBroker}


@pytest.fixture(params=BUSES)
def bus(request: pytest.FixtureRequest, directory: Path) -> Iterator[PrivateBus]:
    private = BUSES[request.param](directory)
    private.start()
    yield private
    private.stop()


class Monitor:
    """Sees all that goes over the bus, in its order."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.calls: Counter[str] = Counter()  # of the service, by their senders
        self.answered: list[str] = []  # whom the service answered

    async def start(self) -> None:
        self._client.bus.add_message_handler(self._see)
        where = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus.Monitoring")
        await self._client.send(Message(*where, "BecomeMonitor", signature="asu", body=[[], 0]))

    def _see(self, message: Message) -> bool:
        if message.message_type is MessageType.METHOD_CALL and message.destination == NAME:
            self.calls[message.sender] += 1
        elif message.message_type is MessageType.METHOD_RETURN and message.sender == self.service:
            self.answered.append(message.destination)
        return message.message_type is MessageType.METHOD_CALL  # else it would be answered as unknown

    service = ""


@contextlib.asynccontextmanager
async def flooded(bus: PrivateBus, service: Service, others: list[Client]) -> AsyncIterator[Monitor]:
    """The service stands still, and all calls of the flooders wait for it; at the end all are answered."""
    async with callers(bus.address, 0, *[ALICE] * FLOODERS) as (root, *flooders):
        monitor = Monitor(root)
        where = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
        owner = Message(*where, "GetNameOwner", signature="s", body=[NAME])
        (monitor.service,) = await root.send(owner)
        await monitor.start()
        service.pause()
        everything = [asyncio.ensure_future(get_all(c)) for c in flooders for _ in range(CALLS_EACH)]
        await until(lambda: monitor.calls.total() == FLOODERS * CALLS_EACH)
        yield monitor
        assert all(values.keys() == PROPERTIES.keys() for values in await asyncio.gather(*everything))
        await until(lambda: len(monitor.answered) == FLOODERS * CALLS_EACH + len(others))
        answers = Counter(monitor.answered)
        assert all(answers[client.bus.unique_name or ""] == CALLS_EACH for client in flooders)
        assert all(answers[client.bus.unique_name or ""] == 1 for client in others)


async def get_all(client: Client) -> dict[str, object]:
    (values,) = await client.send(
        Message(NAME, PATH, PROPERTIES_INTERFACE, "GetAll", signature="s", body=[INTERFACE])
    )
    return values  # type: ignore[no-any-return]


def before(monitor: Monitor, client: Client) -> Counter[str]:
    """How many answers each of the others got before this one."""
    name = client.bus.unique_name
    assert name
    return Counter(monitor.answered[: monitor.answered.index(name)])


CALLS: dict[str, Callable[[Client], Coroutine[Any, Any, object]]] = {
    "GetAll": get_all,
    "Get": lambda client: client.get("Version"),
    "GetMessage": lambda client: client.call("GetMessage", "u", client.uid),
}


@pytest.mark.parametrize("member", CALLS)
async def test_others_wait_for_one_call_of_each_flooder(
    bus: PrivateBus, service: Service, member: str
) -> None:
    async with callers(bus.address, 0, BOB) as others:
        for client in others:
            await client.call("GetMessage", "u", client.uid)  # the bus has said who they are
        async with flooded(bus, service, others) as monitor:
            calls = [asyncio.ensure_future(CALLS[member](client)) for client in others]
            await until(lambda: monitor.calls.total() == FLOODERS * CALLS_EACH + len(others))
            service.resume()
            await asyncio.gather(*calls)
        for client in others:
            assert max(before(monitor, client).values()) <= 1


async def test_a_change_by_root_waits_for_few(bus: PrivateBus, service: Service) -> None:
    """It has to be saved, and while the disk works others are served; most of the flood comes after it."""
    async with callers(bus.address, 0) as others:
        (root,) = others
        async with flooded(bus, service, others) as monitor:
            change = asyncio.ensure_future(root.call("SetAction", "us", 5, "ignore"))
            await until(lambda: monitor.calls.total() == FLOODERS * CALLS_EACH + 1)
            service.resume()
            await change
        assert before(monitor, root).total() < FLOODERS * CALLS_EACH / 2

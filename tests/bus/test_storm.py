# SPDX-License-Identifier: GPL-2.0-or-later
"""Ten thousand calls of every kind, a thousand clients: the right answer to each, and nothing left of it."""

import asyncio
from collections import Counter

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from execwatchd.bus.routes import INTERFACE, PATH
from tests.bus.calls import CALLS, DENIED, OK, Made, expected
from tests.bus.harness import (
    ALICE,
    BOB,
    CAPACITY,
    OWN_ERROR,
    CallError,
    Client,
    PrivateBus,
    Service,
    callers,
)
from tests.fakes.control import state_store

BATCHES, CALLS_EACH = 200, 50
CLIENTS = 1000
LEAKS = ("Traceback", 'File "', "execwatchd-test-", "site-packages", "/execwatchd/", ".py")


async def outcome(client: Client, made: Made) -> str:
    """The error's name, or OK; its text must say nothing about the daemon's inside."""
    try:
        await client.send(made.message())
    except CallError as error:
        name, text = error.name, error.text
    else:
        return OK
    assert not [leak for leak in LEAKS if leak in text], text
    assert len(text) < 2000
    return name


async def rows(root: Client) -> dict[int, list[str]]:
    return {uid: rest for uid, *rest in await root.call("ListMessages")}


def touched(made: Made) -> int | None:
    """The UID that a call of the Manager would change, had it the right."""
    changes = made.interface == INTERFACE and made.path == PATH and made.signature[:1] == "u"
    return made.body[0] if changes and made.member != "GetMessage" else None


class Storm:
    """Three callers and what was in effect before."""

    def __init__(self, callers: dict[int, Client]) -> None:
        self._callers = callers
        self.root = callers[0]
        self.done: Counter[str] = Counter()

    async def batch(self, calls: list[tuple[int, Made]]) -> None:
        """All at once; each gets what it must, and only root's successes may have changed anything."""
        before = await self._in_effect()
        results = await asyncio.gather(*(outcome(self._callers[uid], made) for uid, made in calls))
        for (uid, made), result in zip(calls, results, strict=True):
            assert result in expected(made, uid), (uid, made, result)
        self.done.update(results)
        accepted = [made for (_, made), result in zip(calls, results, strict=True) if result == OK]
        if not any(made.member == "Set" for made in accepted):
            after = await self._in_effect()
            changed = {uid for uid in before.keys() | after if before.get(uid) != after.get(uid)}
            assert changed <= {touched(made) for made in accepted}

    async def _in_effect(self) -> dict[int, list[str]]:
        defaults = [await self.root.get("DefaultMessage"), await self.root.get("DefaultAction")]
        limits = dict(await self.root.call("ListLimits"))
        listed = {uid: [*row, limits.pop(uid, "default")] for uid, row in (await rows(self.root)).items()}
        assert limits == {}
        return {**listed, -1: defaults}


def test_ten_thousand_calls(bus: PrivateBus, service: Service) -> None:
    with asyncio.Runner() as runner:
        clients = callers(bus.address, 0, ALICE, BOB)
        storm = Storm({client.uid: client for client in runner.run(clients.__aenter__())})
        memory: list[int] = []
        calls = st.tuples(st.sampled_from([0, ALICE, BOB]), CALLS)

        @seed(5)
        @settings(
            max_examples=BATCHES,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(st.lists(calls, min_size=CALLS_EACH, max_size=CALLS_EACH))
        def run(batch: list[tuple[int, Made]]) -> None:
            runner.run(storm.batch(batch))
            if storm.done.total() % 2500 == 0:
                memory.append(service.report()["memory"])

        try:
            run()
            in_effect = runner.run(rows(storm.root))
            refused = runner.run(storm.root.get("Refused"))
        finally:
            runner.run(clients.__aexit__(None, None, None))
    assert storm.done.total() >= BATCHES * CALLS_EACH
    assert {OK, DENIED, f"{OWN_ERROR}InvalidMessage", f"{OWN_ERROR}InvalidAction"} <= storm.done.keys()
    assert 0 < refused <= storm.done[DENIED]
    report = service.report()
    assert report["rules"] == {str(uid): row[:2] for uid, row in in_effect.items()}
    assert report["tasks"] == IDLE_TASKS
    assert memory[-1] - memory[0] < 1024, memory
    loaded = state_store(service.state).state
    assert loaded.rules.keys() == in_effect.keys()
    loud = [line for line in service.log().splitlines() if not line.startswith("INFO ")]
    assert len(loud) <= 5, loud


# The main one and the connection's reader.
IDLE_TASKS = 2


async def test_a_thousand_clients_at_once(bus: PrivateBus, service: Service) -> None:
    uids = ((0, ALICE, BOB)[number % 3] for number in range(CLIENTS))
    async with callers(bus.address, *uids) as clients:
        await everybody_visits(clients)
    assert service.report()["tasks"] == IDLE_TASKS


async def everybody_visits(clients: list[Client]) -> None:

    async def visit(number: int, client: Client) -> tuple[object, ...]:
        message = await client.call("GetMessage", "u", client.uid)
        uid = number % CAPACITY
        change = await outcome(client, Made(PATH, INTERFACE, "SetMessage", "us", [uid, f"by {client.uid}"]))
        return message, change, await client.get("MaxMessageLength")

    seen = await asyncio.gather(*(visit(n, c) for n, c in enumerate(clients)))
    for client, (_, change, limit) in zip(clients, seen, strict=True):
        assert (change, limit) == (DENIED if client.uid else OK, 63)
    # Two of every three clients are no root, and each made one change.
    assert await clients[0].get("Refused") == sum(1 for c in clients if c.uid)
    assert await rows(clients[0]) == {uid: ["by 0", "record", "state"] for uid in range(CAPACITY)}


async def test_thousands_of_calls_that_nobody_waits_for(bus: PrivateBus, service: Service) -> None:
    """The bus does not limit them; all are refused, and root's call among them is not."""
    async with callers(bus.address, ALICE, 0) as (alice, root):
        await flood(alice, root)
    assert service.report()["tasks"] == IDLE_TASKS


async def flood(alice: Client, root: Client) -> None:
    message = Made(PATH, INTERFACE, "SetMessage", "us", [1, "x"]).message()
    message.flags |= 1
    for _ in range(5000):
        message.serial = 0
        await alice.bus.send(message)
    await root.call("SetMessage", "us", 2, "root")
    assert await alice.get("MaxMessageLength") == 63  # answered after all that came before it
    assert set(await rows(root)) == {2}
    while await root.get("Refused") < 5000:  # noqa: ASYNC110  another process's
        await asyncio.sleep(0.01)

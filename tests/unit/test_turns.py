# SPDX-License-Identifier: GPL-2.0-or-later
import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine

import pytest

from execwatchd.bus import turns
from execwatchd.bus.turns import Turns, Waiting
from execwatchd.bus.wire import Call


def call(client: str, number: int) -> Call:
    return Call(client, number, "", None, "", "", 0, None, interactive=False, wants_reply=True)


class Rig:
    """Turns whose servings are noted, as `client number`."""

    def __init__(self) -> None:
        self.turns = Turns()
        self.served: list[str] = []

    def add(self, client: str, *numbers: int, uid: int | None = None) -> list[str]:
        """Queues calls; returns those that had no room."""
        added = [self.turns.add(self._waiting(client, number), uid) for number in numbers]
        return [f"{waiting.call.sender} {waiting.call.serial}" for waiting in added if waiting]

    def _waiting(self, client: str, number: int) -> Waiting:
        return Waiting(call(client, number), True, lambda: self.served.append(f"{client} {number}"))

    async def all_served(self) -> list[str]:
        while len(self.turns):  # noqa: ASYNC110  the passes of the loop serve
            await asyncio.sleep(0)
        return self.served


def run(test: Callable[[Rig], Coroutine[None, None, None]]) -> None:
    async def main() -> None:
        await test(Rig())

    asyncio.run(main())


def test_a_connections_calls_stay_in_order() -> None:
    async def test(rig: Rig) -> None:
        rig.add("a", 1, 2, 3)
        assert await rig.all_served() == ["a 1", "a 2", "a 3"]
        assert not rig.turns.crowded

    run(test)


def test_connections_take_turns() -> None:
    async def test(rig: Rig) -> None:
        rig.add("a", 1, 2, 3)
        rig.add("b", 1, 2)
        rig.add("c", 1)
        assert rig.turns.crowded
        assert await rig.all_served() == ["a 1", "b 1", "c 1", "a 2", "b 2", "a 3"]

    run(test)


def test_a_uid_has_one_share_however_many_connections_it_has() -> None:
    async def test(rig: Rig) -> None:
        for client in "abc":
            rig.add(client, 1, 2, uid=1)
        rig.add("r", 1, 2, 3, 4, uid=0)
        assert await rig.all_served() == [
            "a 1",
            "r 1",
            "b 1",
            "r 2",
            "c 1",
            "r 3",
            "a 2",
            "r 4",
            "b 2",
            "c 2",
        ]

    run(test)


def test_a_uid_that_becomes_known() -> None:
    async def test(rig: Rig) -> None:
        for client in "abcr":
            rig.add(client, 1, 2)
        for client in "abc":
            rig.turns.assign(client, 1)
            rig.turns.assign(client, 1)
        rig.turns.assign("nobody", 1)
        assert await rig.all_served() == ["r 1", "a 1", "r 2", "b 1", "c 1", "a 2", "b 2", "c 2"]

    run(test)


def test_what_arrives_is_taken_in_before_anything_is_served() -> None:
    async def test(rig: Rig) -> None:
        for number in range(100):
            rig.add("a", number)
            await asyncio.sleep(0)
        assert rig.served == []
        rig.add("b", 0)
        await rig.all_served()
        assert rig.served[:3] == ["a 0", "b 0", "a 1"]
        assert len(rig.served) == 101

    run(test)


def test_who_sends_without_end_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "MAX_WAITING", 10)

    async def test(rig: Rig) -> None:
        rig.add("b", 0)
        dropped: list[str] = []
        for number in range(100):
            dropped += rig.add("a", number)
            await asyncio.sleep(0)
        assert "b 0" in rig.served[:2]
        assert all(each.startswith("a ") for each in dropped)
        await rig.all_served()
        assert len(rig.served) + len(dropped) == 101

    run(test)


def test_the_fullest_share_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "MAX_WAITING", 6)

    async def test(rig: Rig) -> None:
        assert rig.add("a", 1, 2, 3, uid=1) == rig.add("b", 1, uid=1) == rig.add("c", 1, 2) == []
        assert rig.add("r", 1, 2, 3, uid=0) == ["a 3", "a 2", "r 3"]
        assert rig.add("d", 1, uid=1) == ["a 1"]
        assert len(rig.turns) == 6
        assert Counter(await rig.all_served()) == Counter(["b 1", "c 1", "c 2", "r 1", "r 2", "d 1"])

    run(test)


def test_nothing_is_served_after_the_end() -> None:
    async def test(rig: Rig) -> None:
        rig.add("a", 1, 2, 3)
        rig.turns.clear()
        for _ in range(9):
            await asyncio.sleep(0)
        assert (rig.served, len(rig.turns)) == ([], 0)
        rig.add("b", 1)
        assert await rig.all_served() == ["b 1"]

    run(test)

# SPDX-License-Identifier: GPL-2.0-or-later
"""The service as a process of its own, over a fake kernel: `service.py ADDRESS STATE CAPACITY`.

Its log goes to standard error. On SIGUSR1 it prints one line of JSON with its memory in KiB and what the
kernel's map holds; on SIGTERM it ends.
"""

import asyncio
import gc
import json
import logging
import signal
import sys
from pathlib import Path

from execwatchd.bus.service import BusService
from execwatchd.policy.configuration import Config
from execwatchd.policy.in_effect import InEffect
from execwatchd.policy.table import RuleTable
from tests.fakes.control import FakeMap, FakeStatus, state_store


def memory() -> int:
    gc.collect()
    (line,) = [x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("RssAnon:")]
    return int(line.split()[1])


def report(kernel: FakeMap) -> None:
    rules = {str(uid): [rule.message, str(rule.action)] for uid, rule in kernel.content.items()}
    kernel.writes.clear()
    print(json.dumps({"memory": memory(), "rules": rules, "tasks": len(asyncio.all_tasks())}), flush=True)


async def main(address: str, state: str, capacity: str) -> None:
    kernel = FakeMap(int(capacity))
    table = RuleTable(kernel, state_store(Path(state)))
    table.apply_settings(Config())
    service = BusService(table, FakeStatus(), InEffect(), address=address)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    loop.add_signal_handler(signal.SIGUSR1, report, kernel)
    assert await service.start()
    print("ready", flush=True)
    await ended.wait()
    await service.stop()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    asyncio.run(main(*sys.argv[1:]))

# SPDX-License-Identifier: GPL-2.0-or-later
"""Execs that can be told apart, and what of them arrived.

A box shares the host's kernel, so its daemon sees the host's execs too. The tests that count exactly let it
record one UID only, and run the storm as that UID.
"""

import json
import os
import subprocess
from collections import Counter
from pathlib import Path

from tests.system.harness import Box, wait_until

UID = 40000 + os.getpid() % 20000  # two test runs on one kernel must not see each other's


def only(uid: int) -> str:
    """Prepares a box that records this user's execs and no other's."""
    return f"""\
mkdir -p $R/etc/execwatchd/execwatchd.toml.d
cat >$R/etc/execwatchd/execwatchd.toml.d/storm.toml <<T
default_action = "ignore"
actions = {{ {uid} = "record" }}
T
"""


ONLY_STORM = only(UID)
_COUNTERS = ("Seen", "Forwarded", "Ignored", "Lost", "RingFill")


class Storm:
    """Runs the program `storm` on the host, in the background or to its end; it is one exec more itself."""

    def __init__(self, program: Path) -> None:
        self._program = program

    def start(self, tag: str, count: int, pause_us: int = 0, uid: int = UID) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [self._program, str(count), str(pause_us), tag], user=uid, group=uid, extra_groups=[]
        )

    def run(self, tag: str, count: int, uid: int = UID) -> None:
        assert self.start(tag, count, uid=uid).wait() == 0


def build(layers: Path) -> Storm:
    """Compiles it into a directory of its own there, which any user may enter."""
    directory = layers / "storm"
    directory.mkdir()
    program = directory / "storm"
    source = Path(__file__).with_suffix(".c")
    subprocess.run(["gcc", "-Wall", "-Werror", "-O1", "-static", "-o", program, source], check=True)
    for place in (layers, directory):
        place.chmod(0o755)
    return Storm(program)


def counters(box: Box) -> dict[str, int]:
    """The manager's counters, by the names of its properties."""
    name = "org.execwatch1"
    # all at once: what the host executes between two calls would spoil their sum
    where = (name, "/org/execwatch1", "org.freedesktop.DBus.Properties", "GetAll")
    shown = json.loads(box.busctl("-j", "call", *where, "s", f"{name}.Manager").stdout)
    return {counter: int(shown["data"][0][counter]["data"]) for counter in _COUNTERS}


def at_rest(box: Box) -> dict[str, int]:
    """The counters once nothing waits, and then the contract's equation holds."""

    def settled() -> dict[str, int] | None:
        now = counters(box)
        return now if now["Seen"] == now["Forwarded"] + now["Ignored"] + now["Lost"] else None

    return wait_until(settled, "Seen = Forwarded + Ignored + Lost", 60)


def arrived(box: Box, tag: str, *matches: str) -> Counter[int]:
    """How often each of the storm's execs is in the journal, by its number."""
    found: Counter[int] = Counter()
    for entry in box.journal(*(matches or ("-u", "execwatchd")), "--output-fields=EXECWATCH_ARGV"):
        words = json.loads(entry.get("EXECWATCH_ARGV", "[]"))
        serial = "".join(words[1:2])
        if serial.startswith(f"{tag}-"):
            found[int(serial.removeprefix(f"{tag}-"))] += 1
    return found


def losses(box: Box) -> list[int]:
    """The counts of all entries that tell of a loss."""
    entries = box.journal("-u", "execwatchd", "--output-fields=EXECWATCH_LOST")
    return [int(entry["EXECWATCH_LOST"]) for entry in entries if "EXECWATCH_LOST" in entry]

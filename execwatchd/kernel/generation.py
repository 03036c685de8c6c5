# SPDX-License-Identifier: GPL-2.0-or-later
"""One loaded program with all its descriptors, and what may be believed of descriptors that come back.

In the store each is called GENERATION.KIND.NAME, as `1.map.output`. A new layout or new options make a new
generation, which is attached before the old one goes.
"""

import errno
import logging
import math
import mmap
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from execwatchd.kernel import attach, layout, libbpf, loader
from execwatchd.kernel.buckets import Buckets
from execwatchd.kernel.counting import Counting
from execwatchd.kernel.descriptor_store import Store
from execwatchd.kernel.digest import digest
from execwatchd.kernel.ledger import Ledger, Page
from execwatchd.kernel.options import Options
from execwatchd.kernel.rules_map import RulesMap
from execwatchd.shared.counters import Counters
from execwatchd.shared.errors import Failure

log = logging.getLogger(__name__)

_GRACE = 0.5  # s
_MAP_KINDS = {
    "config": "hash",
    "defaults": "array",
    "counters": "percpu_array",
    "output": "ringbuf",
    "ledger": "array",
    "buckets": "hash",
    "more_buckets": "hash",
    "told": "hash",
}
RUNNING = (
    "shared.running"  # in the store: map `running` is that of every generation, and systemd keeps it once
)
_COUNTERS_AT_FIRST = 32  # bytes; later versions have more


class Generation:
    """A program with its maps, programs and attachments by name, and the books that it is kept by."""

    def __init__(self, number: int, fds: dict[str, int]) -> None:
        self.number = number
        self.goes_on = False  # with the running processes of the one before
        self._quiet_since = math.inf
        self._written = -1
        self.is_released: Callable[[], bool] = lambda: False  # after `detach`: the store let go of it as well
        self.fds = fds
        self.ledger = Ledger.of_map(fds["map.ledger"], libbpf.map_info(fds["map.ledger"]).value_size)
        self.rules = RulesMap(fds["map.config"], fds["map.defaults"])
        self.buckets = Buckets(fds["map.buckets"], fds["map.more_buckets"], fds["map.told"])
        self.ring_size = libbpf.map_info(fds["map.output"]).max_entries
        self._counting = Counting(fds)
        # consumer position and producer position are the first words of the ring's first two pages
        memory = mmap.mmap(fds["map.output"], 2 * mmap.PAGESIZE, prot=mmap.PROT_READ)
        self._positions = memoryview(memory).cast("L")  # unsigned long, the kernel's own

    @classmethod
    def load(
        cls, number: int, sources: Path, options: Options, page: Page, former: "Generation | None" = None
    ) -> "Generation":
        """Compile and load a new one, not attached yet; with the running processes of the one before.

        Raises Failure.
        """
        shared = former._shared(options) if former else {}
        fds, absent = loader.load(sources, options, shared)
        if absent:
            log.warning("this kernel can't give %s: left out of every entry", ", ".join(absent))
        try:
            check(fds)
        except (OSError, ValueError) as error:
            raise Failure(f"the loader handed over what is not ours: {error}", "report it") from None
        generation = cls(number, fds)
        generation.goes_on = bool(shared)
        generation.ledger.begin(digest(sources, options), page)
        generation.buckets.begin()
        return generation

    @property
    def attached(self) -> list[str]:
        """The tracepoints that it is attached to."""
        return [name for name in self._links if "." not in name]

    @property
    def _links(self) -> list[str]:
        """All attachments, in the order of attaching: in the store they have none."""
        names = {name.removeprefix("link.") for name in self.fds if name.startswith("link.")}
        known = [name for name in attach.tracepoints(failures=True, exits=True) if name in names]
        return known + sorted(names.difference(known))

    def is_attached(self) -> bool:
        """All of its programs are."""
        failures, exits = "prog.exit_execve" in self.fds, "prog.on_process_exit" in self.fds
        return self._links == attach.tracepoints(failures=failures, exits=exits)

    def attach(self, options: Options) -> None:
        """From here on every exec is seen. Raises Failure."""
        links = attach.attach(self.fds, failures=options.failures, exits=options.exits)
        self.fds.update({f"link.{name}": fd for name, fd in links.items()})

    def keep(self, store: Store) -> None:
        """Put every descriptor into the store, the attachments last: what is attached can be read."""
        for name, fd in self.fds.items():
            store.put(RUNNING if name == "map.running" else f"{self.number}.{name}", fd)

    def detach(self, store: Store) -> None:
        """Close the attachments, here and in the store; what sees ends goes last."""
        for name in reversed(self._links):
            store.remove(f"{self.number}.link.{name}")
            os.close(self.fds.pop(f"link.{name}"))
        self.is_released = store.barrier()

    def is_final(self) -> bool:
        """Released, and quiet for so long that no program of it can still be running, with a record to write:
        the kernel lets what runs on other CPUs finish (an RCU grace period, milliseconds), and a newer
        systemd lets another process close what it let go.
        """
        if not self.is_released():
            return False
        written = self.read_position() + self.ring_fill()
        if written != self._written:
            self._written, self._quiet_since = written, time.monotonic()
        return time.monotonic() - self._quiet_since > _GRACE

    def discard(self, store: Store) -> None:
        """Close everything, here and in the store; there, the map of running processes stays."""
        self.ledger.close()
        self._positions.release()
        for name, fd in self.fds.items():
            store.remove(f"{self.number}.{name}")
            os.close(fd)
        self.fds.clear()

    def open_ring(self, callback: libbpf.SampleCallback) -> libbpf.RingBuffer:
        """A reader of the ring, see libbpf.RingBuffer. Raises OSError."""
        return libbpf.RingBuffer(self.fds["map.output"], callback)

    def read_position(self) -> int:
        """How far the ring was read: bytes since it was made."""
        return self._positions[0]

    def ring_fill(self) -> int:
        """Bytes that wait in the ring."""
        return self._positions[mmap.PAGESIZE // self._positions.itemsize] - self._positions[0]

    def counters(self) -> Counters:
        """All that was counted since `ledger.page.since`, predecessors included."""
        page = self.ledger.page
        counted = self._counting.now()
        missed = self._counting.missed(counted.again, self.is_released)
        return Counters(
            seen=page.seen + counted.seen + missed,
            forwarded=page.forwarded,
            ignored=page.ignored + counted.ignored,
            lost=page.lost + counted.lost + missed + page.malformed,
            ring_fill=self.ring_fill() + page.held,
        )

    def held_back(self) -> int:
        """Execs that this program held back by a limit; they are among the ignored."""
        return self._counting.now().held_back

    def unended(self) -> int:
        """Processes of which the end could not be awaited; they are among the lost."""
        return self._counting.now().unended

    def missed(self) -> int:
        """Execs that the kernel skipped this program for; they are among the lost."""
        return self._counting.missed(self._counting.now().again, self.is_released)

    def check_access(self) -> None:
        """Raises Failure if the kernel wants a capability for what this process does all the time."""
        try:
            self._counting.now()
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EACCES):
                raise
            raise Failure(
                "this kernel lets only CAP_BPF read a map by its descriptor", "Linux 5.19 or newer is needed"
            ) from None

    def _shared(self, options: Options) -> dict[str, int]:
        """The maps that a successor with these options must go on with."""
        if not options.exits or "prog.on_process_exit" not in self.fds:
            return {}
        fd = self.fds.get("map.running")
        if fd is not None and libbpf.map_info(fd).value_size == layout.RUNNING.size:
            return {"running": fd}
        log.warning("the ends of processes that run now will not be recorded: their list is none that fits")
        return {}


def share(fds: dict[str, int], running: int | None) -> None:
    """Give a generation that came out of the store the map that all have, if it uses it."""
    if running is not None and "prog.on_process_exit" in fds:
        fds["map.running"] = os.dup(running)


def by_number(stored: Mapping[str, int]) -> tuple[dict[int, dict[str, int]], dict[str, int]]:
    """What came out of the store: generations by number, oldest first, and what is none of ours."""
    generations: dict[int, dict[str, int]] = {}
    strangers = {}
    for full_name, fd in stored.items():
        number, _, name = full_name.partition(".")
        if number.isdigit() and name.partition(".")[0] in ("map", "prog", "link"):
            generations.setdefault(int(number), {})[name] = fd
        else:
            strangers[full_name] = fd
    return dict(sorted(generations.items())), strangers


def check(fds: Mapping[str, int]) -> None:
    """Raises ValueError that says what is wrong with a generation that came out of the store."""
    missing = [name for name in _MAP_KINDS if f"map.{name}" not in fds]
    missing += [name for name in loader.RAW_TRACEPOINTS.values() if f"prog.{name}" not in fds]
    if missing:
        raise ValueError(f"{', '.join(missing)} missing")
    for name, kind in (_MAP_KINDS | {"running": "hash"}).items():
        if f"map.{name}" in fds:
            _check_map(name, kind, fds[f"map.{name}"])
    programs = set()
    for name, fd in fds.items():
        if name.startswith("prog."):
            info = libbpf.program_info(fd)
            programs.add(info.id)
            if info.name != name.removeprefix("prog."):
                raise ValueError(f"{name} is the program {info.name}")
    for name, fd in fds.items():
        if name.startswith("link.") and libbpf.link_program(fd) not in programs:
            raise ValueError(f"{name} runs a program that is not ours")


def _check_map(name: str, kind: str, fd: int) -> None:
    info = libbpf.map_info(fd)
    sizes = {
        "config": (4, layout.USER.size),
        "defaults": (4, layout.USER.size),
        "buckets": (4, layout.BUCKET.size),
        "more_buckets": (4, layout.BUCKET.size),
        "told": (4, layout.TOLD.size),
        "output": (0, 0),
    }.get(name, (4, info.value_size))
    if (info.name, info.kind, info.key_size, info.value_size) != (name, kind, *sizes):
        raise ValueError(f"map {name} is {info}")
    if name == "counters" and (info.value_size % 8 or info.value_size < _COUNTERS_AT_FIRST):
        raise ValueError(f"map {name} has {info.value_size} bytes")
    if name == "ledger" and info.value_size <= layout.LEDGER_SIZE:
        raise ValueError(f"map {name} has {info.value_size} bytes")

# SPDX-License-Identifier: GPL-2.0-or-later
"""A generation: a loaded program with its maps, programs and attachments, and the check of one that comes out
of the store.

In the store a descriptor is called GENERATION.KIND.NAME, as `1.map.output`. A new layout or new options make
a new generation, which is attached before the old one goes.
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

_GRACE = 0.5  # s without a new record, after which no program of a detached generation still runs
_MAP_KINDS = {
    "config": "hash",
    "defaults": "array",
    "counters": "percpu_array",
    "output": "ringbuf",
    "ledger": "array",
    "buckets": "hash",
    "subuid_buckets": "hash",
    "reports": "hash",
}
# Map `running` in the store. All generations have the same one, and systemd keeps a descriptor only once.
RUNNING = "shared.running"
_LEAST_COUNTERS = 32  # bytes that struct counters has in any version


class Generation:
    """The descriptors of a generation by name, as `map.output`, and its ledger."""

    def __init__(self, number: int, fds: dict[str, int]) -> None:
        self.number = number
        self.shares_running = False  # its map `running` is the one of the generation before
        self._quiet_since = math.inf
        self._written = -1
        self.is_released: Callable[[], bool] = lambda: False  # after `detach`: the store has closed it too
        self.fds = fds
        self.ledger = Ledger.of_map(fds["map.ledger"], libbpf.map_info(fds["map.ledger"]).value_size)
        self.rules = RulesMap(fds["map.config"], fds["map.defaults"])
        self.buckets = Buckets(fds["map.buckets"], fds["map.subuid_buckets"], fds["map.reports"])
        self.ring_size = libbpf.map_info(fds["map.output"]).max_entries
        self._counting = Counting(fds)
        # consumer position and producer position are the first words of the ring's first two pages
        memory = mmap.mmap(fds["map.output"], 2 * mmap.PAGESIZE, prot=mmap.PROT_READ)
        self._positions = memoryview(memory).cast("L")  # unsigned long, the kernel's own

    @classmethod
    def load(
        cls, number: int, sources: Path, options: Options, page: Page, former: "Generation | None" = None
    ) -> "Generation":
        """Compile and load a new generation, not attached yet, with the running processes of `former`.

        Raises Failure.
        """
        shared = former._shared(options) if former else {}
        fds, absent = loader.load(sources, options, shared)
        if absent:
            log.warning("this kernel can't give %s: left out of every entry", ", ".join(absent))
        try:
            check(fds)
        except (OSError, ValueError) as error:
            raise Failure(f"the loader handed over something else: {error}", "report it") from None
        generation = cls(number, fds)
        generation.shares_running = bool(shared)
        generation.ledger.initialise(digest(sources, options), page)
        generation.buckets.initialise()
        return generation

    @property
    def attached(self) -> list[str]:
        """The tracepoints that it is attached to."""
        return [name for name in self._links if "." not in name]

    @property
    def _links(self) -> list[str]:
        """All attachments in the order of attaching, which the store doesn't keep."""
        names = {name.removeprefix("link.") for name in self.fds if name.startswith("link.")}
        ordered = [name for name in attach.tracepoints(failures=True, exits=True) if name in names]
        return ordered + sorted(names.difference(ordered))

    def is_attached(self) -> bool:
        """Whether all of its programs are attached."""
        failures, exits = "prog.exit_execve" in self.fds, "prog.on_exit" in self.fds
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
        """Close the attachments, here and in the store; those that see exits last."""
        for name in reversed(self._links):
            store.remove(f"{self.number}.link.{name}")
            os.close(self.fds.pop(f"link.{name}"))
        self.is_released = store.barrier()

    def is_final(self) -> bool:
        """Whether no record can come any more: it is released, and was quiet for so long that none of its
        programs still runs. The kernel lets a program that runs on another CPU finish (an RCU grace period,
        milliseconds), and newer versions of systemd let another process close what they removed.
        """
        if not self.is_released():
            return False
        written = self.read_position() + self.ring_fill()
        if written != self._written:
            self._written, self._quiet_since = written, time.monotonic()
        return time.monotonic() - self._quiet_since > _GRACE

    def discard(self, store: Store) -> None:
        """Close everything, here and in the store, where the map of running processes stays."""
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
        """What was counted since `ledger.page.since`, by settled predecessors too."""
        page = self.ledger.page
        counted = self._counting.now()
        missed = self._counting.missed(counted.retried, self.is_released)
        return Counters(
            seen=page.seen + counted.seen + missed,
            forwarded=page.forwarded,
            ignored=page.ignored + counted.ignored,
            lost=page.lost + counted.lost + missed + page.malformed,
            ring_fill=self.ring_fill() + page.held,
        )

    def suppressed(self) -> int:
        """Execs that a rate limit held back; they are among the ignored."""
        return self._counting.now().suppressed

    def unended(self) -> int:
        """Processes whose end could not be recorded; they are among the lost."""
        return self._counting.now().unended

    def missed(self) -> int:
        """Execs that the kernel ran neither program for; they are among the lost."""
        return self._counting.missed(self._counting.now().retried, self.is_released)

    def check_access(self) -> None:
        """Raises Failure if the kernel wants a capability for reading the counters."""
        try:
            self._counting.now()
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EACCES):
                raise
            raise Failure(
                "this kernel lets only CAP_BPF read a map by its descriptor", "Linux 5.19 or newer is needed"
            ) from None

    def _shared(self, options: Options) -> dict[str, int]:
        """The maps by name that a successor with these options must use."""
        if not options.exits or "prog.on_exit" not in self.fds:
            return {}
        fd = self.fds.get("map.running")
        if fd is not None and libbpf.map_info(fd).value_size == layout.RUNNING.size:
            return {"running": fd}
        log.warning("the ends of processes that run now will not be recorded: their list is none that fits")
        return {}


def share(fds: dict[str, int], running: int | None) -> None:
    """Give a generation that came out of the store the map `running` that all share, if it uses it."""
    if running is not None and "prog.on_exit" in fds:
        fds["map.running"] = os.dup(running)


def by_number(stored: Mapping[str, int]) -> tuple[dict[int, dict[str, int]], dict[str, int]]:
    """What came out of the store: generations by number, oldest first, and all other descriptors by name."""
    generations: dict[int, dict[str, int]] = {}
    others = {}
    for full_name, fd in stored.items():
        number, _, name = full_name.partition(".")
        if number.isdigit() and name.partition(".")[0] in ("map", "prog", "link"):
            generations.setdefault(int(number), {})[name] = fd
        else:
            others[full_name] = fd
    return dict(sorted(generations.items())), others


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
            raise ValueError(f"{name} runs another program")


def _check_map(name: str, kind: str, fd: int) -> None:
    info = libbpf.map_info(fd)
    sizes = {
        "config": (4, layout.RULE.size),
        "defaults": (4, layout.RULE.size),
        "buckets": (4, layout.BUCKET.size),
        "subuid_buckets": (4, layout.BUCKET.size),
        "reports": (4, layout.REPORT.size),
        "output": (0, 0),
    }.get(name, (4, info.value_size))
    if (info.name, info.kind, info.key_size, info.value_size) != (name, kind, *sizes):
        raise ValueError(f"map {name} is {info}")
    if name == "counters" and (info.value_size % 8 or info.value_size < _LEAST_COUNTERS):
        raise ValueError(f"map {name} has {info.value_size} bytes")
    if name == "ledger" and info.value_size <= layout.LEDGER_SIZE:
        raise ValueError(f"map {name} has {info.value_size} bytes")

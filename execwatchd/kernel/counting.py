# SPDX-License-Identifier: GPL-2.0-or-later
"""What the programs of a generation count in map `counters`, and how often the kernel skipped them."""

import struct
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from execwatchd.kernel import layout, libbpf, members
from execwatchd.kernel.ledger import Ledger, Page, Shown
from execwatchd.shared.counters import Counters

_IN_FLIGHT = 0.1  # s, after which on_exec_retry has seen every exec that on_exec was skipped for


class Counted(NamedTuple):
    """struct counters, the sum over all CPUs; 0 for what an earlier version doesn't count."""

    seen: int = 0
    ignored: int = 0
    lost: int = 0
    suppressed: int = 0
    unended: int = 0
    retried: int = 0


class Counting:
    """Reads the counts of a generation, by its descriptors.

    Of what came out of the store, map and programs may be missing. Then what the ledger had of their counts
    goes on, so that no counter goes back.
    """

    def __init__(self, fds: Mapping[str, int]) -> None:
        self._map = libbpf.Map(fds["map.counters"]) if "map.counters" in fds else None
        self._sees_skips = not set(members.SKIP.members).intersection(members.missing(fds))
        # Without on_exit: it runs for every thread, and most exits that it is skipped for are of no interest.
        # A recorded process among them is counted as unended when its pid is used again.
        self._programs = [fds[name] for name in ("prog.on_exec", "prog.exit_execve") if name in fds]
        retried = self.now().retried
        self._skips, self._since = self._count_skips(), time.monotonic()
        self._missed = max(0, self._skips - retried)

    def now(self) -> Counted:
        """The counts as they are now. Raises OSError EPERM if the kernel wants a capability for that."""
        if not self._map:
            return Counted()
        own = self._map.info.value_size // 8
        value = self._map.get(bytes(4)) or b""
        sums = list(map(sum, zip(*struct.iter_unpack(f"={own}Q", value), strict=True)))
        return Counted(*sums[: layout.COUNTERS.size // 8])

    def total(self, ledger: Ledger | None, is_over: Callable[[], bool]) -> Counters:
        """With what settled predecessors counted; `ring_fill` is the caller's. The ledger writes it down."""
        page, shown = (ledger.page, ledger.shown) if ledger else (Page(), Shown())
        counted = self.now()
        missed = self.missed(counted.retried, is_over)
        if not self._sees_skips:
            missed = max(missed, shown.missed)
        if not self._map:
            counted = Counted(*shown[:3])
        elif ledger:
            ledger.show(Shown(*counted[:3], missed))
        counters = Counters(
            seen=page.seen + counted.seen + missed,
            forwarded=page.forwarded,
            ignored=page.ignored + counted.ignored,
            lost=page.lost + counted.lost + missed + page.malformed,
            ring_fill=0,
        )
        return counters if self._map else counters._replace(seen=max(counters.seen, _accounted(counters)))

    def missed(self, retried: int, is_over: Callable[[], bool]) -> int:
        """Execs that no program ran for, as both were running on that CPU already: skipped less `retried`.

        `retried` was read a moment ago, so the retry of an exec that was skipped since is not in it. A new
        number counts only once it has stayed the same for a while, or `is_over` says that no program runs.
        """
        skips, now = self._count_skips(), time.monotonic()
        if skips != self._skips:
            self._skips, self._since = skips, now
        if now - self._since >= _IN_FLIGHT or is_over():
            self._missed = max(0, skips - retried)
        return self._missed

    def _count_skips(self) -> int:
        return sum(libbpf.program_info(program).misses for program in self._programs)


def _accounted(counters: Counters) -> int:
    return counters.forwarded + counters.ignored + counters.lost

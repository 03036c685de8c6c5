# SPDX-License-Identifier: GPL-2.0-or-later
"""What a program counts in map `counters`, and how often the kernel skipped it."""

import struct
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from execwatchd.kernel import layout, libbpf

_IN_FLIGHT = 0.1  # s, in which a second program has seen what the first one didn't


class Counted(NamedTuple):
    """struct counters, of all CPUs together; 0 for what an earlier layout lacks."""

    seen: int = 0
    ignored: int = 0
    lost: int = 0
    suppressed: int = 0
    unended: int = 0
    retried: int = 0


class Counting:
    """Of one program, by its descriptors."""

    def __init__(self, fds: Mapping[str, int]) -> None:
        self._map = libbpf.Map(fds["map.counters"])
        # Not on_exit: it runs for every thread, and most that it misses are of nothing recorded.
        # Where one is, its end is found missing when its pid comes again.
        self._programs = [fds[name] for name in ("prog.on_exec", "prog.exit_execve") if name in fds]
        retried = self.now().retried
        self._skips, self._since = self._count_skips(), time.monotonic()
        self._missed = max(0, self._skips - retried)

    def now(self) -> Counted:
        """Raises OSError EPERM if the kernel wants a capability for it."""
        own = self._map.info.value_size // 8
        value = self._map.get(bytes(4)) or b""
        sums = list(map(sum, zip(*struct.iter_unpack(f"={own}Q", value), strict=True)))
        return Counted(*sums[: layout.COUNTERS.size // 8])

    def missed(self, retried: int, is_over: Callable[[], bool]) -> int:
        """Execs that no program ran for, as it was running on their CPU already.

        `retried`: those of the skipped that the second program ran for, until just now; so what was skipped
        just now may be one of them yet, and isn't counted before it is settled, or nothing runs any more.
        """
        skips, now = self._count_skips(), time.monotonic()
        if skips != self._skips:
            self._skips, self._since = skips, now
        if now - self._since >= _IN_FLIGHT or is_over():
            self._missed = max(0, skips - retried)
        return self._missed

    def _count_skips(self) -> int:
        return sum(libbpf.program_info(program).misses for program in self._programs)

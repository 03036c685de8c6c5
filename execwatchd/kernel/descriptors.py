# SPDX-License-Identifier: GPL-2.0-or-later
"""The descriptors of a generation, here and in the service manager's store."""

import logging
import math
import os
import time
from collections.abc import Callable

from execwatchd.kernel import attach, layout, libbpf, members
from execwatchd.kernel.descriptor_store import Store
from execwatchd.kernel.members import RUNNING
from execwatchd.kernel.options import Options

log = logging.getLogger(__name__)

_GRACE = 0.5  # s without a new record, after which no program of a detached generation still runs


class Descriptors:
    """By name, as `map.output`. `number` is the generation's, which is part of their names in the store."""

    def __init__(self, number: int, fds: dict[str, int]) -> None:
        self.number = number
        self.fds = fds
        self.was_mistaken = False  # members of it came out of the store under the names of others
        self.is_released: Callable[[], bool] = lambda: False  # after `detach`: the store has closed it too
        self._quiet_since = math.inf
        self._written = -1

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
        return self._links == attach.tracepoints(**members.extras(self.fds))

    def is_complete(self) -> bool:
        """Whether it can go on as it is: attached, and with every map and program."""
        return not self.was_mistaken and not members.missing(self.fds)

    def keep(self, store: Store) -> Callable[[], bool | None]:
        """Put every descriptor into the store, what reading needs first. The store's answer, see `has_room`.

        It is asked before the last one goes there, as what it keeps for its answer takes the same room.
        """
        *names, last = members.in_order(self.fds)
        for name in names:
            self._put(store, name)
        answer = store.has_room()
        self._put(store, last)
        return answer

    def keep_last(self, store: Store) -> None:
        """Put the last one there again, which may have had no room beside the question."""
        self._put(store, members.in_order(self.fds)[-1])

    def _put(self, store: Store, name: str) -> None:
        store.put(RUNNING if name == "map.running" else f"{self.number}.{name}", self.fds[name])

    def detach(self, store: Store) -> None:
        """Close the attachments, here and in the store; those that see exits last."""
        for name in reversed(self._links):
            self._drop(store, f"link.{name}")
        self.is_released = store.barrier()

    def shed(self, store: Store) -> None:
        """Close what is of no use without attachments, here and in the store: a successor needs the room."""
        for name in [name for name in self.fds if not members.is_past(name)]:
            self._drop(store, name)

    def _drop(self, store: Store, name: str) -> None:
        store.remove(f"{self.number}.{name}")
        os.close(self.fds.pop(name))

    def discard(self, store: Store) -> None:
        """Close everything, here and in the store, where the map of running processes stays."""
        for name in list(self.fds):
            self._drop(store, name)

    def is_final(self) -> bool:
        """Whether no record can come any more: it is released, and was quiet for so long that none of its
        programs still runs. The kernel lets a program that runs on another CPU finish (an RCU grace period,
        milliseconds), and newer versions of systemd let another process close what they removed.
        """
        if not self.is_released():
            return False
        written = self._progress()
        if written != self._written:
            self._written, self._quiet_since = written, time.monotonic()
        return time.monotonic() - self._quiet_since > _GRACE

    def _progress(self) -> int:
        """A number that grows with each record that its programs make."""
        raise NotImplementedError

    def shared(self, options: Options) -> dict[str, int]:
        """The maps by name that a successor with these options must use."""
        fd = self.fds.get("map.running")
        if not options.exits or (fd is None and not members.extras(self.fds)["exits"]):
            return {}
        if fd is not None and libbpf.map_info(fd).value_size == layout.RUNNING.size:
            return {"running": fd}
        log.warning("the ends of processes that run now will not be recorded: their list is none that fits")
        return {}

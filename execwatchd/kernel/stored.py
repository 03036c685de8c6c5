# SPDX-License-Identifier: GPL-2.0-or-later
"""What comes out of the service manager's store at a start: the generations to go on with, to read or to
count, and what is closed.
"""

import logging
import os
from collections.abc import Iterable, Mapping

from execwatchd.kernel import layout, members
from execwatchd.kernel.descriptor_store import Store
from execwatchd.kernel.generation import Generation
from execwatchd.kernel.members import RUNNING
from execwatchd.kernel.remains import Remains
from execwatchd.shared.message_ids import MessageId, log_fields

log = logging.getLogger(__name__)

Stored = Generation | Remains


def usable_generations(store: Store, stored: Mapping[str, int]) -> list[Stored]:
    """The generations that count, oldest first, the last one attached if any is. All other descriptors are
    closed, here and in the store.
    """
    by_numbers, others = members.by_number(stored)
    running = others.pop(RUNNING, None)
    if running is not None and (fault := members.damaged({"map.running": running})):
        log.warning("%s from the file descriptor store is let go: %s", RUNNING, fault["map.running"])
        others[RUNNING], running = running, None
    generations: list[Stored] = []
    faults: dict[int, dict[str, str]] = {}
    for number, fds in by_numbers.items():
        faults[number] = members.damaged(fds)
        _put_right(number, fds, faults[number], store)
        members.share(fds, running)
        for generation in _opened(number, fds, others):
            generation.was_mistaken = bool(faults[number])
            generations.append(generation)
    for name, fd in others.items():
        store.remove(name)
        os.close(fd)
    if running is not None:
        os.close(running)
    needed = _needed(generations, store)
    for generation in needed:
        _tell(generation, faults[generation.number], is_last=generation is needed[-1])
    return needed


def _put_right(number: int, fds: dict[str, int], wrong: Iterable[str], store: Store) -> None:
    """Close what is wrong, here and in the store. But if reading needs what came under the name of another
    member, it gets its own.
    """
    taken = {name: fds.pop(name) for name in wrong}
    for name in taken:
        store.remove(f"{number}.{name}")
    for fd in taken.values():
        name = members.real_name(fd)
        is_wanted = name != "map.running" and members.is_past(name) and name not in fds
        if is_wanted and not members.damaged({name: fd}):
            fds[name] = fd
            store.put(f"{number}.{name}", fd)
        else:
            os.close(fd)


def _opened(number: int, fds: dict[str, int], others: dict[str, int]) -> list[Stored]:
    """Empty if it counts and holds no execs; its descriptors then go to `others`."""
    if all(name in fds for name in members.READ.members):
        generation = Generation(number, fds)
        try:
            layout.record_head(generation.ledger.schema)
        except ValueError as error:
            log.warning("the ledger of generation %d from the file descriptor store: %s", number, error)
            generation.close()
        else:
            return [generation]
    if set(fds).intersection((*members.READ.members, *members.COUNT.members)):
        return [Remains(number, fds)]
    log.warning("generation %d from the file descriptor store is let go: it has no records", number)
    others.update({f"{number}.{name}": fd for name, fd in fds.items()})
    return []


def _needed(generations: list[Stored], store: Store) -> list[Stored]:
    """Without those that a kill left half-way: on its way into the store, while the one before is still
    attached, or on its way out, when its numbers are in the books of the one after. If none is attached,
    since the store had no room, all have something to be read.
    """
    attached = [
        place
        for place, generation in enumerate(generations)
        if isinstance(generation, Generation) and generation.is_attached()
    ]
    last = max(attached, default=len(generations) - 1)
    settled = [place for place in range(last + 1) if generations[place].has_settled]
    first = max(settled, default=0)
    for generation in [*generations[:first], *generations[last + 1 :]]:
        generation.discard(store)
    return generations[first : last + 1]


def _tell(generation: Stored, faults: Mapping[str, str], *, is_last: bool) -> None:
    """One entry for a generation that is not what it was put there as. A former one is put there for reading
    only: what else was there is gone on purpose.
    """
    lacking = [name for name in members.missing(generation.fds) if is_last or members.is_past(name)]
    names = [name for name in lacking if name not in faults]
    names += [f"{name} (in its place {what})" for name, what in faults.items()]
    has_no_layout = isinstance(generation, Remains) and not lacking
    if names or has_no_layout:
        log.error(
            "generation %d came back from the file descriptor store without %s: %s",
            generation.number,
            ", ".join(names) or "a layout of its records",
            _consequence(members.READ.members if has_no_layout else lacking),
            extra=log_fields(MessageId.STORE_INCOMPLETE),
        )


def _consequence(lacking: Iterable[str]) -> str:
    return "; ".join(members.consequences(lacking) or [members.RUN.consequence])

# SPDX-License-Identifier: GPL-2.0-or-later
"""What an entry costs journald by its fields: processor time, and bytes of the journal's file."""

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from execwatchd.kernel.layout import EXEC_ID
from execwatchd.stream.encoder import Encoder
from execwatchd.stream.exec_entry import ID
from execwatchd.stream.journal_fields import line
from execwatchd.stream.parents import Parents, parent_field
from tests.bench import usage
from tests.bench.boxed import JOURNALD, cgroup, forget
from tests.bench.figures import Figure, number
from tests.bench.programs import Programs
from tests.bench.sending import send
from tests.fakes.native import fields
from tests.fakes.records import pack, values
from tests.system.harness import Box

ROUNDS = 7
ENTRIES = 20_000  # of a round; a journal file has room for all
_HOST_MNTNS = 4026531841
_TAIL = struct.Struct("<136xQ")  # tail_object_offset in struct Header of systemd's journal-def.h
_CHILDREN = 8  # of a parent

Entry = dict[str, bytes]
Change = Callable[[Entry], Entry]


class Cost(NamedTuple):
    """Of an entry, for journald."""

    time: float  # µs
    size: float  # bytes on disk


def run(box: Box, programs: Programs) -> list[Figure]:
    """The whole entry and its reductions, in turns: a shared machine changes its pace within seconds."""
    entries = _entries()
    changes = _changes(list(entries[0]))
    found: dict[str, list[Cost]] = {}
    for _ in range(ROUNDS):
        for name, change in changes.items():
            found.setdefault(name, []).append(_cost(box, programs, map(change, entries)))
    whole = found["the whole entry"][0].size
    return [
        Figure(name, [cost.time for cost in costs], "µs", note=_on_disk(costs[0].size, whole))
        for name, costs in found.items()
    ]


def _on_disk(size: float, whole: float) -> str:
    return f"{size:.0f} bytes on disk" + (f", {number(whole - size)} less" if whole - size > 0.5 else "")


def _entries() -> list[Entry]:
    """As of a build: the numbers change with each, the arguments with every other, all else is one user's."""
    encode, parents = Encoder(host_mntns=_HOST_MNTNS), Parents()
    encode.remember_in(parents)
    for serial in range(0, ENTRIES, _CHILDREN):
        parents.remember(ID % _parent(serial), parent_field(b"make -j2 all"))
    entries = [fields(encode(_record(serial))) for serial in range(ENTRIES)]
    for entry in entries:
        entry.pop("OBJECT_SYSTEMD_UNIT", None)  # root measures, and the daemon isn't root
    return entries


def _parent(serial: int) -> tuple[int, int, int]:
    """Pid, start and number of the exec that the parent comes from."""
    return 900 + serial // _CHILDREN, 10**12 + serial // _CHILDREN, 1


def _record(serial: int) -> bytes:
    argv = b"cc\0-O2\0-c\0src/file%d.c\0" % (serial if serial % 2 else serial % 16)
    time, parent = 10**12 + serial * 500_000, _parent(serial)
    return pack(
        values(
            pid=1000 + serial,
            ppid=parent[0],
            parent_pid=parent[0],
            parent_id=EXEC_ID.pack(*parent[1:]),
            timestamp=time,
            argv=argv,
            argc=4,
            argv_total=len(argv),
            exec_id=EXEC_ID.pack(time, 1),
            mntns=_HOST_MNTNS,
        )
    )


def _changes(names: Sequence[str]) -> dict[str, Change]:
    """The whole entry, without each of the daemon's fields, and with fewer and fewer of them."""
    ours = [name for name in names if name.startswith("EXECWATCH_")]
    changes: dict[str, Change] = {"the whole entry": lambda entry: entry}
    changes |= {f"without {name}": _without([name]) for name in ours}
    changes |= {f"with {count} of {len(ours)} fields": _without(ours[count:]) for count in (16, 8, 0)}
    return changes


def _without(names: Iterable[str]) -> Change:
    left_out = set(names)
    return lambda entry: {name: value for name, value in entry.items() if name not in left_out}


def _cost(box: Box, programs: Programs, entries: Iterator[Entry]) -> Cost:
    datagrams = [b"".join(line(name.encode(), value) for name, value in entry.items()) for entry in entries]
    forget(box)
    group = cgroup(box, JOURNALD)
    time, size = usage.cgroup_time(group), _used(box)
    send(box, programs, datagrams, ENTRIES)
    box.run("journalctl", "--sync")
    return Cost((usage.cgroup_time(group) - time) / ENTRIES, (_used(box) - size) / ENTRIES)


def _used(box: Box) -> int:
    """How much of the journal's file is used, in bytes: the file itself grows in steps of megabytes."""
    (path,) = box.path("/run/log/journal").rglob("system.journal")
    with path.open("rb") as file:
        return int(_TAIL.unpack(file.read(_TAIL.size))[0])

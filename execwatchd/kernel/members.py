# SPDX-License-Identifier: GPL-2.0-or-later
"""The members of a generation in the service manager's store: what each is for, and whether it is what it is
called.

In the store a descriptor is called GENERATION.KIND.NAME, as `1.map.output`; here it has no number.
"""

import os
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from execwatchd.kernel import attach, layout, libbpf
from execwatchd.kernel.loader import EXIT_TRACEPOINTS, FAILURE_TRACEPOINTS, RAW_TRACEPOINTS

# Map `running` in the store. All generations have the same one, and systemd keeps a descriptor only once.
RUNNING = "shared.running"


class Purpose(NamedTuple):
    """What these members are for, and what follows if any of them is missing."""

    members: tuple[str, ...]
    consequence: str


READ = Purpose(("map.ledger", "map.output"), "its records can't be read, and are counted as lost")
COUNT = Purpose(("map.counters",), "of what it ignored and lost only a part is known")
PAIR = Purpose(("map.running",), "the ends of processes that run now will not be recorded")
LIMIT = Purpose(
    ("map.reports", "map.buckets", "map.subuid_buckets"),
    "what rate limits suppressed is reported in part, or twice",
)
SKIP = Purpose(("prog.on_exec", "prog.exit_execve"), "what the kernel skipped is not counted any more")
RUN = Purpose(
    (
        *("map.config", "map.defaults"),
        *(f"prog.{name}" for name in (RAW_TRACEPOINTS | EXIT_TRACEPOINTS | FAILURE_TRACEPOINTS).values()),
        *(f"link.{name}" for name in attach.tracepoints(failures=True, exits=True)),
    ),
    "another program is attached in its place",
)
# In the order in which the members go into the store: what has no room there is what came last. Attachments
# are the last of all, so what is attached can be read.
PURPOSES = (READ, COUNT, PAIR, LIMIT, SKIP, RUN)
# What a detached generation is still needed for.
_PAST = frozenset(name for purpose in (READ, COUNT, PAIR, LIMIT, SKIP) for name in purpose.members)

_ORDER = {
    name: place
    for place, name in enumerate(dict.fromkeys(name for each in PURPOSES for name in each.members))
}
_LINKED = RAW_TRACEPOINTS | EXIT_TRACEPOINTS | FAILURE_TRACEPOINTS
_MAP_KINDS = {
    "config": "hash",
    "defaults": "array",
    "counters": "percpu_array",
    "output": "ringbuf",
    "ledger": "array",
    "buckets": "hash",
    "subuid_buckets": "hash",
    "reports": "hash",
    "running": "hash",
}
_LEAST_COUNTERS = 32  # bytes that struct counters has in any version


def in_order(names: Iterable[str]) -> list[str]:
    """The order of putting into the store; what only another version has comes last."""
    return sorted(dict.fromkeys(names), key=lambda name: _ORDER.get(name, len(_ORDER)))


def is_past(name: str) -> bool:
    """Whether a detached generation still needs this member."""
    return name in _PAST


def extras(names: Iterable[str]) -> dict[str, bool]:
    """Whether a generation with these members records failed execs and ends: the options of attach.attach."""
    return {
        "failures": any(_is_of(name, FAILURE_TRACEPOINTS) for name in names),
        "exits": any(_is_of(name, EXIT_TRACEPOINTS) for name in names),
    }


def _is_of(member: str, tracepoints: Mapping[str, str]) -> bool:
    kind, _, name = member.partition(".")
    return (kind == "link" and name in tracepoints) or (kind == "prog" and name in tracepoints.values())


def missing(names: Iterable[str]) -> list[str]:
    """What a generation with these members would need to go on as it is; map `running` isn't among it."""
    names = set(names)
    tracepoints = attach.tracepoints(**extras(names))
    wanted = {f"map.{name}" for name in _MAP_KINDS if name != "running"}
    wanted |= {f"prog.{_LINKED[name]}" for name in tracepoints} | {f"link.{name}" for name in tracepoints}
    return in_order(wanted - names)


def consequences(lacking: Iterable[str]) -> list[str]:
    """What follows if these members are missing, in words."""
    lacking = set(lacking)
    return [each.consequence for each in PURPOSES if lacking.intersection(each.members)]


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


def share(fds: dict[str, int], running: int | None) -> None:
    """Give a generation that came out of the store the map `running` that all share, if it may use it."""
    if running is not None and (extras(fds)["exits"] or missing(fds)):
        fds["map.running"] = os.dup(running)


def damaged(fds: Mapping[str, int]) -> dict[str, str]:
    """The members that are something else than what they are called, each with what it is."""
    faults: dict[str, str] = {}
    programs: dict[str, int] = {}
    for name, fd in sorted(fds.items(), key=lambda item: item[0].startswith("link.")):  # programs first
        kind, _, rest = name.partition(".")
        try:
            if kind == "map":
                _check_map(rest, fd)
            elif kind == "prog":
                programs[rest] = _check_program(rest, fd)
            else:
                _check_link(rest, fd, programs)
        except (OSError, ValueError) as error:
            faults[name] = str(error)
    return faults


def real_name(fd: int) -> str:
    """What a member would be called by the kernel's name for it; empty if it is neither map nor program."""
    try:
        return f"map.{libbpf.map_info(fd).name}"
    except OSError:
        pass
    try:
        return f"prog.{libbpf.program_info(fd).name}"
    except OSError:
        return ""


def _check_program(name: str, fd: int) -> int:
    """Its id."""
    info = libbpf.program_info(fd)
    if info.name != name:
        raise ValueError(f"the program {info.name}")
    return info.id


def _check_link(name: str, fd: int, programs: Mapping[str, int]) -> None:
    """Of a program that is missing, nothing can be said."""
    runs, wanted = libbpf.link_program(fd), programs.get(_LINKED.get(name, ""))
    if wanted is not None and runs != wanted:
        raise ValueError("an attachment of another program")


def _check_map(name: str, fd: int) -> None:
    info = libbpf.map_info(fd)
    sizes = {
        "config": (4, layout.RULE.size),
        "defaults": (4, layout.RULE.size),
        "buckets": (4, layout.BUCKET.size),
        "subuid_buckets": (4, layout.BUCKET.size),
        "reports": (4, layout.REPORT.size),
        "output": (0, 0),
    }.get(name, (4, info.value_size))
    kind = _MAP_KINDS.get(name, info.kind)
    if (info.name, info.kind, info.key_size, info.value_size) != (name, kind, *sizes):
        raise ValueError(f"the {info.kind} {info.name}, keys {info.key_size} bytes, values {info.value_size}")
    if name == "counters" and (info.value_size % 8 or info.value_size < _LEAST_COUNTERS):
        raise ValueError(f"a map of {info.value_size} bytes")
    if name == "ledger" and info.value_size <= layout.LEDGER_SIZE + layout.LEDGER_SHOWN.size:
        raise ValueError(f"a map of {info.value_size} bytes")

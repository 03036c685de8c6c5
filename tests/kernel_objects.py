# SPDX-License-Identifier: GPL-2.0-or-later
"""The BPF objects of execwatchd in this kernel, who holds them, and which of them this test session made.

The kernel is shared. Another execwatchd may be attached meanwhile, be installed or restarted: as a service of
this host, in the foreground, in somebody's box, in another test session. Its objects have the same names as
those of the tests, and new ids with each restart. So an object counts as the session's by who holds it: a
process that descends from the session's, or no process at all. In a container /proc doesn't show who holds an
object outside: there what a host's daemon loads meanwhile counts as held by no process.
"""

import ctypes
import json
import os
import re
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from execwatchd.kernel import loader

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_NAME_LENGTH = 15  # BPF_OBJ_NAME_LEN - 1, as the kernel cuts names
_TRACEPOINTS = loader.RAW_TRACEPOINTS | loader.EXIT_TRACEPOINTS | loader.FAILURE_TRACEPOINTS
PROGRAMS = {name[:_NAME_LENGTH] for name in _TRACEPOINTS.values()}
MAPS = {*loader.MAPS, *loader.EXIT_MAPS, "callers", "spilled_callers", "exec_scratch", "retry_scratch"}
NAMES = {"prog": PROGRAMS, "map": MAPS}


class KernelObject(NamedTuple):
    """A program or a map: `kind` is bpftool's word for it, prog or map."""

    kind: str
    id: int
    name: str


class Holder(NamedTuple):
    """A process that has a descriptor of the object, of an attachment of it or of a program that uses it."""

    pid: int
    comm: str
    cgroup: str


Holders = dict[KernelObject, list[Holder]]


def keep_orphans(wanted: bool = True) -> None:
    """Whether a process below this one that loses its parent becomes this one's child, rather than init's."""
    if ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(wanted), 0, 0, 0):
        raise OSError("prctl(PR_SET_CHILD_SUBREAPER)")


def loaded_programs() -> set[int]:
    """Ids of the loaded programs that have one of execwatchd's names."""
    return {one.id for one in loaded("prog")}


def loaded(*kinds: str) -> set[KernelObject]:
    """The objects of these kinds (both, if none is given) that have one of execwatchd's names."""
    return {
        KernelObject(kind, shown["id"], shown["name"])
        for kind in kinds or NAMES
        for shown in _shown(kind)
        if shown.get("name") in NAMES[kind]
    }


def programs_of(pid: int) -> set[int]:
    """Ids of the programs that a process holds, by itself or by an attachment."""
    return {number for kind, number in _descriptors(pid) if kind == "prog"}


def left_by_session(before: Iterable[KernelObject]) -> Holders:
    """The objects that are not among these and that this session holds, or nobody."""
    if not (candidates := loaded() - set(before)):
        return {}
    pids = _holders()
    session = {pid for pid in set().union(*pids.values()) if _is_of_session(pid)}
    return {
        candidate: [_describe(pid) for pid in sorted(holders)]
        for candidate in candidates
        if not (holders := pids.get(candidate[:2], set())) or holders & session
    }


def await_end(before: Iterable[KernelObject], seconds: float = 30) -> Holders:
    """Waits until this session has left no object that is not among these; returns what stays.

    The kernel frees a closed program a grace period later, and an emulated one takes its time. Another
    execwatchd that ends is seen for that long as held by nobody too: only what is so all the time is left.
    """
    end = time.monotonic() + seconds
    left = left_by_session(before)
    while left and time.monotonic() < end:
        time.sleep(0.1)
        left = {one: holders for one, holders in left_by_session(before).items() if one in left}
    return left


def text(left: Holders) -> str:
    """Each object on a line, with every holder's pid, comm and cgroup."""
    lines = []
    for one, holders in sorted(left.items()):
        who = ", ".join(f"{h.pid} {h.comm} ({h.cgroup})" for h in holders) or "no process"
        lines.append(f"{one.kind} {one.id} {one.name}, held by {who}")
    return "\n".join(lines)


def _shown(kind: str) -> list[dict[str, Any]]:
    shown = subprocess.run(["bpftool", "-j", kind, "show"], check=True, capture_output=True)
    objects: list[dict[str, Any]] = json.loads(shown.stdout)
    return objects


def _holders() -> dict[tuple[str, int], set[int]]:
    """Pids by kind and id. Who holds a program holds its maps too, with or without a descriptor of them."""
    pids: dict[tuple[str, int], set[int]] = {}
    for process in Path("/proc").glob("[0-9]*"):
        for held in _descriptors(int(process.name)):
            pids.setdefault(held, set()).add(int(process.name))
    for program in _shown("prog"):
        for number in program.get("map_ids", ()):
            pids.setdefault(("map", number), set()).update(pids.get(("prog", program["id"]), ()))
    return pids


def _descriptors(pid: int) -> set[tuple[str, int]]:
    """Kind and id of each object that the process has a descriptor of; a link's has its program's id."""
    texts = []
    with suppress(OSError):  # the process has ended
        for info in Path(f"/proc/{pid}/fdinfo").iterdir():
            with suppress(OSError):  # it has closed this one
                texts.append(info.read_text())
    found = re.findall(r"^(prog|map)_id:\t(\d+)$", "\n".join(texts), re.MULTILINE)
    return {(kind, int(number)) for kind, number in found}


def _is_of_session(pid: int) -> bool:
    """Whether the process is this one or descends from it; keep_orphans() lets no orphan out of that."""
    while pid not in (0, os.getpid()):
        pid = _parent(pid)
    return pid != 0


def _parent(pid: int) -> int:
    with suppress(OSError):
        if found := re.search(r"^PPid:\t(\d+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE):
            return int(found[1])
    return 0


def _describe(pid: int) -> Holder:
    try:
        groups = Path(f"/proc/{pid}/cgroup").read_text()
        comm = Path(f"/proc/{pid}/comm").read_text().removesuffix("\n")
    except OSError:
        return Holder(pid, "?", "has ended")
    return Holder(pid, comm, next((line[3:] for line in groups.splitlines() if line.startswith("0::")), "/"))

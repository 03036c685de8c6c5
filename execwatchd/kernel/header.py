# SPDX-License-Identifier: GPL-2.0-or-later
"""Generates vmlinux.h: the kernel's structures with the members that the program reads.

Each member is at its offset in the running kernel, by the kernel's own BTF, and has the C type that
structures.py declares, compared with BTF's. Another kernel's headers would compile too, and read the wrong
bytes.
"""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from execwatchd.kernel import structures
from execwatchd.kernel.btf import Btf, Member, Type
from execwatchd.shared.errors import Failure

OVERLAY = Path("/sys/kernel/btf/overlay")  # the module's types, if it is one and is loaded

_INTEGERS = {"char": 1, "u16": 2, "u32": 4, "s32": 4, "u64": 8, "s64": 8}
_C_TYPE = re.compile(r"(?:const )?(?:struct (\w+)|(\w+))(?: (\*)|\[(\d+)\])?")
_OCTAL = re.compile(rb"\\([0-7]{3})")  # how mountinfo has white space and the backslash


def generate(*, exits: bool = False) -> tuple[str, list[str]]:
    """The text of vmlinux.h, and the journal fields that this kernel can't give.

    An optional field's members are there if KERNEL_HAS_… is defined: KERNEL_HAS_TTY for EXECWATCH_TTY.
    `exits`: with the members that the exits of processes need.
    Raises Failure if the kernel has no BTF, or lacks a required member or has it as another type.
    """
    with _kernels_btf() as btf:
        members = {**structures.REQUIRED, **(structures.EXITS if exits else {})}
        for problem in _problems(btf, members):
            raise Failure(f"this kernel's {problem}", "report it with the kernel's version")
        optional = {**structures.OPTIONAL, **(structures.OPTIONAL_EXITS if exits else {})}
        available = {field: group for field, group in optional.items() if not any(_problems(btf, group))}
        for group in available.values():
            members |= group
        defines = [f"CGROUP_ROOT {cgroup_root()}ULL"]
        defines += [f"KERNEL_HAS_{field.removeprefix('EXECWATCH_')}" for field in available]
        lines = [*(f"#define {define}" for define in defines), *_structs(btf, members)]
    absent = [field for field in optional if field not in available and field.startswith("EXECWATCH_")]
    return "".join(f"{line}\n" for line in lines), absent


def missing(options: Iterable[str]) -> dict[str, str]:
    """Of these options those that this kernel can't give, each with the reason.

    Raises Failure if the kernel has no BTF.
    """
    with _kernels_btf() as btf:
        problems = {name: next(_problems(btf, structures.OF_OPTIONS.get(name, {})), "") for name in options}
    return {name: f"this kernel's {problem}" for name, problem in problems.items() if problem}


def _kernels_btf() -> Btf:
    try:
        return Btf(OVERLAY)
    except OSError:
        raise Failure(
            "this kernel has no type information: /sys/kernel/btf/vmlinux can't be read",
            "it needs CONFIG_DEBUG_INFO_BTF=y, as every distribution kernel since 2021 has",
        ) from None


def _problems(btf: Btf, members: structures.Members) -> Iterator[str]:
    """Says of each member that can't be read as its C type why not."""
    for path, c_type in members.items():
        declared = _type(c_type)
        try:
            actual = _member(btf, path).type
        except KeyError:
            yield f"structures lack {path}"
            continue
        if not declared.fits(actual):
            yield f"{path} has {actual}, not {declared}"


def _member(btf: Btf, path: str) -> Member:
    try:
        return btf.member(path)
    except KeyError:
        if path not in structures.RENAMED:
            raise
    return btf.member(structures.RENAMED[path])


def _type(c_type: str) -> Type:
    """Raises ValueError if it isn't one of those that can be compared with BTF's."""
    if c_type == "bit":
        return Type(bits=1)
    match = _C_TYPE.fullmatch(c_type)
    if match is None:
        raise ValueError(f"no C type for a member: {c_type}")
    struct, integer, pointer, count = match.groups()
    size = 0 if struct or pointer else _INTEGERS[integer]
    return Type(size, struct or "", bool(pointer), int(count) if count else None)


def _structs(btf: Btf, members: structures.Members) -> Iterator[str]:
    """Each structure, of its true size, is a union of its members. Those that another contains come first."""
    types = [_type(c_type) for c_type in members.values()]
    yield from (f"struct {name};" for name in sorted({declared.struct for declared in types} - {""}))
    contained = {declared.struct for declared in types if not declared.pointer}
    names = dict.fromkeys(path.partition(".")[0] for path in members)
    for name in sorted(names, key=lambda name: name not in contained):
        yield f"struct {name} {{ union {{"
        yield f"  char size_[{btf.size(name)}];"
        for path, c_type in members.items():
            if path.startswith(f"{name}."):
                yield from _declaration(path, c_type, _member(btf, path).bit)
        yield "}; };"


def _declaration(path: str, c_type: str, bit: int) -> Iterator[str]:
    """The member in a structure of its own, behind padding up to its offset."""
    name, offset = path.partition(".")[2].replace(".", "_"), bit // 8
    if c_type == "bit":
        c_type, offset = "u32", bit // 32 * 4
        yield f"#define {name.upper()}_BIT {1 << bit % 32}U"
    base, bracket, count = c_type.partition("[")
    padding = f"char before_{name}[{offset}]; " if offset else ""
    yield f"  struct {{ {padding}{base} {name}{bracket}{count}; }} __attribute__((packed));"


def cgroup_root(mountinfo: Path = Path("/proc/self/mountinfo")) -> int:
    """The id of the cgroup that this cgroup namespace has as its root; 1, the true root, if none is mounted.

    The id of a cgroup is the inode number of its directory (kernel, cgroup-v2.rst and cgroup_id()).
    """
    for line in mountinfo.read_bytes().removesuffix(b"\n").split(b"\n"):  # any mount point may have any bytes
        mount, _, rest = line.partition(b" - ")
        root, place = mount.split(b" ")[3:5]
        if rest.startswith(b"cgroup2 ") and root == b"/":
            return os.stat(_OCTAL.sub(lambda escape: bytes([int(escape[1], 8)]), place)).st_ino
    return 1

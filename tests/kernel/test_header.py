# SPDX-License-Identifier: GPL-2.0-or-later
"""The program reads the running kernel's structures as they are, or isn't compiled, or leaves a field out."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from execwatchd.kernel import header, loader, structures
from execwatchd.kernel.c_source import directory
from execwatchd.kernel.options import MIB, Options
from execwatchd.shared.errors import Failure
from tests.kernel.watch import CGROUPS

EVERYTHING = Options(MIB, failures=True, cwd=True, ancestors=8, interactive=True, exits=True)
OPTIONAL = {**structures.OPTIONAL, **structures.OPTIONAL_EXITS}


def load(options: Options, sources: Path | None = None) -> list[str]:
    """The fields that are left out of every entry."""
    fds, kernel = loader.load(sources or directory(), options)
    for fd in fds.values():
        os.close(fd)
    return list(kernel.absent)


def left_out(name: str) -> list[str]:
    return [name] if name.startswith("EXECWATCH_") else []


@pytest.fixture
def declare(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Declares members otherwise than structures.py does: in one of its tables, or as a whole group of it."""

    def declared(table: str, members: dict[str, str], group: str = "") -> None:
        former = getattr(structures, table)
        changed = {**former, group: members} if group else {**former, **members}
        monkeypatch.setattr(structures, table, changed)

    return declared


def table_of(group: str) -> str:
    return "OPTIONAL" if group in structures.OPTIONAL else "OPTIONAL_EXITS"


def announced(text: str) -> list[str]:
    """The groups of optional members that a header has."""
    names = {group.removeprefix("EXECWATCH_"): group for group in OPTIONAL}
    return [names[name] for name in re.findall(r"^#define KERNEL_HAS_(\w+)$", text, re.MULTILINE)]


def test_this_kernel_gives_every_field() -> None:
    text, absent = header.generate(exits=True)
    assert absent == []
    assert [group for group in announced(text) if left_out(group)] == [
        group for group in OPTIONAL if left_out(group)
    ]
    # since Linux 6.2, and 6.11; CTIME until then; UPPER where the overlay file system is loaded
    assert set(OPTIONAL) - set(announced(text)) <= {"RSS_STAT", "CTIME_SEC", "CTIME", "UPPER"}


@pytest.mark.parametrize("group", OPTIONAL)
def test_it_compiles_for_a_kernel_that_lacks_a_field(group: str, declare: Callable[..., None]) -> None:
    declare(table_of(group), {"task_struct.no_such_member": "u32"}, group)
    assert load(EVERYTHING) == left_out(group)


@pytest.mark.parametrize("group", OPTIONAL)
def test_a_field_whose_member_has_another_type_is_left_out(group: str, declare: Callable[..., None]) -> None:
    path, c_type = next(iter(OPTIONAL[group].items()))
    other = {"u32": "u64", "u64": "u32"}.get(c_type, "struct other *")
    declare(table_of(group), {**OPTIONAL[group], path: other}, group)
    text, absent = header.generate(exits=True)
    assert absent == left_out(group)
    assert group not in announced(text)


@pytest.mark.parametrize(("table", "options"), [("REQUIRED", Options(MIB)), ("EXITS", EVERYTHING)])
def test_a_kernel_that_lacks_what_is_required(
    table: str, options: Options, declare: Callable[..., None]
) -> None:
    declare(table, {"signal_struct.no_such_member": "u32"})
    with pytest.raises(
        Failure, match=r"this kernel's structures lack signal_struct.no_such_member"
    ) as refused:
        load(options)
    assert refused.value.hint == "report it with the kernel's version"


def test_a_kernel_that_lacks_what_ends_require_records_execs(declare: Callable[..., None]) -> None:
    declare("EXITS", {"signal_struct.no_such_member": "u32"})
    assert load(Options(MIB)) == []


@pytest.mark.parametrize(
    ("path", "c_type", "problem"),
    [
        ("task_struct.tgid", "u64", "task_struct.tgid has 4 bytes, not 8 bytes"),
        ("mm_struct.arg_start", "u32", "mm_struct.arg_start has 8 bytes, not 4 bytes"),
        (
            "task_struct.comm",
            "char[17]",
            "task_struct.comm has an array of 16 times 1 byte, not an array of 17",
        ),
        (
            "task_struct.comm",
            "const char *",
            "task_struct.comm has an array of 16 times 1 byte, not a pointer",
        ),
        (
            "task_struct.mm",
            "struct file *",
            "has a pointer to struct mm_struct, not a pointer to struct file",
        ),
        ("task_struct.in_execve", "u32", "task_struct.in_execve has a bit field, not 4 bytes"),
    ],
)
def test_a_required_member_of_another_type_is_refused(
    path: str, c_type: str, problem: str, declare: Callable[..., None]
) -> None:
    declare("REQUIRED", {path: c_type})
    with pytest.raises(Failure, match=problem) as refused:
        load(Options(MIB))
    assert refused.value.message.startswith("this kernel's ")
    assert refused.value.hint == "report it with the kernel's version"


@pytest.mark.parametrize(
    "wrong",
    [
        "GET((struct task_struct *)0, filename)",
        "GET(GET((struct task_struct *)0, mm), tgid)",
        "GET((struct linux_binprm *)0, no_such_member)",
        "(s64)GET_ARRAY(wrong, (struct task_struct *)0, comm)",
    ],
)
def test_a_wrong_pair_of_structure_and_member_does_not_compile(wrong: str, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(directory(), tmp_path / "bpf"))
    with (copy / "execwatch.c").open("a") as source:
        source.write(f"int use(void *ctx) {{ char wrong[8]; return (s64){wrong}; }}\n")
    line = len((copy / "execwatch.c").read_text().splitlines())
    with pytest.raises(Failure, match=rf"could not be compiled: execwatch.c:{line}:\d+: error: "):
        load(EVERYTHING, copy)


class Shown:
    """The structures of the running kernel, as bpftool shows them."""

    def __init__(self) -> None:
        dump = subprocess.check_output(["bpftool", "-j", "btf", "dump", "file", "/sys/kernel/btf/vmlinux"])
        self._types: dict[int, dict[str, Any]] = {shown["id"]: shown for shown in json.loads(dump)["types"]}
        self._structs = {shown["name"]: shown for shown in self._types.values() if shown["kind"] == "STRUCT"}

    def size(self, struct: str) -> int:
        return int(self._structs[struct]["size"])

    def bit(self, path: str) -> int | None:
        """From the start of the structure; None: there is no such member."""
        name, *members = path.split(".")
        shown, total = self._structs[name], 0
        for name in members:
            member = self._find(shown, name)
            if member is None:
                return None
            total += member[0]
            shown = self._plain(member[1])
        return total

    def _plain(self, type_id: int) -> dict[str, Any]:
        shown = self._types.get(type_id, {"kind": "VOID"})
        if shown["kind"] in ("TYPEDEF", "CONST", "VOLATILE", "TYPE_TAG"):
            return self._plain(shown["type_id"])
        return shown

    def _find(self, shown: dict[str, Any], name: str) -> tuple[int, int] | None:
        for member in shown.get("members", []):
            bit, type_id = member["bits_offset"], member["type_id"]
            if member["name"] == name:
                return bit, type_id
            if member["name"] in ("", "(anon)"):
                inner = self._find(self._plain(type_id), name)
                if inner:
                    return bit + inner[0], inner[1]
        return None


def test_offsets_and_sizes_are_those_that_bpftool_shows(tmp_path: Path) -> None:
    """Of every member, by what a C compiler makes of the header."""
    text, _ = header.generate(exits=True)
    members = {**structures.REQUIRED, **structures.EXITS}
    for group in announced(text):
        members |= OPTIONAL[group]
    shown, expected = Shown(), {"IN_EXECVE_BIT": 0}
    for path, c_type in members.items():
        struct, _, member = path.partition(".")
        bit = shown.bit(path)
        if bit is None:
            bit = shown.bit(structures.RENAMED[path])
        assert bit is not None
        if c_type == "bit":
            expected["IN_EXECVE_BIT"] = 1 << bit % 32
            bit = bit // 32 * 32
        expected[f"__builtin_offsetof(struct {struct}, {member.replace('.', '_')})"] = bit // 8
        expected[f"sizeof(struct {struct})"] = shown.size(struct)
    assert numbers(text, list(expected), tmp_path) == list(expected.values())


def numbers(text: str, expressions: list[str], scratch: Path) -> list[int]:
    """What these expressions are with the generated header."""
    types = "typedef unsigned short u16; typedef unsigned u32; typedef unsigned long long u64;"
    types += "typedef int s32; typedef long long s64;"
    prints = "".join(f'printf("%llu\\n", (unsigned long long)({expression}));' for expression in expressions)
    source, binary = scratch / "probe.c", scratch / "probe"
    source.write_text(f"#include <stdio.h>\n{types}\n{text}\nint main(void) {{ {prints} }}")
    subprocess.run(["gcc", "-Wall", "-Werror", source, "-o", binary], check=True)
    return [int(line) for line in subprocess.check_output([binary], text=True).split()]


def test_the_cgroups_root() -> None:
    assert header.cgroup_root() == CGROUPS.stat().st_ino
    assert f"#define CGROUP_ROOT {CGROUPS.stat().st_ino}ULL\n" in header.generate()[0]

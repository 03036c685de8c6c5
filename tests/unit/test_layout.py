# SPDX-License-Identifier: GPL-2.0-or-later
"""bpf/execwatch.h and its mirror agree, by what a C compiler says of the header."""

import re
import struct
import subprocess
from pathlib import Path

import pytest

from execwatchd.kernel import buckets, layout, ledger, rules_map
from execwatchd.kernel.c_source import directory
from execwatchd.shared.rules import MAX_UIDS, Action

_FLAG = re.compile(r"(?:HAS|TRUNCATED|CGROUP|CWD|BY|EXE|PARENT_EXE|IS|GAINED)_[A-Z_]+")
_MEMBERS = [field.partition(":")[::2] for field in layout.SCHEMA.split()]


class Header:
    """What `execwatch.h` defines, computed by compiled C."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._text = f'#include <linux/types.h>\n#include "{directory()}/execwatch.h"\n'

    def numbers(self, *expressions: str) -> list[int]:
        prints = "".join(f'printf("%lld\\n", (long long)({expression}));\n' for expression in expressions)
        source = self._scratch / "probe.c"
        source.write_text(
            f"#include <stdio.h>\n#include <stddef.h>\n{self._text}int main(void) {{ {prints} }}"
        )
        binary = self._scratch / "probe"
        subprocess.run(["gcc", "-Wall", "-Werror", "-Wpadded", source, "-o", binary], check=True)
        return [int(line) for line in subprocess.check_output([binary], text=True).split()]

    def macros(self) -> dict[str, str]:
        """Those of the header itself."""
        said = subprocess.run(
            ["gcc", "-dM", "-E", "-"], input=self._text, capture_output=True, text=True, check=True
        )
        own = set(re.findall(r"^#define (\w+)", (directory() / "execwatch.h").read_text(), re.MULTILINE))
        found = dict(re.findall(r"^#define (\w+) (.+)$", said.stdout, re.MULTILINE))
        return {name: value for name, value in found.items() if name in own}


@pytest.fixture(scope="module")
def header(tmp_path_factory: pytest.TempPathFactory) -> Header:
    return Header(tmp_path_factory.mktemp("header"))


def offsets(struct_name: str, members: list[str]) -> list[str]:
    return [f"offsetof(struct {struct_name}, {member})" for member in members]


def places(codes: list[str]) -> list[int]:
    return [struct.calcsize("=" + "".join(codes[:i])) for i in range(len(codes))]


def test_the_schema_is_struct_record(header: Header) -> None:
    names, codes = [name for name, _ in _MEMBERS], [code for _, code in _MEMBERS]
    assert header.numbers(*offsets("record", names)) == places(codes)
    sizes = [f"sizeof(((struct record *)0)->{name})" for name in names]
    assert header.numbers(*sizes) == [struct.calcsize(f"={code}") for code in codes]
    signed = [
        f"(__typeof__(((struct record *)0)->{name}))-1 < 0" for name, code in _MEMBERS if code in "IiQq"
    ]
    assert header.numbers(*signed) == [code in "iq" for code in codes if code in "IiQq"]


def test_no_member_of_struct_record_is_missing(header: Header) -> None:
    size = layout.record_head(layout.SCHEMA).size
    assert header.numbers("sizeof(struct record)", "offsetof(struct record, data)") == [size, size]


def test_members_that_are_read_by_themselves() -> None:
    head = layout.record_head(layout.SCHEMA)
    members = layout.members("filename_len", "timestamp", "argv_total")
    assert members.size == head.size
    values = head.unpack(bytes(i % 256 for i in range(head.size)))
    names = [name for name, _ in _MEMBERS]
    wanted = tuple(values[names.index(name)] for name in ("filename_len", "timestamp", "argv_total"))
    assert members.unpack(bytes(i % 256 for i in range(head.size))) == wanted
    for wrong in (("timestamp", "filename_len"), ("pid", "none")):
        with pytest.raises(ValueError, match="order of the schema"):
            layout.members(*wrong)


def test_the_schema_has_room_in_the_ledger() -> None:
    assert len(layout.SCHEMA) < layout.SCHEMA_SIZE


def test_the_constants(header: Header) -> None:
    ours = {
        name: value
        for name, value in vars(layout).items()
        if isinstance(value, int) and name in header.macros()
    }
    assert layout.MAX_USERS == MAX_UIDS
    assert ours.keys() >= {"COMM_SIZE", "MESSAGE_SIZE", "MAX_USERS", "SCHEMA_SIZE", "NO_ID", "FILENAME_SIZE"}
    assert dict(zip(ours, header.numbers(*ours), strict=True)) == ours


def test_the_flags(header: Header) -> None:
    theirs = [name for name in header.macros() if _FLAG.fullmatch(name)]
    assert dict(zip(theirs, header.numbers(*theirs), strict=True)) == {
        flag.name: int(flag) for flag in layout.Flag
    }


def test_a_rule(header: Header) -> None:
    assert header.numbers(
        "sizeof(struct rule)", *offsets("rule", ["action", "limit"]), "ACTION_RECORD", "ACTION_IGNORE"
    ) == [
        layout.RULE.size,
        layout.MESSAGE_SIZE,
        layout.MESSAGE_SIZE + 4,
        rules_map._ACTIONS.index(Action.RECORD),
        rules_map._ACTIONS.index(Action.IGNORE),
    ]


def test_the_counters(header: Header) -> None:
    names = ["seen", "ignored", "lost", "suppressed", "unended", "retried"]
    assert header.numbers("sizeof(struct counters)", *offsets("counters", names)) == [
        layout.COUNTERS.size,
        *places(["Q"] * 6),
    ]


@pytest.mark.parametrize(
    ("name", "codes", "members"),
    [
        ("bucket", ["Q"] * 3 + ["I"] * 2 + ["Q"] * 2, buckets.Bucket._fields),
        ("report", ["Q"] * 6 + ["I"] * 4 + ["q"] * 2 + ["Q"], buckets.Report._fields),
    ],
)
def test_the_buckets(header: Header, name: str, codes: list[str], members: tuple[str, ...]) -> None:
    size = {"bucket": layout.BUCKET, "report": layout.REPORT}[name].size
    found = header.numbers(f"sizeof(struct {name})", *offsets(name, list(members)))
    assert found == [size, *places(codes)]


def test_the_charges_are_the_end_of_a_bucket(header: Header) -> None:
    size = layout.BUCKET.size
    members = struct.calcsize("=3QII2Q")
    assert header.numbers("offsetof(struct bucket, charges)", "sizeof(struct charge)") == [members, 8]
    assert size == members + 8 * layout.EPOCHS


@pytest.mark.parametrize(
    ("name", "ours", "codes", "members"),
    [
        ("exec_id", layout.EXEC_ID, ["Q"] * 2, ["start", "execs"]),
        ("end", layout.END, ["Q", "Q", "i", "I"], ["exec_time", "peak", "status", "unused"]),
        (
            "running",
            layout.RUNNING,
            ["Q"] * 4 + ["I"] * 2,
            ["id.start", "id.execs", "exec_time", "maxrss", "uid", "payer"],
        ),
    ],
)
def test_the_ends(
    header: Header, name: str, ours: struct.Struct, codes: list[str], members: list[str]
) -> None:
    found = header.numbers(f"sizeof(struct {name})", *offsets(name, members))
    assert found == [ours.size, *places(codes)]
    assert ours.format.removeprefix("=") in ("2Q", "2QiI", "4QII")


def test_the_ledger(header: Header) -> None:
    fields = list(ledger.Page._fields)
    page = header.numbers("sizeof(struct ledger_page)", *offsets("ledger_page", fields))
    assert page == [layout.LEDGER_PAGE.size, *places(["Q"] * len(fields))]
    assert header.numbers(*offsets("ledger", ["current", "digest", "schema", "pages", "held"])) == [
        *places(["Q", "64s", f"{layout.SCHEMA_SIZE}s"]),
        layout.LEDGER_HEAD.size,
        layout.LEDGER_SIZE,
    ]
    shown = list(ledger.Shown._fields)
    tail = header.numbers("sizeof(struct ledger_shown)", *offsets("ledger_shown", shown))
    assert tail == [layout.LEDGER_SHOWN.size, *places(["Q"] * len(shown))]
    assert header.numbers("offsetof(struct ledger, current) % sizeof(__u64)") == [0]

# SPDX-License-Identifier: GPL-2.0-or-later
"""The arguments that are hardest to carry: what is text arrives as JSON, what isn't as bytes."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.system import storm as storms
from tests.system.harness import Box
from tests.system.storm import at_rest

ARGV_BYTES = 32768  # the most that is recorded of a command line
# What a box's preparation adds, so that nothing of them is cut.
LONG = f"echo argv_bytes = {ARGV_BYTES} >$R/etc/execwatchd/execwatchd.toml.d/long.toml\n"
TEXT = {
    "empty": [b"", b"a", b"", b"", b"b", b""],
    "blanks": [b"blanks", b" ", b"a b", b"\ta ", b"a  b"],
    "quotes": [b"quotes", b"'", b'"', b"\\", b"\\\\", b"`id`$(id)", b"\\x41", b"\\u0041", b"\\n", b"%s"],
    "newlines": [b"newlines", b"a\nb", b"\n", b"\r\n", b"a\n", b"\n\n{}"],
    "json": [b"json", b'{"a":["b\\n"]}', b"[1,null]", b"</script>", b"null"],
    "controls": [b"controls", b"\x1b[31mred\x1b[0m in a line, \x07 and \x7f"],
    "right-to-left": [b"rtl", "\u05d0\u05d1 \u202eabc\u202c".encode(), "\u200b\ufeff\u00a0".encode()],
    "characters": [b"characters", "\u00e9 e\u0301 \u20ac \U0001f600 \U0010fffd \ufffd".encode()],
    "1 KiB": [b"x" * 1023, b"y" * 1025],
    "4 KiB": [b"long", b"4 KiB " + b"z" * 4096, "\u20ac".encode() * 1366],
    "many": [b"%d" % number for number in range(5_000)],
    "only quotes": [b"only-quotes", b'"' * 14_000],
}
SHORT_BYTES = {
    "not UTF-8": [b"no-utf8", b"\xff", b"a\xc3", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"\\xff"],
    "only controls": [b"only-controls", bytes(range(1, 32)) * 2, b"", b" ", b"\x1b" * 90],
}
NAMELESS = {"no name": [b"", b"\xff", b"a b"]}  # the bytes begin with NUL
LONG_BYTES = {"32 KiB of bytes": [b"bytes", b"\xff \n" * 10_000, b"end"]}
NAME = b"\xff\n\xfe"  # of a file


@dataclass(frozen=True)
class Executed:
    """The arguments of each process, and the process whose executable has a name of bytes."""

    text: dict[int, list[bytes]]
    short_bytes: dict[int, list[bytes]]
    nameless: dict[int, list[bytes]]
    long_bytes: dict[int, list[bytes]]
    named: int

    @property
    def bytes(self) -> dict[int, list[bytes]]:
        return self.short_bytes | self.nameless | self.long_bytes

    @property
    def pids(self) -> set[int]:
        return {*self.text, *self.bytes, self.named}


def execute_all(directory: Path, box: Box) -> Executed:
    """Executes all of them on the host, which the box's daemon sees too, until the journal has them."""

    def execute(cases: dict[str, list[bytes]]) -> dict[int, list[bytes]]:
        return {_execute(directory, b"program", argv): argv for argv in cases.values()}

    done = Executed(
        text=execute(TEXT),
        short_bytes=execute(SHORT_BYTES),
        nameless=execute(NAMELESS),
        long_bytes=execute(LONG_BYTES),
        named=_execute(directory, NAME, [b"named"]),
    )
    assert at_rest(box)["Lost"] == 0
    return done


def _execute(directory: Path, name: bytes, argv: list[bytes]) -> int:
    """Executes, as the storm's user, a file of this name that does nothing."""
    program = os.path.join(bytes(directory), name)
    if not os.path.lexists(program):
        os.symlink("/bin/true", program)
    user = storms.UID
    process = subprocess.Popen(argv, executable=program, user=user, group=user, extra_groups=[])
    assert process.wait() == 0
    return process.pid

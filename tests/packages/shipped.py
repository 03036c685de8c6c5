# SPDX-License-Identifier: GPL-2.0-or-later
"""What another program has made of the entries of the worst arguments."""

import json
import subprocess
from collections.abc import Iterable

from tests.packages.worst import Executed
from tests.system.harness import Box, argv_of, wait_until

Fields = dict[str, str]


def shipped(host: Box, path: str, executed: Executed) -> dict[int, Fields]:
    """What is in a file, an object a line, for each of the processes, once all are there."""

    def read() -> dict[int, Fields] | None:
        if not host.path(path).exists():
            return None
        whole_lines = host.path(path).read_bytes().rpartition(b"\n")[0].decode()
        return by_pid((json.loads(line) for line in whole_lines.split("\n") if line), executed)

    return wait_until(read, f"all execs in {path}", 60)


def by_pid(objects: Iterable[Fields], executed: Executed) -> dict[int, Fields] | None:
    """These processes' alone, or None while some are missing."""
    fields = {int(each.get("EXECWATCH_PID", 0)): each for each in objects}
    return {pid: fields[pid] for pid in executed.pids} if fields.keys() >= executed.pids else None


def in_bash(fields: Fields) -> list[bytes]:
    """The arguments, as bash reads the field of the command line."""
    script = f"printf '%s\\0' {fields['EXECWATCH_CMDLINE']}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"})
    return done.stdout.split(b"\0")[:-1]


def raw(argv: list[bytes]) -> bytes:
    return b"".join(argument + b"\0" for argument in argv)


def assert_text_is_the_same(objects: dict[int, Fields], executed: Executed) -> None:
    """Each of these has its arguments as JSON, whatever characters they are of, and however long."""
    for pid, argv in executed.text.items():
        assert "EXECWATCH_ARGV_RAW" not in objects[pid]
        assert argv_of(objects[pid]) == argv


def assert_bash_reads_bytes(objects: dict[int, Fields], executed: Executed) -> None:
    for pid, argv in (executed.short_bytes | executed.nameless).items():
        assert in_bash(objects[pid]) == argv
    for pid in executed.long_bytes:
        assert objects[pid]["EXECWATCH_TRUNCATED"] == "cmdline"

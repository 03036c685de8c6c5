# SPDX-License-Identifier: GPL-2.0-or-later
"""Arguments and file names of any bytes, from the exec to the journal's datagram."""

import os
import struct
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from execwatchd.kernel.layout import Flag
from execwatchd.stream.decode import Record
from execwatchd.stream.exec_entry import encode
from tests.fakes.native import fields
from tests.kernel.watch import Helper, Runner, Watch

ARGV_BYTES = 4096
TEXT = st.binary(max_size=300).map(lambda raw: raw.replace(b"\0", b""))
NAMES = (
    st.binary(min_size=1, max_size=255)
    .map(lambda raw: raw.replace(b"\0", b"\n").replace(b"/", b"'"))
    .filter(lambda name: name not in (b".", b".."))
)
NASTY = st.sampled_from(
    [b"", b"x\nEXECWATCH_UID=0\n", b"x\nEXECWATCH_UID", b"\x1b]0;x\x07", b"=", b"\n", b"\xff"]
)
ARGV = st.lists(TEXT | NASTY, min_size=1, max_size=30)


def served(helper: Helper, directory: Path, name: bytes, argv: list[bytes]) -> int:
    """Has the helper execute this; the pid."""
    assert helper.process.stdin
    assert helper.process.stdout
    texts = [os.path.join(bytes(directory), name), b"%d" % len(argv), *argv]
    helper.process.stdin.write(b"".join(struct.pack("=I", len(text)) + text for text in texts))
    pid, code = map(int, helper.process.stdout.readline().split())
    assert code == 0
    return pid


def test_any_bytes_arrive_unchanged(watch: Watch, runner: Runner, public: Path) -> None:
    directory = public / "names"
    directory.mkdir()
    helper = runner.start("serve", "-").ready()
    helper.go()

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(NAMES, ARGV)
    def check(name: bytes, argv: list[bytes]) -> None:
        path = os.path.join(bytes(directory), name)
        if not os.path.lexists(path):
            os.symlink("/bin/true", path)
        argv = [b"true", *argv] if argv[0] in (b"--help", b"--version") else argv
        pid = served(helper, directory, name, argv)
        (record,) = [one for one in watch.of(pid) if one.ppid == helper.pid]
        assert_arrived(record, path, argv)
        watch.records.clear()

    check()
    assert helper.end() == 0


def assert_arrived(record: Record, path: bytes, argv: list[bytes]) -> None:
    joined = b"".join(argument + b"\0" for argument in argv)
    found = fields(encode(record))
    expected = {
        "EXECWATCH_FILENAME": path,
        "EXECWATCH_NEW_COMM": os.path.basename(path)[:15],
        "EXECWATCH_UID": b"0",
    }
    assert {name: found[name] for name in expected} == expected
    assert (record.argv, record.argc) == (joined[:ARGV_BYTES], len(argv))
    assert found["MESSAGE"].decode().isprintable()
    assert bool(record.flags & Flag.TRUNCATED_ARGV) == (len(joined) > ARGV_BYTES)
    if len(joined) > ARGV_BYTES:
        assert found["EXECWATCH_ARGV_BYTES"] == b"%d" % len(joined)

# SPDX-License-Identifier: GPL-2.0-or-later
"""Arguments and file names of any bytes: from the kernel by the daemon and the journal to journalctl."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.system.harness import Boot, Box, Entry, argv_of
from tests.system.storm import ONLY_STORM, UID, at_rest

_BYTES = st.binary(max_size=60).map(lambda raw: raw.replace(b"\0", b"\n"))
_NAMES = st.binary(min_size=1, max_size=200).map(lambda raw: raw.replace(b"\0", b"\n").replace(b"/", b"\\"))
_ARGV = st.lists(
    _BYTES | st.text(max_size=20).map(lambda text: text.replace("\0", "").encode(errors="replace"))
)
_CASES = st.lists(
    st.tuples(_NAMES.filter(lambda name: name not in (b".", b"..")), _ARGV), min_size=20, max_size=20
)


@pytest.fixture(scope="module")
def watching(boot: Boot) -> Box:
    box = boot(ONLY_STORM)
    box.systemctl("start", "execwatchd")
    return box


@pytest.fixture(scope="module")
def directory(layers: Path) -> bytes:
    """Programs that do nothing, under any name."""
    layers.chmod(0o755)
    made = layers / "names"
    made.mkdir(mode=0o755)
    return bytes(made)


def run(directory: bytes, name: bytes, argv: list[bytes]) -> int:
    path = os.path.join(directory, name)
    if not os.path.lexists(path):
        os.symlink("/bin/true", path)
    process = subprocess.Popen(
        [b"", *argv], executable=path, user=UID, group=UID, extra_groups=[], stdout=subprocess.DEVNULL
    )
    assert process.wait() == 0
    return process.pid


def raw(entry: Entry, name: str) -> bytes:
    value = entry[f"EXECWATCH_{name}"]
    return value if isinstance(value, bytes) else value.encode(errors="surrogateescape")


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases=_CASES)
def test_any_bytes_arrive_unchanged(
    watching: Box, directory: bytes, cases: list[tuple[bytes, list[bytes]]]
) -> None:
    cases = [(name, [b"", *argv]) for name, argv in cases]  # GNU true wants no --help as its first argument
    pids = [run(directory, name, argv) for name, argv in cases]
    at_rest(watching)
    entries = {raw(one, "PID"): one for one in watching.journal("-u", "execwatchd", f"EXECWATCH_UID={UID}")}
    for pid, (name, argv) in zip(pids, cases, strict=True):
        entry = entries[b"%d" % pid]
        assert raw(entry, "FILENAME") == os.path.join(directory, name)
        assert argv_of(entry) == [b"", *argv]
        assert raw(entry, "NEW_COMM") == name[:15]
        assert str(entry["MESSAGE"]).isprintable()
        assert str(entry["EXECWATCH_CMDLINE"]).isprintable()


def test_an_argument_that_exceeds_a_datagram(boot: Boot, directory: bytes) -> None:
    """32 KiB of bytes that are no text go to the journal once and as they are."""
    box = boot(ONLY_STORM + "echo 'argv_bytes = 32768' >$R/etc/execwatchd/execwatchd.toml.d/long.toml\n")
    box.systemctl("start", "execwatchd")
    argument = b"\x80\xff\n" * 10_000
    pid = run(directory, b"long", [argument])
    total = at_rest(box)
    (entry,) = box.journal("-u", "execwatchd", f"EXECWATCH_PID={pid}")
    assert argv_of(entry) == [b"", argument]
    assert (total["Forwarded"], total["Lost"]) == (1, 0)

# SPDX-License-Identifier: GPL-2.0-or-later
"""A C program that sends entries to a booted system's journald, as a unit without a rate limit."""

import struct
from collections.abc import Iterable

from tests.bench.programs import Programs
from tests.system.harness import Box

_INSIDE = "/run/execwatchd-bench"
_RUN = ("systemd-run", "-q", "--wait", "--pipe", "-p", "Type=exec")
_NO_LIMIT = ("-p", "LogRateLimitIntervalSec=1s", "-p", "LogRateLimitBurst=100000000")


def send(box: Box, programs: Programs, datagrams: Iterable[bytes], count: int) -> float:
    """Sends so many, each of the datagrams in turn. The seconds until journald had read all."""
    directory = box.path(_INSIDE)
    directory.mkdir(exist_ok=True)
    framed = (struct.pack("=I", len(datagram)) + datagram for datagram in datagrams)
    (directory / "entries").write_bytes(b"".join(framed))
    program = directory / "sender"
    program.write_bytes(programs.path("sender").read_bytes())
    program.chmod(0o755)
    command = (f"{_INSIDE}/sender", f"{_INSIDE}/entries", str(count), "/run/systemd/journal/socket")
    return int(box.run(*_RUN, *_NO_LIMIT, *command, timeout=300).stdout) / 1e9

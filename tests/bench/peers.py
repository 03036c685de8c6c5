# SPDX-License-Identifier: GPL-2.0-or-later
"""What users would pick instead, each from the distribution, in a layer that the host never sees."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.audit import Auditd, Laurel
from tests.bench.contender import Contender
from tests.bench.peer import Peer
from tests.bench.programs import Programs
from tests.system.harness import BOX

_PACKAGES = "auditd", "laurel", "libbpf-tools", "bpfcc-tools", "bpftrace", "forkstat", "snoopy"
_INSTALL = """\
rm -f /etc/resolv.conf && cat >/etc/resolv.conf
apt-get update -qq || exit
for package in "$@"; do
  apt-get install -qqy --no-install-recommends -o Dpkg::Use-Pty=0 "$package" || apt-get install -qqyf
done"""


@contextmanager
def installed(directory: Path) -> Iterator[Path]:
    """A layer on this host's root with all peers that the distribution has."""
    layer = directory / "peers"
    if shutil.which("apt-get"):
        with open("/etc/resolv.conf", encoding="utf-8") as resolver, open(directory / "apt.log", "wb") as log:
            command: list[str | Path] = [BOX, "layer", layer, "env", "DEBIAN_FRONTEND=noninteractive"]
            command += ["sh", "-c", _INSTALL, "sh", *_PACKAGES]
            subprocess.run(command, stdin=resolver, stdout=log, stderr=log, check=False)
    yield layer
    shutil.rmtree(layer, ignore_errors=True)


class LibbpfExecsnoop(Peer):
    note = "to a file; no journal, no loginuid, no unit"
    binary = "/usr/sbin/execsnoop"
    command = (binary,)


class BccExecsnoop(Peer):
    note = "to a file"
    binary = "/usr/sbin/execsnoop-bpfcc"
    command = (binary,)


class Bpftrace(Peer):
    note = "execsnoop.bt, to a file"
    binary = "/usr/sbin/execsnoop.bt"
    command = ("/usr/bin/bpftrace", binary)


class Forkstat(Peer):
    note = "reads the command line from /proc, later"
    binary = "/usr/bin/forkstat"
    command = (binary, "-l", "-e", "exec")


class Snoopy(Peer):
    """A library that every dynamic program loads. The load runs in the layer, where its configuration is."""

    note = "a preloaded library: sees dynamic programs only; to a file"
    binary = "/etc/snoopy.ini"
    command = ("sleep", "inf")
    static = False

    def prepare(self) -> None:
        library = next((self._lower / "usr/lib").glob("*/libsnoopy.so"))
        inside = f"/{library.relative_to(self._lower)}"
        where = self._programs.directory / "snoopy-layers"
        for name in ("with", "without"):
            (where / name).mkdir(parents=True, exist_ok=True)
        (self._lower / "etc/snoopy.ini").write_text(f"[snoopy]\noutput = file:{self.output}\n")
        layer: list[str | Path] = ["env", f"LOWER={self._lower}:/", BOX, "layer"]
        self.prefix = [*layer, where / "without"]
        self.prefix_on = [*layer, where / "with", "env", f"LD_PRELOAD={inside}"]

    def times(self) -> dict[str, float]:
        return {}

    def pids(self) -> list[int]:
        return []


def peers(layer: Path, programs: Programs) -> list[Contender]:
    """All of them, whether they can run here or not."""
    kinds: dict[str, type[Peer]] = {
        "execsnoop (libbpf-tools)": LibbpfExecsnoop,
        "execsnoop (BCC)": BccExecsnoop,
        "bpftrace": Bpftrace,
        "forkstat": Forkstat,
        "snoopy": Snoopy,
        "auditd": Auditd,
        "auditd + laurel": Laurel,
    }
    return [kind(name, layer, programs) for name, kind in kinds.items()]

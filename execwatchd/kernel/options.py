# SPDX-License-Identifier: GPL-2.0-or-later
"""The options that the program is compiled for; to change one takes a new program."""

from dataclasses import dataclass

from execwatchd.kernel import libbpf

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Options:
    """`ring_size`: bytes, a power of two. `argv_bytes`: of an exec's arguments that are kept, at most.
    `ancestors`: 0 to 8.
    """

    ring_size: int
    argv_bytes: int = 4096
    failures: bool = False
    cwd: bool = False
    ancestors: int = 0
    interactive: bool = False
    exits: bool = False

    def flags(self) -> list[str]:
        """As compiler flags for bpf/execwatch.c."""
        pages = self.ring_size // 4096
        flags = [
            f"-DARGV_BYTES={self.argv_bytes}",
            f"-DRING_PAGES={pages}",
            f"-DCPUS={libbpf.possible_cpus()}",
        ]
        flags += ["-DFAILURES"] * self.failures + ["-DCWD"] * self.cwd + ["-DINTERACTIVE"] * self.interactive
        flags += ["-DEXITS"] * self.exits
        return flags + [f"-DANCESTORS={self.ancestors}"] * bool(self.ancestors)


def plain(options: Options) -> Options:
    """Without any option, and with a ring that isn't larger than the default one."""
    return Options(min(options.ring_size, default_ring_size()))


def default_ring_size() -> int:
    """1 MiB for each CPU, at least 8 and at most 128 MiB, as a power of two."""
    wanted = min(max(libbpf.possible_cpus(), 8), 128)
    return MIB << (wanted - 1).bit_length()

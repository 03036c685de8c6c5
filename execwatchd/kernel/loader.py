# SPDX-License-Identifier: GPL-2.0-or-later
"""Compile and load the program with BCC, in a child that hands over file descriptors and ends.

BCC brings LLVM, 124 MiB that it never gives back. Only this module imports bcc.
"""

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from execwatchd.kernel import c_source, header, libbpf
from execwatchd.kernel.options import Options
from execwatchd.shared.errors import Failure
from execwatchd.shared.forked import Helper

MAPS = ("config", "defaults", "counters", "output", "ledger", "buckets", "subuid_buckets", "reports")
EXIT_MAPS = ("running",)
# The program of each attachment, which is called as its tracepoint. A second attachment to a tracepoint has a
# suffix; the kernel runs the program that was attached first before the other.
RAW_TRACEPOINTS = {
    "task_rename": "on_task_rename",
    "sched_process_exec": "on_exec",
    "sched_process_exec.retry": "on_exec_retry",
}
EXIT_TRACEPOINTS = {"sched_process_exit": "on_exit", "sched_process_exit.retry": "on_exit_retry"}
FAILURE_TRACEPOINTS = {
    "sys_enter_execve": "enter_execve",
    "sys_enter_execveat": "enter_execveat",
    "sys_exit_execve": "exit_execve",
    "sys_exit_execveat": "exit_execve",
}
LOCKDOWN = Path("/sys/kernel/security/lockdown")
_HELPER = Helper("compiles and loads the program", "200 MB for a second")


def programs(options: Options) -> tuple[list[str], list[str]]:
    """The functions for raw tracepoints, and those for tracepoints of system calls."""
    raw = RAW_TRACEPOINTS | (EXIT_TRACEPOINTS if options.exits else {})
    failing = sorted(set(FAILURE_TRACEPOINTS.values())) if options.failures else []
    return list(raw.values()), failing


class Kernel(NamedTuple):
    """What the loader learns of the running kernel."""

    absent: Sequence[str]  # the journal fields that it can't give
    mntns: int  # the inode number of the host's mount namespace; 0: unknown


def load(
    sources: Path, options: Options, shared: Mapping[str, int] | None = None
) -> tuple[dict[str, int], Kernel]:
    """Descriptors by name (`map.NAME`, `prog.FUNCTION`).

    `shared`: maps by name, of the sizes that the program has, to be used instead of new ones.
    Nothing is attached yet. Raises Failure with the cause and the remedy.
    """
    (names, kernel), fds = _HELPER.call_for_descriptors(lambda: _compile(sources, options, shared or {}))
    return dict(zip(names, fds, strict=True)), kernel


def _compile(
    sources: Path, options: Options, shared: Mapping[str, int]
) -> tuple[tuple[list[str], Kernel], list[int]]:
    """Names, and a descriptor for each."""
    os.environ.clear()
    os.environ["BCC_KERNEL_SOURCE"] = str(sources / "kernel")
    os.chdir("/")  # BCC puts -I<current directory> first
    vmlinux, absent = header.generate(exits=options.exits)
    text = c_source.assembled(sources / "execwatch.c", {"vmlinux.h": vmlinux})
    output = tempfile.TemporaryFile()  # noqa: SIM115  ends with the process
    for stream in (1, 2):
        os.dup2(output.fileno(), stream)
    output_fd = os.dup(output.fileno())  # a number that stays free for map `output`, which is not made yet
    bpf = _module(text, [*options.flags(), f"-DOUTPUT_FD={output_fd}"], output)
    maps = [*MAPS, *(EXIT_MAPS if options.exits else ())]
    names = [f"map.{name}" for name in maps]
    fds = [_map(bpf, name) for name in maps]
    # BCC can't load a program onto an existing map. But programs name maps by descriptor: replace it.
    for name, fd in shared.items():
        os.dup2(fd, _map(bpf, name), inheritable=False)
    os.dup2(_map(bpf, "output"), output_fd)
    raw, failing = programs(options)
    kinds = [(name, bpf.RAW_TRACEPOINT) for name in raw] + [(name, bpf.TRACEPOINT) for name in failing]
    for name, kind in kinds:
        names.append(f"prog.{name}")
        fds.append(_program(bpf, name, kind, output))
    mntns = libbpf.run(_program(bpf, "host_mntns", bpf.RAW_TRACEPOINT, output))
    return (names, Kernel(absent, mntns)), fds


def _module(text: str, flags: list[str], output: Any) -> Any:
    try:
        import bcc  # noqa: PLC0415  only here: it maps LLVM
    except ImportError as error:
        raise Failure(
            f"the BPF compiler collection is missing: {error}",
            "install python3-bpfcc (Debian, Ubuntu) or python3-bcc (Fedora)",
        ) from None
    try:
        return bcc.BPF(text=text.encode(), cflags=["-Wno-macro-redefined", *flags])
    except Exception as error:  # bcc raises nothing more exact
        raise _explained("the program could not be compiled", error, output) from None


def _map(bpf: Any, name: str) -> int:
    from bcc import libbcc  # noqa: PLC0415  loaded by now

    return int(libbcc.lib.bpf_table_fd(bpf.module, name.encode()))


def _program(bpf: Any, name: str, kind: int, output: Any) -> int:
    try:
        return int(bpf.load_func(name.encode(), kind).fd)
    except Exception as error:  # bcc raises nothing more exact
        raise _explained(f"the kernel refused the program {name}", error, output) from None


def _explained(what: str, error: Exception, output: Any) -> Failure:
    """A Failure with the compiler's or the verifier's verdict, which BCC printed, or the likely cause."""
    output.seek(0)
    text = output.read().decode(errors="replace")
    detail = _verdict([line.strip() for line in text.splitlines() if line.strip()]) or str(error)
    if "confidentiality" in _lockdown():
        return Failure(
            f"{what}: the kernel is locked down (confidentiality), which forbids BPF to read its memory",
            "boot with lockdown=integrity or without it",
        )
    if "not permitted" in text + str(error):
        return Failure(
            f"{what}: operation not permitted", "it needs CAP_BPF and CAP_PERFMON on Linux 5.19 or newer"
        )
    return Failure(f"{what}: {detail}"[:3000], "report it with the output of `uname -r`")


def _verdict(lines: list[str]) -> str:
    """The compiler's first error, or the verifier's last lines; its very last one is statistics."""
    errors = [line for line in lines if "error:" in line]
    return errors[0] if errors else " / ".join(lines[-3:-1])


def _lockdown() -> str:
    try:
        text = LOCKDOWN.read_text()
    except OSError:
        return ""
    return text.partition("[")[2].partition("]")[0]

# SPDX-License-Identifier: GPL-2.0-or-later
"""Attach loaded programs to the kernel's tracepoints; a closed descriptor is a detached program."""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from execwatchd.kernel import libbpf
from execwatchd.kernel.loader import EXIT_TRACEPOINTS, FAILURE_TRACEPOINTS, RAW_TRACEPOINTS
from execwatchd.shared.errors import Failure

_PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241, "riscv64": 241, "ppc64le": 319, "s390x": 331}
_PERF_TYPE_TRACEPOINT = 2
_PERF_FLAG_FD_CLOEXEC = 8
_ATTRIBUTES = struct.Struct("=IIQ48x")  # struct perf_event_attr, PERF_ATTR_SIZE_VER0: type, size, config
_REMEDIES = {
    errno.EACCES: "set the sysctl kernel.perf_event_paranoid to 2 or less, or see the drop-in failures.conf",
    errno.EPERM: "it needs CAP_BPF and CAP_PERFMON",
}
_EVENTS = Path("/sys/kernel/tracing/events/syscalls")


def tracepoints(*, failures: bool, exits: bool = False) -> list[str]:
    """The tracepoints in the order of attaching: exits first, so that no recorded exec's exit is missed."""
    return [
        *(EXIT_TRACEPOINTS if exits else ()),
        *RAW_TRACEPOINTS,
        *(FAILURE_TRACEPOINTS if failures else ()),
    ]


def tracepoint_id(name: str, credentials: str | None = None) -> int:
    """The id of a system call's tracepoint, from the unit's credential or else from the tracing file system,
    which only root may read.

    Raises Failure if neither can be read.
    """
    directory = credentials or os.environ.get("CREDENTIALS_DIRECTORY")
    places = [Path(directory, name)] if directory else []
    for place in [*places, _EVENTS / name / "id"]:
        try:
            return int(place.read_text())
        except (OSError, ValueError):
            continue
    raise Failure(
        f"the tracepoint {name} can't be read at {_EVENTS / name / 'id'}",
        "enable the unit's drop-in failures.conf, which lets systemd read it for the daemon",
    )


def attach(fds: dict[str, int], *, failures: bool, exits: bool = False) -> dict[str, int]:
    """Attach in order; the descriptors by tracepoint. Raises Failure, and leaves nothing attached then."""
    links: dict[str, int] = {}
    try:
        for name in tracepoints(failures=failures, exits=exits):
            links[name] = _attach(name, fds)
    except BaseException:
        for fd in links.values():
            os.close(fd)
        raise
    return links


def check_failures() -> None:
    """Raises Failure if the tracepoints of failed execs can't be attached; nothing is attached."""
    for name in FAILURE_TRACEPOINTS:
        with _naming(name):
            os.close(_tracepoint_event(tracepoint_id(name)))


def _attach(name: str, fds: dict[str, int]) -> int:
    raw = RAW_TRACEPOINTS | EXIT_TRACEPOINTS
    with _naming(name):
        if name in raw:
            return libbpf.attach_raw_tracepoint(name.partition(".")[0], fds[f"prog.{raw[name]}"])
        event = _tracepoint_event(tracepoint_id(name))
        try:
            return libbpf.link_perf_event(fds[f"prog.{FAILURE_TRACEPOINTS[name]}"], event)
        finally:
            os.close(event)  # the link keeps it open


@contextmanager
def _naming(tracepoint: str) -> Iterator[None]:
    """Makes an OSError a Failure that names the tracepoint."""
    try:
        yield
    except OSError as error:
        raise Failure(
            f"the tracepoint {tracepoint} can't be attached: {error.strerror}",
            _REMEDIES.get(error.errno or 0, "it needs CONFIG_BPF_EVENTS=y and CONFIG_FTRACE_SYSCALLS=y"),
        ) from None


def _tracepoint_event(config: int) -> int:
    """perf_event_open(2) of a tracepoint for all processes. An event of one CPU is enough: a program that is
    linked to it runs on all.
    """
    number = _PERF_EVENT_OPEN.get(platform.machine())
    if number is None:
        raise Failure(f"failures = true is not known on {platform.machine()}", "set failures = false")
    libc = ctypes.CDLL(None, use_errno=True)
    attributes = _ATTRIBUTES.pack(_PERF_TYPE_TRACEPOINT, _ATTRIBUTES.size, config)
    fd = int(libc.syscall(number, attributes, -1, 0, -1, ctypes.c_ulong(_PERF_FLAG_FD_CLOEXEC)))
    if fd < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return fd

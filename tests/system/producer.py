# SPDX-License-Identifier: GPL-2.0-or-later
"""Fills the daemon's ring with copies of one record, far faster than programs can be executed.

A hand-assembled program (linux/bpf.h) that puts an array's value into the ring, run by BPF_PROG_TEST_RUN.
"""

import ctypes
import os
import platform
import struct
import time
from pathlib import Path

from execwatchd.kernel import libbpf
from tests.fakes.records import pack, values

_BPF = {"x86_64": 321, "aarch64": 280}[platform.machine()]  # number of bpf(2)
_PIDFD_GETFD, _PIDFD_OPEN = 438, 434
_MAP_CREATE, _MAP_UPDATE_ELEM, _PROG_LOAD, _PROG_TEST_RUN = 0, 2, 5, 10
_ARRAY, _RAW_TRACEPOINT = 2, 17
_LOOKUP, _RINGBUF_OUTPUT = 1, 130  # helpers
_libc = ctypes.CDLL(None, use_errno=True)


def ordinary() -> bytes:
    """A record like that of most execs, by UID 501, of this moment."""
    return pack(values(timestamp=time.monotonic_ns()))


def _bpf(command: int, attributes: bytes) -> int:
    buffer = ctypes.create_string_buffer(attributes.ljust(128, b"\0"))
    result = int(_libc.syscall(_BPF, command, buffer, 128))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _instruction(code: int, to: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    return struct.pack("=BBhi", code, source << 4 | to, offset, value)


def _load_map(register: int, fd: int) -> bytes:
    return _instruction(0x18, register, 1, value=fd) + _instruction(0)


def ring_of(pid: int) -> int:
    """A descriptor of the ring that this process has mapped."""
    pidfd = _libc.syscall(_PIDFD_OPEN, pid, 0)
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        if os.readlink(fd) == "anon_inode:bpf-map" and "map_type:\t27\n" in _fdinfo(pid, fd.name):
            found = int(_libc.syscall(_PIDFD_GETFD, pidfd, int(fd.name), 0))
            os.close(pidfd)
            return found
    raise AssertionError(f"process {pid} holds no ring")


def _fdinfo(pid: int, fd: str) -> str:
    return Path(f"/proc/{pid}/fdinfo/{fd}").read_text()


class Producer:
    """`record` into the ring, once a call of `produce`. The ring's descriptor is the producer's to close."""

    def __init__(self, ring: int, record: bytes) -> None:
        self._ring = ring
        self._template = _bpf(_MAP_CREATE, struct.pack("=4I", _ARRAY, 4, len(record), 1))
        libbpf.Map(self._template).set(bytes(4), record)
        program = b"".join(
            (
                _instruction(0x62, 10, offset=-4),  # *(u32 *)(r10 - 4) = 0
                _load_map(1, self._template),
                _instruction(0xBF, 2, 10),  # r2 = r10
                _instruction(0x07, 2, value=-4),  # r2 += -4
                _instruction(0x85, value=_LOOKUP),
                _instruction(0x55, 0, offset=1),  # if r0 != 0 skip the exit
                _instruction(0x95),
                _load_map(1, ring),
                _instruction(0xBF, 2, 0),  # r2 = r0
                _instruction(0xB7, 3, value=len(record)),
                _instruction(0xB7, 4),
                _instruction(0x85, value=_RINGBUF_OUTPUT),
                _instruction(0x95),
            )
        )
        code = ctypes.create_string_buffer(program)
        licence = ctypes.create_string_buffer(b"GPL")
        self.program = _bpf(
            _PROG_LOAD,
            struct.pack(
                "=IIQQ", _RAW_TRACEPOINT, len(program) // 8, ctypes.addressof(code), ctypes.addressof(licence)
            ),
        )
        self._run = ctypes.create_string_buffer(struct.pack("=I", self.program).ljust(128, b"\0"))

    def produce(self) -> bool:
        """False: the ring is full."""
        if _libc.syscall(_BPF, _PROG_TEST_RUN, self._run, 128):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return bool(struct.unpack_from("=I", self._run, 4)[0] == 0)

    def close(self) -> None:
        """Unloads it."""
        os.close(self._ring)
        os.close(self.program)
        os.close(self._template)

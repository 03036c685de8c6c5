# SPDX-License-Identifier: GPL-2.0-or-later
"""A thin ctypes binding to the parts of libbpf 1.x that the daemon needs; nothing here knows our program.

Signatures: bpf/bpf.h, bpf/btf.h and bpf/libbpf.h of libbpf 1.1. Every call that fails raises OSError.
"""

import ctypes
import os
from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple, Protocol, TypeVar

# called with a context, the record, its size
_SampleCallback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_char), ctypes.c_size_t
)

BPF_ANY = 0
BPF_PERF_EVENT = 41  # enum bpf_attach_type
MAP_TYPES = {1: "hash", 2: "array", 6: "percpu_array", 9: "lru_hash", 27: "ringbuf"}


class _MapInfo(ctypes.Structure):
    """The head of struct bpf_map_info, uapi/linux/bpf.h."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
        ("key_size", ctypes.c_uint32),
        ("value_size", ctypes.c_uint32),
        ("max_entries", ctypes.c_uint32),
        ("map_flags", ctypes.c_uint32),
        ("name", ctypes.c_char * 16),
    )


class _ProgramInfo(ctypes.Structure):
    """struct bpf_prog_info up to verified_insns, uapi/linux/bpf.h."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
        ("tag", ctypes.c_uint8 * 8),
        ("_before_name", ctypes.c_uint8 * 48),
        ("name", ctypes.c_char * 16),
        ("_before_run_time", ctypes.c_uint8 * 112),
        ("run_time_ns", ctypes.c_uint64),
        ("run_cnt", ctypes.c_uint64),
        ("recursion_misses", ctypes.c_uint64),
        ("verified_insns", ctypes.c_uint32),
        ("_tail", ctypes.c_uint32 * 3),
    )


class _LinkInfo(ctypes.Structure):
    """The head of struct bpf_link_info, uapi/linux/bpf.h."""

    _fields_ = (("type", ctypes.c_uint32), ("id", ctypes.c_uint32), ("prog_id", ctypes.c_uint32))


_Info = TypeVar("_Info", bound=ctypes.Structure)


class MapInfo(NamedTuple):
    """What the kernel says of a map; sizes in bytes, `kind` as in MAP_TYPES."""

    name: str
    kind: str
    key_size: int
    value_size: int
    max_entries: int


class ProgramInfo(NamedTuple):
    """What the kernel says of a program; `misses`: runs refused since it was already running there."""

    name: str
    id: int
    misses: int
    runs: int
    run_time_ns: int
    verified_instructions: int


@cache
def library() -> ctypes.CDLL:
    """libbpf, its own chatter on stderr switched off. Raises OSError if it isn't installed."""
    lib = ctypes.CDLL("libbpf.so.1", use_errno=True)
    for name in ("btf__load_vmlinux_btf", "btf__parse_split", "btf__type_by_id", "btf__name_by_offset"):
        getattr(lib, name).restype = ctypes.c_void_p
    lib.ring_buffer__new.restype = ctypes.c_void_p
    lib.btf__parse_split.argtypes = (ctypes.c_char_p, ctypes.c_void_p)
    lib.btf__name_by_offset.restype = ctypes.c_char_p
    lib.btf__name_by_offset.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
    lib.btf__type_by_id.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
    lib.btf__find_by_name_kind.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint32)
    lib.btf__free.argtypes = (ctypes.c_void_p,)
    lib.ring_buffer__new.argtypes = (ctypes.c_int, _SampleCallback, ctypes.c_void_p, ctypes.c_void_p)
    for name in ("ring_buffer__consume", "ring_buffer__epoll_fd", "ring_buffer__free"):
        getattr(lib, name).argtypes = (ctypes.c_void_p,)
    lib.bpf_map_update_elem.argtypes = (
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_char_p,
        ctypes.c_uint64,
    )
    lib.libbpf_set_print(None)
    return lib


def _check(result: int) -> int:
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    return result


def possible_cpus() -> int:
    """How many CPUs the kernel may ever have: the number of values of one per-CPU element."""
    return _check(library().libbpf_num_possible_cpus())


class Map:
    """A map by its file descriptor, which stays the caller's. Keys and values are bytes of its sizes."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.info = map_info(fd)
        copies = possible_cpus() if self.info.kind == "percpu_array" else 1
        self._value = ctypes.create_string_buffer((self.info.value_size + 7) // 8 * 8 * copies)

    def get(self, key: bytes) -> bytes | None:
        """The value, of a per-CPU map one after the other for each possible CPU; None: no such key."""
        return self._found(library().bpf_map_lookup_elem(self.fd, key, self._value))

    def set(self, key: bytes, value: bytes) -> None:
        """Raises OSError E2BIG if the map is full."""
        _check(library().bpf_map_update_elem(self.fd, key, value, BPF_ANY))

    def pop(self, key: bytes) -> bytes | None:
        """Delete it, and give what it was at that moment; None: no such key. For a hash only."""
        return self._found(library().bpf_map_lookup_and_delete_elem(self.fd, key, self._value))

    def _found(self, result: int) -> bytes | None:
        if result == -2:  # ENOENT
            return None
        _check(result)
        return self._value.raw

    def delete(self, key: bytes) -> None:
        """Raises OSError ENOENT if it isn't there."""
        _check(library().bpf_map_delete_elem(self.fd, key))

    def keys(self) -> Iterator[bytes]:
        """Every key, as the kernel walks them; deleting the one just given is allowed."""
        following = ctypes.create_string_buffer(self.info.key_size)
        there_is = library().bpf_map_get_next_key(self.fd, None, following) == 0
        while there_is:
            current = following.raw
            there_is = library().bpf_map_get_next_key(self.fd, current, following) == 0
            yield current


def _info(fd: int, info: _Info) -> _Info:
    size = ctypes.c_uint32(ctypes.sizeof(info))
    _check(library().bpf_obj_get_info_by_fd(fd, ctypes.byref(info), ctypes.byref(size)))
    return info


def map_info(fd: int) -> MapInfo:
    """Raises OSError if the descriptor isn't a map's."""
    info = _info(fd, _MapInfo())
    kind = MAP_TYPES.get(info.type, str(info.type))
    return MapInfo(info.name.decode(), kind, info.key_size, info.value_size, info.max_entries)


def program_info(fd: int) -> ProgramInfo:
    """Raises OSError if the descriptor isn't a program's."""
    i = _info(fd, _ProgramInfo())
    return ProgramInfo(i.name.decode(), i.id, i.recursion_misses, i.run_cnt, i.run_time_ns, i.verified_insns)


def link_program(fd: int) -> int:
    """The id of the program that this attachment runs. Raises OSError if it isn't a link's descriptor."""
    return int(_info(fd, _LinkInfo()).prog_id)


class _RunOptions(ctypes.Structure):
    """struct bpf_test_run_opts."""

    _fields_ = (
        ("size", ctypes.c_size_t),
        ("_data_and_context", ctypes.c_uint64 * 6),
        ("result", ctypes.c_uint32),
        ("_tail", ctypes.c_uint32 * 5),
    )


def run(program: int) -> int:
    """The result of a program for a raw tracepoint that needs no context; 0 if the kernel doesn't run it."""
    options = _RunOptions(ctypes.sizeof(_RunOptions))
    library().bpf_prog_test_run_opts(program, ctypes.byref(options))
    return int(options.result)


def attach_raw_tracepoint(name: str, program: int) -> int:
    """Attach a program; the descriptor of the link. Raises OSError ENOENT if there is no such tracepoint."""
    return _check(library().bpf_raw_tracepoint_open(name.encode(), program))


def link_perf_event(program: int, event: int) -> int:
    """Attach a program to an event of perf_event_open(2); the descriptor of the link holds both."""
    return _check(library().bpf_link_create(program, event, BPF_PERF_EVENT, None))


class Pointer(Protocol):
    """To a record in the ring."""

    def __getitem__(self, one: slice, /) -> bytes:
        """A copy of these bytes."""


SampleCallback = Callable[[object, Pointer, int], int]


class RingBuffer:
    """The reader of one ring. `callback(_, pointer, size)` for each; a negative result ends the pass.

    `pointer[:size]` is the record, at half the cost of ctypes.string_at(); only until the callback returns.

    libbpf has consumed a record once the callback returns, whatever it returns.
    """

    def __init__(self, fd: int, callback: SampleCallback) -> None:
        self._callback = _SampleCallback(callback)
        self._ring: int | None = library().ring_buffer__new(fd, self._callback, None, None)
        if not self._ring:
            error = ctypes.get_errno()
            raise OSError(error, f"ring buffer: {os.strerror(error)}")
        self.epoll_fd: int = library().ring_buffer__epoll_fd(self._ring)

    def consume(self) -> int:
        """Run the callback on what is there. The number of records, or the callback's negative result."""
        return int(library().ring_buffer__consume(self._ring)) if self._ring else 0

    def close(self) -> None:
        """Unmap the ring; the map stays."""
        if self._ring:
            library().ring_buffer__free(self._ring)
        self._ring = None

# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the running kernel keeps the members of its structures, from its own BTF through libbpf.

Layout: linux/btf.h. `task_struct.signal` is a member, `fs_struct.pwd.dentry` one of an embedded structure.
"""

import ctypes
from collections.abc import Iterator
from typing import NamedTuple, Self

from execwatchd.kernel import libbpf

_STRUCT, _UNION, _TYPEDEF, _VOLATILE, _CONST, _TYPE_TAG = 4, 5, 8, 9, 10, 18
_TYPE_SIZE, _MEMBER_SIZE = 12, 12


class Member(NamedTuple):
    """`bit`: from the start of the structure. `type`: a BTF type id."""

    bit: int
    type: int


class Btf:
    """The BTF of the running kernel. Raises OSError if the kernel has none."""

    def __init__(self) -> None:
        self._lib = libbpf.library()
        self._btf: int | None = self._lib.btf__load_vmlinux_btf()
        if not self._btf:
            raise OSError(ctypes.get_errno(), "no BTF")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._lib.btf__free(self._btf)
        self._btf = None

    def offset(self, path: str) -> int:
        """Bytes from the start of `struct.member[.member…]`. Raises KeyError if this kernel lacks it."""
        return self.bit(path) // 8

    def bit(self, path: str) -> int:
        """The same in bits, for a bit field."""
        struct, *names = path.split(".")
        type_id, bit = self._struct(struct), 0
        for name in names:
            member = self._find(self._plain(type_id), name)
            if member is None:
                raise KeyError(path)
            type_id, bit = member.type, bit + member.bit
        return bit

    def size(self, struct: str) -> int:
        """Bytes of a structure. Raises KeyError if this kernel lacks it."""
        _info, _, size = self._type(self._struct(struct))
        return size

    def _struct(self, name: str) -> int:
        type_id = int(self._lib.btf__find_by_name_kind(self._btf, name.encode(), _STRUCT))
        if type_id < 0:
            raise KeyError(name)
        return type_id

    def _type(self, type_id: int) -> tuple[int, int, int]:
        """info, address of what follows, size (or the type that it refers to)."""
        address = self._lib.btf__type_by_id(self._btf, type_id)
        head = (ctypes.c_uint32 * 3).from_address(address)
        return head[1], address + _TYPE_SIZE, head[2]

    def _plain(self, type_id: int) -> int:
        info, _, target = self._type(type_id)
        while (info >> 24) & 0x1F in (_TYPEDEF, _VOLATILE, _CONST, _TYPE_TAG):
            type_id = target
            info, _, target = self._type(type_id)
        return type_id

    def _members(self, type_id: int) -> Iterator[tuple[str, Member]]:
        info, address, _ = self._type(type_id)
        if (info >> 24) & 0x1F not in (_STRUCT, _UNION):
            return
        for i in range(info & 0xFFFF):
            name, member, offset = (ctypes.c_uint32 * 3).from_address(address + i * _MEMBER_SIZE)
            bit = offset & 0xFFFFFF if info >> 31 else offset
            yield (self._lib.btf__name_by_offset(self._btf, name) or b"").decode(), Member(bit, member)

    def _find(self, type_id: int, name: str) -> Member | None:
        for found, member in self._members(type_id):
            if found == name:
                return member
            if not found:  # an anonymous structure or union: its members are ours
                inner = self._find(self._plain(member.type), name)
                if inner is not None:
                    return Member(member.bit + inner.bit, inner.type)
        return None

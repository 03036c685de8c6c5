# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the running kernel keeps the members of its structures, and of which types, from its own BTF.

Layout: linux/btf.h. `task_struct.signal` is a member, `fs_struct.pwd.dentry` one of an embedded structure.
"""

import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Self

from execwatchd.kernel import libbpf

_INTEGER, _POINTER, _ARRAY, _STRUCT, _UNION, _ENUM, _FORWARD, _ENUM64 = 1, 2, 3, 4, 5, 6, 7, 19
_MODIFIERS = 8, 9, 10, 11, 18  # typedef, volatile, const, restrict, type tag
_SIZED = _INTEGER, _STRUCT, _UNION, _ENUM, _ENUM64
_HEAD_SIZE, _MEMBER_SIZE = 12, 12


class Type(NamedTuple):
    """As much of a member's type as it takes not to read it wrong.

    `size`: bytes of an integer, or of a structure around one, as kuid_t is. `struct`: name of the structure
    that it is, points to, or is an array of. `length`: of an array. `bits`: of a bit field.
    """

    size: int = 0
    struct: str = ""
    pointer: bool = False
    length: int | None = None
    bits: int = 0

    def fits(self, actual: "Type") -> bool:
        """Whether a member that BTF shows as `actual` can be read as this type; an array may be longer."""
        if (self.pointer, self.bits, self.length is None) != (
            actual.pointer,
            actual.bits,
            actual.length is None,
        ):
            return False
        if (self.length or 0) > (actual.length or 0):
            return False
        if self.pointer:
            return actual.struct in ("", self.struct)  # void * says nothing of what it points to
        return self.struct == actual.struct if self.struct else self.size == actual.size

    def __str__(self) -> str:
        what = f"struct {self.struct}" if self.struct else f"{self.size} byte{'s' * (self.size != 1)}"
        if self.bits:
            what = "a bit field"
        if self.pointer:
            what = f"a pointer to struct {self.struct}" if self.struct else "a pointer"
        return what if self.length is None else f"an array of {self.length} times {what}"


class Member(NamedTuple):
    """`bit`: from the start of the structure."""

    bit: int
    type: Type


class _Place(NamedTuple):
    """`bits`: of a bit field, else 0."""

    bit: int
    bits: int
    type_id: int


class _Head(NamedTuple):
    """struct btf_type. `size`: or the type that it refers to. `address`: of what follows it."""

    kind: int
    name: str
    info: int
    size: int
    address: int


class Btf:
    """The BTF of the running kernel. Raises OSError if the kernel has none.

    `module`: a file with the types of a module, which are looked for too, if it is there.
    """

    def __init__(self, module: Path | None = None) -> None:
        self._lib = libbpf.library()
        kernel = self._lib.btf__load_vmlinux_btf()
        if not kernel:
            raise OSError(ctypes.get_errno(), "no BTF")
        added = self._lib.btf__parse_split(bytes(module), kernel) if module and module.exists() else None
        self._loaded = [btf for btf in (added, kernel) if btf]
        self._btf = self._loaded[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        while self._loaded:
            self._lib.btf__free(self._loaded.pop(0))

    def member(self, path: str) -> Member:
        """`struct.member[.member…]`. Raises KeyError if this kernel lacks it."""
        struct, *names = path.split(".")
        place = _Place(0, 0, self._struct(struct))
        for name in names:
            inner = self._find(place.type_id, name)
            if inner is None:
                raise KeyError(path)
            place = inner._replace(bit=place.bit + inner.bit)
        return Member(place.bit, Type(bits=place.bits) if place.bits else self._type(place.type_id))

    def size(self, struct: str) -> int:
        """Bytes of a structure. Raises KeyError if this kernel lacks it."""
        return self._head(self._struct(struct)).size

    def _struct(self, name: str) -> int:
        type_id = int(self._lib.btf__find_by_name_kind(self._btf, name.encode(), _STRUCT))
        if type_id < 0:
            raise KeyError(name)
        return type_id

    def _head(self, type_id: int) -> _Head:
        """Of the type itself, behind its typedefs and qualifiers."""
        while True:
            address = self._lib.btf__type_by_id(self._btf, type_id)
            name, info, size = (ctypes.c_uint32 * 3).from_address(address)
            head = _Head(info >> 24 & 0x1F, self._name(name), info, size, address + _HEAD_SIZE)
            if head.kind not in _MODIFIERS:
                return head
            type_id = size

    def _name(self, offset: int) -> str:
        return (self._lib.btf__name_by_offset(self._btf, offset) or b"").decode()

    def _type(self, type_id: int) -> Type:
        head = self._head(type_id)
        if head.kind == _POINTER:
            target = self._head(head.size)
            return Type(struct=target.name if target.kind in (_STRUCT, _FORWARD) else "", pointer=True)
        if head.kind == _ARRAY:
            element, _index, length = (ctypes.c_uint32 * 3).from_address(head.address)
            return self._type(element)._replace(length=length)
        return Type(head.size if head.kind in _SIZED else 0, head.name if head.kind == _STRUCT else "")

    def _members(self, type_id: int) -> Iterator[tuple[str, _Place]]:
        head = self._head(type_id)
        if head.kind not in (_STRUCT, _UNION):
            return
        for i in range(head.info & 0xFFFF):
            name, member, offset = (ctypes.c_uint32 * 3).from_address(head.address + i * _MEMBER_SIZE)
            bit, bits = (offset & 0xFFFFFF, offset >> 24) if head.info >> 31 else (offset, 0)
            yield self._name(name), _Place(bit, bits, member)

    def _find(self, type_id: int, name: str) -> _Place | None:
        for member, place in self._members(type_id):
            if member == name:
                return place
            if not member:  # an anonymous structure or union: its members are this structure's
                inner = self._find(place.type_id, name)
                if inner is not None:
                    return inner._replace(bit=place.bit + inner.bit)
        return None

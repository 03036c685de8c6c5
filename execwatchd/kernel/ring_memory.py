# SPDX-License-Identifier: GPL-2.0-or-later
"""A ring's positions and the records that wait, read from its memory: nothing is consumed.

Documentation/bpf/ringbuf.rst in the kernel's sources: a page with the consumer's position, one with the
producer's, then the data. A record has a header of 8 bytes, whose first 4 are its length and two flags.
"""

import mmap
import struct

from execwatchd.kernel import libbpf

_HEADER = struct.Struct("=II")
_LENGTH = (1 << 30) - 1
_DISCARDED = 1 << 30


class RingMemory:
    """The ring of this descriptor. Raises OSError if it can't be mapped."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.size = libbpf.map_info(fd).max_entries
        self._memory = mmap.mmap(fd, 2 * mmap.PAGESIZE, prot=mmap.PROT_READ)
        self._counted = (0, 0, 0)  # position, fill, records
        self._positions = memoryview(self._memory).cast("L")  # unsigned long, the kernel's own

    def read_position(self) -> int:
        """How far the ring was read: bytes since it was made."""
        return self._positions[0]

    def fill(self) -> int:
        """Bytes that wait."""
        return self._positions[mmap.PAGESIZE // self._positions.itemsize] - self._positions[0]

    def waiting(self) -> int:
        """How many records wait."""
        position, fill = self.read_position(), self.fill()
        if self._counted[:2] != (position, fill):
            self._counted = position, fill, self._walk(position, position + fill)
        return self._counted[2]

    def _walk(self, position: int, end: int) -> int:
        count = 0
        with mmap.mmap(self._fd, 2 * mmap.PAGESIZE + 2 * self.size, prot=mmap.PROT_READ) as memory:
            while position < end:
                head, _ = _HEADER.unpack_from(memory, 2 * mmap.PAGESIZE + position % self.size)
                count += not head & _DISCARDED
                position += (_HEADER.size + (head & _LENGTH) + 7) // 8 * 8
        return count

    def close(self) -> None:
        """Unmap; the map stays."""
        self._positions.release()
        self._memory.close()  # it has a descriptor of the map too

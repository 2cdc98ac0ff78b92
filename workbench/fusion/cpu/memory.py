"""Memory for results and for what lies between: blocks that are kept and used again, as fresh pages cost time."""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import threading
from typing import Any

import numpy as np

__all__ = ["Pool", "empty", "pool", "zeros"]

#: below, memory comes from NumPy
SMALLEST = 1 << 20
#: blocks that are free are kept up to this many bytes, or a quarter of the machine's memory
MOST = 1 << 30


#: pages, and their address
_Memory = tuple[mmap.mmap, int]


class _Block:
    """Memory that goes back to its pool when the last array on it is gone."""

    def __init__(self, pool: Pool, memory: _Memory, size: int, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self._pool, self._memory, self._size = pool, memory, size
        _, address = memory
        self.__array_interface__ = {"shape": shape, "typestr": dtype.str, "data": (address, False), "version": 3}

    def __del__(self) -> None:
        self._pool.give(self._memory, self._size)


class Pool:
    """Blocks in sizes of powers of two.

    Attributes
    ----------
    kept : int
        Bytes of the blocks that are free now.
    """

    def __init__(self, most: int | None = None) -> None:
        self.most = most if most is not None else min(MOST, _memory() // 4)
        self.kept = 0
        self._free: dict[int, list[_Memory]] = {}
        self._lock = threading.Lock()

    def empty(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Return an array whose elements are not set."""
        kind = np.dtype(dtype)
        count = math.prod(shape) * kind.itemsize
        if count < SMALLEST:
            return np.empty(shape, kind)
        size = 1 << (count - 1).bit_length()
        with self._lock:
            free = self._free.get(size)
            memory = free.pop() if free else None
            if memory is not None:
                self.kept -= size
        if memory is None:
            memory = _fresh(size)
            if memory is None:
                return np.empty(shape, kind)
        return np.asarray(_Block(self, memory, size, shape, kind))

    def give(self, memory: _Memory, size: int) -> None:
        """Take a block back."""
        with self._lock:
            if self.kept + size <= self.most:
                self._free.setdefault(size, []).append(memory)
                self.kept += size
                return
        with contextlib.suppress(BufferError):
            memory[0].close()

    def clear(self) -> None:
        """Let go of all free blocks."""
        with self._lock:
            free, self._free, self.kept = self._free, {}, 0
        for blocks in free.values():
            for memory, _ in blocks:
                with contextlib.suppress(BufferError):
                    memory.close()


def _fresh(size: int) -> _Memory | None:
    try:
        memory = mmap.mmap(-1, size)
    except (OSError, ValueError):  # NumPy says then what it says when there is no memory
        return None
    advice = getattr(mmap, "MADV_HUGEPAGE", None)
    if advice is not None:
        with contextlib.suppress(OSError):
            memory.madvise(advice)
    return memory, int(np.frombuffer(memory, np.uint8, 1).__array_interface__["data"][0])


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 4 << 30


pool = Pool()


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return an array of the pool whose elements are not set."""
    return pool.empty(shape, dtype)


def zeros(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return an array of zeros."""
    kind = np.dtype(dtype)
    if math.prod(shape) * kind.itemsize < SMALLEST:
        return np.zeros(shape, kind)
    found = pool.empty(shape, kind)
    found[...] = 0
    return found

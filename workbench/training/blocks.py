"""Memory for large tensors that come and go at every step."""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections.abc import Iterator
from typing import Any

from workbench.engine.local import KEPT_MEMORY

__all__ = ["kept_blocks"]

# of glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4
MAPPED, ALL = 65536, 2**31 - 1

_lock = threading.Lock()
_users = 0


@contextlib.contextmanager
def kept_blocks() -> Iterator[None]:
    """Have this process keep the memory that it frees, for the length of a block.

    glibc gives each freed block of more than 32 MiB back to the system, whatever its settings, and the next one's pages
    are then faulted in anew: for weights of 64 MiB that takes three times as long as to copy them, at every step. It
    keeps those of its first heap, which is the only one of a local session's workers. Without glibc nothing happens.
    """
    global _users
    library = _library()
    with _lock:
        _users += 1
        if library is not None and _users == 1:
            library.mallopt(M_MMAP_MAX, 0)
            library.mallopt(M_TRIM_THRESHOLD, ALL)
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if library is not None and not _users:
                library.mallopt(M_MMAP_MAX, MAPPED)
                # setting either has ended glibc's own adapting of both: from here on they are those of a local worker
                library.mallopt(M_TRIM_THRESHOLD, KEPT_MEMORY)
                library.mallopt(M_MMAP_THRESHOLD, KEPT_MEMORY // 2)
                library.malloc_trim(0)


def _library() -> Any:
    """Return the C library of this process, if it is glibc."""
    try:
        library = ctypes.CDLL(None)
        return library if hasattr(library, "gnu_get_libc_version") else None
    except (OSError, TypeError):  # not on every system
        return None

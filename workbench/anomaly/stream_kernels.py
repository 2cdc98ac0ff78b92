"""Kernels of streams; each has a twin in NumPy, which gives the same."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from llvmlite import ir

from workbench.anomaly.instructions import _add_one, _at, _by_size, _code, _instruction, _loop, _number
from workbench.anomaly.loading import Kernel, kernel

__all__ = ["add_sets", "ready", "recode"]

_loading: list[threading.Thread] = []


def ready(one: Kernel) -> bool:
    """Return whether a kernel is loaded; where others are in use, a thread of its own loads it."""
    if one._compiled is None and not _loading:
        _loading.append(threading.Thread(target=_load, name="workbench-kernels"))
        _loading[0].start()
    return one._compiled is not None


def _load() -> None:
    for each in (recode, add_sets):
        each.load()


@kernel("float64(uint64[:,::1], int64[:,::1], float64, float64[::1])")
def add_sets(single: Any, tuples: Any, weight: Any, table: Any) -> Any:
    """Add a weight to the place of each tuple of columns of each row; return the most that stands in one of these.

    Parameters
    ----------
    single : uint64 array (columns + 1, n)
        Number of each item; 0 in the last row.
    tuples : int64 array (m, k)
        Rows of `single` that are added up.
    weight : float64
    table : float64 array, a power of two long
    """
    mask = np.uint64(len(table) - 1)
    k = tuples.shape[1]
    n = single.shape[1]
    for p in range(len(tuples)):
        for i in range(n):
            number = single[tuples[p, 0], i]
            for q in range(1, k):
                number += single[tuples[p, q], i]
            table[np.int64(number & mask)] += weight
    most = 0.0
    for p in range(len(tuples)):
        for i in range(n):
            number = single[tuples[p, 0], i]
            for q in range(1, k):
                number += single[tuples[p, q], i]
            most = max(most, table[np.int64(number & mask)])
    return most


@_instruction(8)
def _recode_rows(
    b: Any, address: Any, size: Any, rows: Any, codes: Any, top: Any, out: Any, out_size: Any, table: Any
) -> None:
    def outer(width: int) -> None:
        def inner(second: int) -> None:
            kind = ir.IntType(8 * second)
            with _loop(b, _number(0), rows) as row:
                entry = _code(b, address, width, row)
                entry = b.select(b.icmp_unsigned(">", entry, top), top, entry)
                _add_one(b, table, entry)
                code = b.load(_at(b, codes, entry, ir.IntType(32)))
                b.store(code if second == 4 else b.trunc(code, kind), _at(b, out, row, kind))

        _by_size(b, out_size, inner)

    _by_size(b, size, outer)


@kernel("void(int64, int64, int64, int64, int64, int64, int64, int64)")
def recode(address: Any, size: Any, rows: Any, codes: Any, top: Any, out: Any, out_size: Any, table: Any) -> None:
    """Write the code of each row's dictionary entry, and count the rows of each entry.

    Addresses of the entries' numbers with their size in bytes, of their uint32 codes, of the codes written with their
    size, and of the int32 table of counts. Numbers above `top` count as that.
    """
    _recode_rows(address, size, rows, codes, top, out, out_size, table)

"""The counting kernels: compiled on first use, kept on disk, and free of the interpreter's lock.

Each has a twin in `counting`, which gives the same integers. Columns come as addresses and sizes of their codes, so
that one compiled function serves all mixtures of uint8, uint16 and uint32 in one call. Rows are worked on in blocks
whose bitmaps fit the second-level cache: memory does not grow with the table.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.anomaly.instructions import (
    add_keys,
    and_count,
    and_into,
    clear,
    count_codes,
    count_pairs,
    mark_codes,
    match_code,
    sum_marked,
)
from workbench.anomaly.loading import kernel

__all__ = ["count_keys", "count_sets", "histogram", "load"]

#: spreads keys that follow one another (Fibonacci hashing)
GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@kernel("void(int64, int64, int64, int64, int64, int64, int64, int64)")
def histogram(
    address: Any, size: Any, other: Any, other_size: Any, step: Any, begin: Any, end: Any, table: Any
) -> None:
    """Count the rows of each code, or with `other_size` > 0 of each pair `code * step + other code`.

    Addresses of codes, with their sizes in bytes, and of the int32 table.
    """
    if other_size > 0:
        count_pairs(address, size, other, other_size, step, begin, end, table)
    else:
        count_codes(address, size, begin, end, table)


@kernel(
    "void(int64[::1], int64[::1], int64[::1], int64[::1], int64[::1],"
    " int32[:,::1], int64, int64, uint64[:,::1], int64[::1], int64[:,::1], int64[:,::1])"
)
def count_sets(
    address: Any,
    size: Any,
    first: Any,
    codes: Any,
    slots: Any,
    sets: Any,
    begin: Any,
    end: Any,
    words: Any,
    t: Any,
    numbers: Any,
    sums: Any,
) -> None:
    """Count the rows begin..end of each set; sets that share their first items should follow one another.

    Parameters
    ----------
    address, size : int64 arrays (c,)
        Of the columns that occur.
    first : int64 array (c + 1,)
        Their bitmaps are first[c] to first[c + 1].
    codes : int64 array
        The code of each bitmap.
    slots : int64 array (c,)
        Address of an int32 table from codes to bitmaps, for columns that are walked over once, else 0.
    sets : int32 array (m, k)
        Bitmaps of each set.
    words : uint64 array (bitmaps + 1 + k, rows of a block / 64)
        Room for the bitmaps, for that of all other codes, and for k more; a multiple of 8 words each.
    t : int64 array (m,)
        The counts; added to.
    numbers : int64 array (q, rows)
        Numbers of the rows from `begin` on; not looked at where `sums` is empty.
    sums : int64 array (m, q)
        Their sums over each set; added to.
    """
    m, k = sets.shape
    maps, width = words.ctypes.data, words.shape[1]
    line = 8 * width  # bytes of a bitmap
    both = maps + line * (len(words) - k)
    figures, stride, many, totals = numbers.ctypes.data, numbers.shape[1], sums.shape[1], sums.ctypes.data
    for block in range(begin, end, 64 * width):
        stop = min(block + 64 * width, end)
        length = (stop - block + 511) // 512 * 8
        for c in range(len(address)):
            if slots[c] != 0:
                clear(maps + first[c] * line, (first[c + 1] - first[c]) * width)
                mark_codes(address[c], size[c], block, stop, slots[c], maps, width)
                continue
            for slot in range(first[c], first[c + 1]):
                if stop == end:
                    clear(maps + slot * line, length)
                match_code(address[c], size[c], block, stop, codes[slot], maps + slot * line)
        for p in range(m):
            q = 1
            if p > 0 and sets[p, 0] == sets[p - 1, 0]:
                while q < k - 1 and sets[p, q] == sets[p - 1, q]:
                    q += 1
            left = maps + sets[p, 0] * line if q == 1 else both + (q - 1) * line
            while q < k - 1:
                and_into(left, maps + sets[p, q] * line, both + q * line, length)
                left = both + q * line
                q += 1
            right = maps + sets[p, k - 1] * line
            t[p] += and_count(left, right, length)
            if many > 0:
                sum_marked(left, right, length, figures + 8 * (block - begin), stride, many, totals + 8 * many * p)


@kernel("void(int64[::1], int64[::1], int64[::1], int64[::1], int32[::1], int64, int64[::1], int64, int64, int64[::1])")
def count_keys(
    address: Any,
    size: Any,
    tables: Any,
    keys: Any,
    slots: Any,
    shift: Any,
    buffer: Any,
    begin: Any,
    end: Any,
    t: Any,
) -> None:
    """Count the rows begin..end of each key, which is a sum of numbers that tables give for the codes of a row.

    Parameters
    ----------
    address, size : int64 arrays (k,)
        Of the columns.
    tables : int64 array (k,)
        Address of an int64 table from codes to numbers; negative for codes that are in no key.
    keys : int64 array (m,)
        What is counted; all different.
    slots : int32 array
        All 0, a power of two of them, at least twice as many as keys: room for a hash table.
    shift : int64
        64 less the binary logarithm of their number.
    buffer : int64 array
        Room for the keys of a block of rows.
    t : int64 array (m,)
        Added to.
    """
    mask = len(slots) - 1
    for p in range(len(keys)):
        at = np.int64((np.uint64(keys[p]) * GOLDEN) >> np.uint64(shift))
        while slots[at] != 0:
            at = (at + 1) & mask
        slots[at] = p + 1
    start = buffer.ctypes.data
    for block in range(begin, end, len(buffer)):
        stop = min(block + len(buffer), end)
        buffer[: stop - block] = 0
        for c in range(len(address)):
            add_keys(address[c], size[c], block, stop, tables[c], start)
        for i in range(stop - block):
            key = buffer[i]
            if key < 0:
                continue
            at = np.int64((np.uint64(key) * GOLDEN) >> np.uint64(shift))
            place = slots[at]
            while place != 0:
                if keys[place - 1] == key:
                    t[place - 1] += 1
                    break
                at = (at + 1) & mask
                place = slots[at]


def load() -> None:
    """Load all kernels from disk, or compile them."""
    for each in (histogram, count_sets, count_keys):
        each.load()

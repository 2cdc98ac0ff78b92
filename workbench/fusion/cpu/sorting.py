"""Stable order by keys, digit by digit, and the place of a row among those of its group."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from workbench.fusion.cpu import memory
from workbench.fusion.cpu.written import function
from workbench.fusion.ops import DTYPES

__all__ = ["FEW", "argsort", "occurrences"]

#: rows below which NumPy is as fast
FEW = 4096
#: bits of a digit at most: its 2,048 places stay in the first cache
_DIGIT = 11
_LOW = np.uint64(0xFFFFFFFF)

#: elements hold 32 bits of a key above the number of their row
_TEXT = """
define i64 @digit(ptr noalias %in, ptr noalias %out, i64 %n, i64 %shift, i64 %mask, ptr noalias %starts) nounwind {
entry:
  br label %count
count:
  %i = phi i64 [ 0, %entry ], [ %i1, %counted ]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %counted, label %totals
counted:
  %ip = getelementptr i64, ptr %in, i64 %i
  %x = load i64, ptr %ip, align 8
  %xs = lshr i64 %x, %shift
  %d = and i64 %xs, %mask
  %cp = getelementptr i64, ptr %starts, i64 %d
  %c = load i64, ptr %cp, align 8
  %c1 = add i64 %c, 1
  store i64 %c1, ptr %cp, align 8
  %i1 = add i64 %i, 1
  br label %count
totals:
  %j = phi i64 [ 0, %count ], [ %j1, %total ]
  %sum = phi i64 [ 0, %count ], [ %sum1, %total ]
  %left = icmp sle i64 %j, %mask
  br i1 %left, label %total, label %move
total:
  %tp = getelementptr i64, ptr %starts, i64 %j
  %t = load i64, ptr %tp, align 8
  store i64 %sum, ptr %tp, align 8
  %sum1 = add i64 %sum, %t
  %j1 = add i64 %j, 1
  br label %totals
move:
  %k = phi i64 [ 0, %totals ], [ %k1, %moved ]
  %go = icmp slt i64 %k, %n
  br i1 %go, label %moved, label %end
moved:
  %kp = getelementptr i64, ptr %in, i64 %k
  %y = load i64, ptr %kp, align 8
  %ys = lshr i64 %y, %shift
  %e = and i64 %ys, %mask
  %sp = getelementptr i64, ptr %starts, i64 %e
  %s = load i64, ptr %sp, align 8
  %op = getelementptr i64, ptr %out, i64 %s
  store i64 %y, ptr %op, align 8
  %s1 = add i64 %s, 1
  store i64 %s1, ptr %sp, align 8
  %k1 = add i64 %k, 1
  br label %move
end:
  ret i64 0
}

define i64 @occurrences(ptr noalias %codes, ptr noalias %out, i64 %n, ptr noalias %counts) nounwind {
entry:
  br label %rows
rows:
  %i = phi i64 [ 0, %entry ], [ %i1, %row ]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %row, label %end
row:
  %cp = getelementptr i64, ptr %codes, i64 %i
  %c = load i64, ptr %cp, align 8
  %tp = getelementptr i64, ptr %counts, i64 %c
  %t = load i64, ptr %tp, align 8
  %op = getelementptr i64, ptr %out, i64 %i
  store i64 %t, ptr %op, align 8
  %t1 = add i64 %t, 1
  store i64 %t1, ptr %tp, align 8
  %i1 = add i64 %i, 1
  br label %rows
end:
  ret i64 0
}
"""


def argsort(keys: Sequence[np.ndarray], ascending: Sequence[bool]) -> np.ndarray | None:
    """Return the rows in stable order of some keys, the first the most important, NaN last in either direction.

    None for what is better done elsewhere: few rows, more than 32 bits can number, and other dtypes than numbers.
    """
    rows = len(keys[0])
    if not FEW <= rows < 1 << 32 or any(each.dtype not in DTYPES or not each.dtype.isnative for each in keys):
        return None
    order = np.arange(rows, dtype=np.uint64)
    for k in range(len(keys) - 1, -1, -1):
        digits = _digits(keys[k], ascending[k])
        bits = int(digits.max()).bit_length()
        for low in range(0, bits, 32):
            part = (digits >> np.uint64(low)) & _LOW if bits > 32 else digits
            # the first key's first bits find the rows as they stood
            part = part if k == len(keys) - 1 and not low else part[order]
            order = _by_bits(part, order, min(32, bits - low))
    return order.view(np.int64)


def _by_bits(part: np.ndarray, order: np.ndarray, bits: int) -> np.ndarray:
    """Return rows in stable order of so many bits beside each."""
    now = (part << np.uint64(32)) | order
    other = memory.empty(now.shape, np.uint64)
    count = -(-bits // _DIGIT)
    width = -(-bits // count)
    call = function(_TEXT, "digit", 6)
    for k in range(count):
        many = 1 << width
        call(now, other, len(now), 32 + k * width, many - 1, np.zeros(many, np.int64))
        now, other = other, now
    now &= _LOW
    return now


def _digits(key: np.ndarray, up: bool) -> np.ndarray:
    """Return whole numbers from 0 on that ascend as a key is to."""
    if key.dtype.kind == "f":
        return _of_floats(key, up)
    if key.dtype.kind == "b":
        key = key.view(np.uint8)
    wide = np.uint64 if key.dtype.kind == "u" else np.int64
    less, more = (key.min(), key) if up else (key, key.max())
    return np.subtract(more, less, dtype=wide, casting="unsafe").view(np.uint64)


def _of_floats(key: np.ndarray, up: bool) -> np.ndarray:
    nan = np.isnan(key)
    some = bool(nan.any())
    if some and nan.all():
        return np.zeros(len(key), np.uint64)
    plain = np.where(nan, key[~nan][0], key) if some else key
    whole = np.int32 if key.dtype.itemsize == 4 else np.int64
    bits = (plain + key.dtype.type(0)).view(whole).astype(np.int64)  # -0.0 is 0.0
    # the greater the number that a negative one's bits are, the less it is
    ordered = np.where(bits < 0, np.int64(np.iinfo(whole).min) + (-1 - bits), bits)
    found = (ordered - ordered.min() if up else ordered.max() - ordered).view(np.uint64)
    if some:
        found[nan] = found.max() + np.uint64(1)
    return found


def occurrences(codes: np.ndarray, size: int) -> np.ndarray:
    """Return for each row how many rows before it have its code; codes are below `size`."""
    found = memory.empty(codes.shape, np.int64)
    codes = np.ascontiguousarray(codes, np.int64)
    function(_TEXT, "occurrences", 4)(codes, found, len(codes), np.zeros(max(size, 1), np.int64))
    return found

"""Numbers for keys by first appearance: open addressing over 8-byte keys, in a table that grows."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.fusion.cpu import memory
from workbench.fusion.cpu.threads import each
from workbench.fusion.cpu.written import function

__all__ = ["number"]

#: rows between looks at whether someone wants to stop
_STEP = 1 << 20
_FIRST = 1 << 12
#: rows that a thread is worth starting for
_PART = 1 << 16

#: slots of 16 bytes, key and number, -1 where there is none; at most `most` keys, then it returns the row it is at
_TEXT = """
define i64 @number(ptr %keys, i64 %lo, i64 %hi, ptr %slots, i64 %bits, ptr %ids, ptr %firsts, ptr %count, i64 %most,
                   i64 %float, i64 %drop) nounwind {
entry:
  %shift = sub i64 64, %bits
  %size = shl i64 1, %bits
  %mask = sub i64 %size, 1
  %begun = load i64, ptr %count
  %isfloat = icmp ne i64 %float, 0
  %drops = icmp ne i64 %drop, 0
  br label %rows
rows:
  %row = phi i64 [ %lo, %entry ], [ %next, %done ]
  %n = phi i64 [ %begun, %entry ], [ %n2, %done ]
  %more = icmp slt i64 %row, %hi
  br i1 %more, label %read, label %end
read:
  %kp = getelementptr i64, ptr %keys, i64 %row
  %raw = load i64, ptr %kp, align 1
  %twice = shl i64 %raw, 1
  %iszero = icmp eq i64 %twice, 0
  %isnan0 = icmp ugt i64 %twice, -9007199254740992
  %zero = and i1 %isfloat, %iszero
  %nan = and i1 %isfloat, %isnan0
  %k0 = select i1 %zero, i64 0, i64 %raw
  %k = select i1 %nan, i64 9221120237041090560, i64 %k0
  %left = and i1 %nan, %drops
  br i1 %left, label %done, label %look
look:
  %mixed = mul i64 %k, -7046029254386353131
  %start = lshr i64 %mixed, %shift
  br label %probe
probe:
  %at = phi i64 [ %start, %look ], [ %further, %other ]
  %sp = getelementptr {i64, i64}, ptr %slots, i64 %at
  %ip = getelementptr i8, ptr %sp, i64 8
  %id = load i64, ptr %ip, align 8
  %none = icmp slt i64 %id, 0
  br i1 %none, label %new, label %old
old:
  %key = load i64, ptr %sp, align 8
  %same = icmp eq i64 %key, %k
  br i1 %same, label %done, label %other
other:
  %step = add i64 %at, 1
  %further = and i64 %step, %mask
  br label %probe
new:
  %full = icmp sge i64 %n, %most
  br i1 %full, label %end, label %insert
insert:
  store i64 %k, ptr %sp, align 8
  store i64 %n, ptr %ip, align 8
  %fp = getelementptr i64, ptr %firsts, i64 %n
  store i64 %row, ptr %fp, align 8
  %grown = add i64 %n, 1
  br label %done
done:
  %n2 = phi i64 [ %n, %read ], [ %n, %old ], [ %grown, %insert ]
  %found = phi i64 [ -1, %read ], [ %id, %old ], [ %n, %insert ]
  %op = getelementptr i64, ptr %ids, i64 %row
  store i64 %found, ptr %op, align 8
  %next = add i64 %row, 1
  br label %rows
end:
  store i64 %n, ptr %count
  ret i64 %row
}
"""


def number(keys: np.ndarray, *, drop: bool = True, threads: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return for each key its number by first appearance, and for each number its first row.

    Parameters
    ----------
    keys : ndarray
        1-d, integers, bools or floats. 0.0 and -0.0 are one key, and so are all NaN.
    drop : bool
        NaN gets -1, not a number of its own.
    threads : int
        Each numbers its part of the rows; the parts' keys are then numbered in the order of the rows, so that the
        answer does not depend on how many there are.
    """
    floating = keys.dtype.kind == "f"
    wide = np.ascontiguousarray(keys, np.float64 if floating else None)
    if not floating and wide.dtype.itemsize < 8:
        wide = wide.astype(np.int64)
    rows = len(wide)
    ids = memory.empty((rows,), np.int64)
    count = min(threads, rows // _PART)
    if count < 2:
        return ids, _part(wide, 0, rows, ids, drop)
    ends = [rows * k // count for k in range(count + 1)]
    parts: list[Any] = [None] * count

    def find(task: int, worker: int) -> None:
        parts[task] = _part(wide, ends[task], ends[task + 1], ids, drop)

    each(find, count, threads)
    firsts = np.concatenate(parts)
    final = np.empty(len(firsts) + 1, np.int64)
    chosen = _part(wide[firsts], 0, len(firsts), final, False)
    final[-1] = -1
    starts = np.cumsum([0, *[len(found) for found in parts]])

    def rename(task: int, worker: int) -> None:
        mine = ids[ends[task] : ends[task + 1]]
        table = np.append(final[starts[task] : starts[task + 1]], -1)  # its last is nobody's
        np.take(table, mine, out=mine, mode="wrap")

    each(rename, count, threads)
    return ids, firsts[chosen]


def _part(wide: np.ndarray, begin: int, end: int, ids: np.ndarray, drop: bool) -> np.ndarray:
    """Number some rows, and return the first row of each number."""
    floating = wide.dtype.kind == "f"
    count = np.zeros(1, np.int64)
    bits = _FIRST.bit_length() - 1
    firsts = np.empty(_FIRST // 2, np.int64)
    slots = _slots(bits)
    call, row = function(_TEXT, "number", 11), begin
    while row < end:
        stop = min(row + _STEP, end)
        reached = call(wide, row, stop, slots, bits, ids, firsts, count, 1 << (bits - 1), int(floating), int(drop))
        if reached < stop:
            bits += 2
            slots, firsts = _grown(call, wide, firsts, int(count[0]), bits)
        row = reached
    return firsts[: count[0]].copy()


def _grown(call: Any, wide: np.ndarray, firsts: np.ndarray, known: int, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a table four times as large that knows the same keys."""
    slots = _slots(bits)
    keys = np.ascontiguousarray(wide[firsts[:known]])
    places = np.empty(1 << (bits - 1), np.int64)
    spare, count = np.empty(known, np.int64), np.zeros(1, np.int64)
    call(keys, 0, known, slots, bits, spare, places, count, known, int(wide.dtype.kind == "f"), 0)
    places[:known] = firsts[:known]
    return slots, places


def _slots(bits: int) -> np.ndarray:
    slots = memory.empty((1 << bits, 2), np.int64)
    slots[...] = -1
    return slots

"""Memory that builders fill: room for what chunks append, and private tables by key."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from workbench.fusion.cpu import combine, exact, memory, threads
from workbench.fusion.cpu.builders import identity
from workbench.fusion.cpu.layout import CHUNK, WORDS, LoopPlan, parts_of
from workbench.fusion.loop import Builder

__all__ = ["chunks_of_a_set", "columns", "gathered", "merged", "tables"]

#: rows for each key that make a set of private tables worth it
ROWS_PER_KEY = 8


def columns(
    plan: LoopPlan, builder: Builder, most: tuple[int, int], records: np.ndarray, together: bool
) -> list[tuple[np.ndarray, int]]:
    """Make room for what chunks append, put it into their records; return the columns, and the room of one chunk.

    Parameters
    ----------
    plan : LoopPlan
    builder : Builder
    most : tuple of int
        How many elements one chunk appends at most, and all of them.
    records : ndarray of int64, (chunks, words)
    together : bool
        Whether chunks append one after another in the same room.
    """
    step = 64 + (most[1] if together else most[0])  # a vector may reach beyond the end
    count = 1 if together else len(records)
    if len(records):
        records[:, plan.record[builder.id, 0]] = 0
    made = []
    for k, dtype in enumerate(builder.dtypes):
        column = memory.empty((step * count,), dtype)
        room = np.minimum(np.arange(len(records), dtype=np.int64), count - 1)
        records[:, plan.record[builder.id, 1 + k]] = room * (step * column.itemsize) + column.ctypes.data
        made.append((column, step))
    return made


def gathered(array: np.ndarray, step: int, counts: np.ndarray, workers: int) -> np.ndarray:
    """Return what was appended in each room as one array."""
    total = int(counts.sum())
    if len(counts) == 1:
        # A copy where most of the room was not needed: the rest would stay taken.
        return array[:total].copy() if total < len(array) // 4 else array[:total]
    found = memory.empty((total,), array.dtype)
    ends = np.cumsum(counts).tolist()

    def copy(k: int, _: int) -> None:
        count = int(counts[k])
        found[ends[k] - count : ends[k]] = array[k * step : k * step + count]

    threads.each(copy, len(counts), workers)
    return found


def chunks_of_a_set(plan: LoopPlan, count: int, size: Callable[[int | str], int]) -> int:
    """Return how many of `count` chunks share a set of private tables: depends on sizes alone."""
    words = [(b, WORDS if b.id in plan.exact else len(parts_of(b))) for b in plan.tables]
    total = sum((size(b.size or 0) + 1) * 8 * many for b, many in words)
    keys = max([size(b.size or 0) for b in plan.tables])
    # a set that few rows come to costs more than it saves: each of its keys is brought in, and merged
    worth = CHUNK * count // (ROWS_PER_KEY * keys + 1)
    most = max(1, min(combine.GROUPS, combine.MOST_BYTES // total, worth))
    return -(-count // min(most, count))


def tables(plan: LoopPlan, builder: Builder, size: int, share: int, records: np.ndarray) -> list[np.ndarray]:
    """Make private tables of a builder and put them into the records; return for each part (sets, keys, copies).

    Parameters
    ----------
    plan : LoopPlan
    builder : Builder
    size : int
        How many keys.
    share : int
        How many chunks share a set.
    records : ndarray of int64, (chunks or 1, words)
    """
    sets = -(-len(records) // share) if len(records) else 1
    which = np.arange(len(records)) // share
    made = []
    if builder.id in plan.exact:
        sums = memory.zeros((sets, size + 1, WORDS), np.int64)
        records[:, plan.record[builder.id, 0]] = sums.ctypes.data + which * sums.strides[0]
        return [sums]
    copies = 1 if builder.id in plan.columns else combine.copies(builder, size)
    for k, (op, dtype, part) in enumerate(parts_of(builder)):
        table = memory.empty((sets, size + 1, copies), dtype)
        table[...] = (
            np.asarray(identity(op, dtype, part)).astype(dtype)
            if dtype != "uint64"
            else np.uint64(identity(op, dtype, part))
        )
        records[:, plan.record[builder.id, 3 * k]] = table.ctypes.data + which * table.strides[0]
        records[:, plan.record[builder.id, 3 * k + 1]] = table.strides[1].bit_length() - 1
        records[:, plan.record[builder.id, 3 * k + 2]] = table.itemsize if copies > 1 else 0
        made.append(table)
    return made


def merged(plan: LoopPlan, builder: Builder, size: int, made: list[np.ndarray]) -> list[np.ndarray]:
    """Return what private tables come to, for each buffer of the builder."""
    found: list[np.ndarray] = []
    start = 0
    if builder.id in plan.exact:
        found.append(exact.rounded(exact.merged(made.pop()[:, :size])))
    for op, dtype in zip(builder.ops, builder.dtypes, strict=True) if made else ():
        count = len(combine.dtypes(op, dtype))
        found += combine.tables(op, dtype, [each[:, :size] for each in made[start : start + count]])
        start += count
    if builder.kind == "dictmerge":
        found.insert(0, np.arange(size))
    return found

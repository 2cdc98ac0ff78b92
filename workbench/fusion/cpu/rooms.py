"""Memory that builders fill: room for what chunks append, and private tables by key."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from workbench.fusion.cpu import combine, exact, memory, threads
from workbench.fusion.cpu.builders import identity
from workbench.fusion.cpu.layout import CHUNK, WORDS, LoopPlan, parts_of
from workbench.fusion.loop import Builder

__all__ = ["Tables", "chunks_of_a_set", "columns", "gathered"]

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


class Tables:
    """The private tables of a loop, one set of them for several chunks.

    Parameters
    ----------
    plan : LoopPlan
    size : callable
        Gives the number of a symbol.
    share : int
        How many chunks share a set.
    records : ndarray of int64, (chunks or 1, words)
        Told where the tables are.
    """

    def __init__(self, plan: LoopPlan, size: Callable[[int | str], int], share: int, records: np.ndarray) -> None:
        self.plan, self.size = plan, size
        self.sets = -(-len(records) // share) if len(records) else 1
        self.which, self.records = np.arange(len(records)) // share, records
        self.made: dict[tuple[int, int], np.ndarray] = {}
        #: slots of the records, and the tables that they tell of
        self.told: list[tuple[int, np.ndarray]] = []
        kinds = {(b.id, k): (op, dtype, part) for b in plan.tables for k, (op, dtype, part) in enumerate(parts_of(b))}
        for row in plan.rows:
            count = size(row.size)
            width = row.dtype.itemsize
            raw = memory.empty((self.sets, combine.copies(row, count), count + 1, width), np.uint8)
            table = raw.view(row.dtype)[..., 0]
            for key in row.fields:
                self.made[key] = table[f"{key[0]}.{key[1]}"]
                self.made[key][...] = _identity(*kinds[key])
            self.tell(row.slot, table)
            records[:, row.slot + 1] = table.strides[1] if table.shape[1] > 1 else 0
        for builder in plan.tables:
            count = size(builder.size or 0)
            if builder.id in plan.exact:
                sums = self.made[builder.id, 0] = memory.zeros((self.sets, count + 1, WORDS), np.int64)
                self.tell(plan.record[builder.id, 0], sums)
            elif builder.id in plan.columns:
                for part in range(len(parts_of(builder))):
                    alone = memory.empty((self.sets, 1, count + 1), kinds[builder.id, part][1])
                    alone[...] = _identity(*kinds[builder.id, part])
                    self.made[builder.id, part] = alone
                    self.tell(plan.record[builder.id, part], alone)

    def tell(self, slot: int, table: np.ndarray) -> None:
        """Write a table's address into the records: that of the set of each chunk."""
        self.told.append((slot, table))
        self.records[:, slot] = table.ctypes.data + self.which * table.strides[0]

    def merged(self, builder: Builder) -> list[np.ndarray]:
        """Return what the tables of a builder come to, for each of its buffers."""
        size = self.size(builder.size or 0)
        found = []
        if builder.id in self.plan.exact:
            found.append(exact.rounded(exact.merged(self.made[builder.id, 0][:, :size])))
        else:
            part = 0
            for op, dtype in zip(builder.ops, builder.dtypes, strict=True):
                count = len(combine.dtypes(op, dtype))
                tables = [self.made[builder.id, part + k][:, :, :size] for k in range(count)]
                found += combine.tables(op, dtype, tables)
                part += count
        if builder.kind == "dictmerge":
            found.insert(0, np.arange(size))
        return found


def _identity(op: str, dtype: str, part: int) -> np.ndarray:
    value = identity(op, dtype, part)
    return np.array(value, np.uint64) if dtype == "uint64" else np.asarray(value).astype(dtype)

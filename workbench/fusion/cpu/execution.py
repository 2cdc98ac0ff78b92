"""One run of compiled code: its table, its memory, its loops over their chunks."""

from __future__ import annotations

import ctypes
import math
from array import array
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from workbench.fusion.cpu import combine, exact, memory, rooms, threads
from workbench.fusion.cpu.address import address
from workbench.fusion.cpu.builders import identity
from workbench.fusion.cpu.driver import Driver
from workbench.fusion.cpu.layout import CHUNK, WORDS, Layout, LoopPlan, parts_of
from workbench.fusion.cpu.machine import LoadedCode
from workbench.fusion.cpu.single import Single
from workbench.fusion.loop import Buffer, Builder, For, statements

if TYPE_CHECKING:
    from workbench.fusion.cpu.kernel import Compiled

__all__ = ["Execution", "Facts"]

#: below so many points the caller's thread does all
SMALL = 32_768
#: chunks that a thread takes at a time, and for each thread at least how many times
TAKEN, TURNS = 8, 16

_SIGNATURE = [ctypes.c_void_p] * 3 + [ctypes.c_int64] * 4


class Facts:
    """What is the same for every run of a loop.

    Attributes
    ----------
    start : array of int64
        The record of a chunk before it runs.
    merges : list of (op, dtype, slots, result slots)
        Single values: where they stand in a record, and where in the table.
    sums : list of (slot, result slot)
        Sums that are rounded once, likewise.
    appends, tables : list of Builder
    function : callable
        Of the table, a record, memory for tiles, and a chunk.
    address : int
        The function's.
    """

    def __init__(self, plan: LoopPlan, layout: Layout, code: LoadedCode) -> None:
        self.plan, self.address = plan, code.address(plan.name)
        self.function = code.function(plan.name, *_SIGNATURE)
        self.start = array("q", bytes(8 * max(1, plan.slots)))
        self.merges: list[tuple[str, str, list[int], list[int]]] = []
        self.sums: list[tuple[int, int]] = []
        self.appends = [b for b in plan.loop.builders if b.kind == "append"]
        self.tables = plan.tables
        for builder in plan.loop.builders:
            if builder.kind != "merge":
                continue
            if builder.id in plan.exact:
                self.sums.append((plan.record[builder.id, 0], layout.results[builder.id, 0]))
                continue
            for k, (op, dtype, part) in enumerate(parts_of(builder)):
                slot = plan.record[builder.id, k]
                self.start[slot] = combine.word(identity(op, dtype, part), dtype)
                if not part:
                    self.merges.append((op, dtype, [], []))
                self.merges[-1][2].append(slot)
                self.merges[-1][3].append(layout.results[builder.id, k])

    @property
    def plain(self) -> bool:
        """Whether there is nothing but single values to put together."""
        return not self.appends and not self.tables


class Execution:
    """One run: its table, its memory."""

    def __init__(
        self, code: Compiled, buffers: Mapping[str, np.ndarray], sizes: Mapping[str, int], workers: int
    ) -> None:
        self.code, self.sizes, self.workers = code, sizes, workers
        self.program, self.layout = code.program, code.layout
        self.table = array("q", bytes(8 * max(1, self.layout.slots)))
        self.arrays: dict[str, np.ndarray] = {}
        self.scratch_bytes = 0
        self.scratches: dict[int, np.ndarray] = {}
        for name, slot in self.layout.sizes.items():
            self.table[slot] = sizes[name]
        for buffer, dtype in code.given:
            self.bind(buffer.name, self.fitting(buffer, dtype, buffers[buffer.name]))
        for buffer in code.tiles:
            shape = tuple([self.size(d) for d in buffer.shape])
            self.table[self.layout.addresses[buffer.name]] = self.scratch_bytes
            self.strides(buffer.name, _c_strides(shape, np.dtype(buffer.dtype).itemsize))
            # A vector may reach beyond the end.
            self.scratch_bytes += -(-(math.prod(shape) * 8 + 256) // 64) * 64
        for buffer in code.made:
            if buffer.name in buffers:  # memory that is to be written over
                self.bind(buffer.name, buffers[buffer.name])
                continue
            make = memory.zeros if buffer.name in code.partly else memory.empty
            self.bind(buffer.name, make(tuple([self.size(d) for d in buffer.shape]), buffer.dtype))

    def size(self, size: int | str) -> int:
        return size if isinstance(size, int) else int(self.sizes[size])

    def fitting(self, buffer: Buffer, dtype: np.dtype, given: np.ndarray) -> np.ndarray:
        """Return an input as the code reads it: of its dtype and shape, neighbours next to each other where it says so.

        Raises
        ------
        ValueError
            If it has another dtype or shape: the code would read what is not there.
        """
        found = np.asarray(given)
        shape = tuple([self.size(d) for d in buffer.shape])
        if found.shape != shape or found.dtype != dtype:
            raise ValueError(f"{buffer.name} is {found.dtype}{found.shape}, not {buffer.dtype}{shape}")
        if buffer.unit and shape and shape[-1] > 1 and found.strides[-1] != found.itemsize:
            return np.ascontiguousarray(found)
        return found

    def bind(self, name: str, array: np.ndarray) -> None:
        """Put an array's address and strides into the table, and keep the array."""
        self.arrays[name] = array
        self.table[self.layout.addresses[name]] = address(array)
        self.strides(name, array.strides)

    def strides(self, name: str, strides: tuple[int, ...]) -> None:
        start = self.layout.strides[name]
        for k, stride in enumerate(strides):
            self.table[start + k] = stride

    def outputs(self) -> dict[str, np.ndarray]:
        for facts in self.code.facts:
            self.loop(facts)
        return {name: self.arrays[name] for name in self.code.outputs}

    def single(self, buffers: Mapping[str, np.ndarray]) -> Single | None:
        """Return how the next run over arrays of this form goes, if each loop is one chunk of what was given."""
        chunks = [self.chunks(facts.plan)[0] for facts in self.code.facts]
        given = {buffer.name: self.arrays[buffer.name] for buffer, _ in self.code.given}
        if any(len(each) != 1 for each in chunks) or any(each is not buffers[name] for name, each in given.items()):
            return None
        made = {buffer.name: self.arrays[buffer.name] for buffer in self.code.made}
        only = [each[0] for each in chunks]
        return Single(self.code, self.sizes, self.table, given, made, only, self.scratch_bytes)

    # one loop

    def loop(self, facts: Facts) -> None:
        """Run a loop over its chunks, and put together what they give."""
        plan = facts.plan
        chunks, points = self.chunks(plan)
        if facts.plain and len(chunks) == 1:
            self.once(facts, chunks[0])
            return
        records = np.empty((1 if plan.ordered else len(chunks), max(1, plan.slots)), np.int64)
        records[:] = np.frombuffer(facts.start, np.int64)
        workers = 1 if plan.ordered or points < SMALL else self.workers
        # alone, each chunk appends where the one before has ended
        on = workers == 1
        most = self.most(plan, chunks, points) if facts.appends else (0, 0)
        appends = {b.id: rooms.columns(plan, b, most, records, on) for b in facts.appends}
        carried = [plan.record[b.id, 0] for b in facts.appends] if on and not plan.ordered else []
        few = max(1, min(TAKEN, TAKEN * CHUNK * len(chunks) // max(1, points)))
        taken = max(1, len(chunks) if on else min(few, len(chunks) // (TURNS * workers)))
        if facts.tables and chunks:
            taken = rooms.chunks_of_a_set(plan, len(chunks), self.size)
        tables = rooms.Tables(plan, self.size, taken, records)
        if chunks:
            driver = Driver(facts.address, self.table.buffer_info()[0], records, chunks, carried, few)

            def work(task: int, worker: int) -> None:
                driver.run(task * taken, min((task + 1) * taken, len(chunks)), self.scratch(worker))

            threads.each(work, -(-len(chunks) // taken), workers)
        for op, dtype, slots, places in facts.merges:
            for place, each in zip(places, combine.merge(op, dtype, records[:, slots]), strict=True):
                self.table[place] = each
        for slot, place in facts.sums:
            self.table[place] = _rounded(records[:, slot : slot + WORDS])
        for builder in facts.appends:
            counts = records[:, plan.record[builder.id, 0]] if chunks else np.zeros(0, np.int64)
            for name, (column, step) in zip(builder.buffers, appends[builder.id], strict=True):
                self.bind(name, rooms.gathered(column, step, counts[-1:] if on else counts, workers))
        for builder in facts.tables:
            self.merged(builder, tables.merged(builder))

    def once(self, facts: Facts, chunk: tuple[int, int, int, int]) -> None:
        """Run a loop of a single chunk: what it merged is the result."""
        record = facts.start[:]
        facts.function(self.table.buffer_info()[0], record.buffer_info()[0], self.scratch(0), *chunk)
        for _, _, slots, places in facts.merges:
            for slot, place in zip(slots, places, strict=True):
                self.table[place] = record[slot]
        for slot, place in facts.sums:
            self.table[place] = _rounded(np.array([record[slot : slot + WORDS]], np.int64))

    def chunks(self, plan: LoopPlan) -> tuple[list[tuple[int, int, int, int]], int]:
        """Return the chunks of a loop, which depend on its sizes alone, and how many points it has."""
        lengths = [self.size(dim.size) for dim in plan.loop.dims]
        if plan.nested or not lengths:
            rows = math.prod(lengths)
            inner = max([1, *self.inner(plan.loop)])
            step = max(1, CHUNK // inner)
            if rows <= step:
                return [(0, rows, 0, 0)] if rows else [], rows * inner
            return [(k, min(k + step, rows), 0, 0) for k in range(0, rows, step)], rows * inner
        rows, last = math.prod(lengths[:-1]), lengths[-1]
        if not rows or not last:
            return [], 0
        if rows * last <= CHUNK:
            return [(0, rows, 0, last)], rows * last
        if last > CHUNK or rows == 1:
            parts = [(k, min(k + CHUNK, last)) for k in range(0, last, CHUNK)]
            return [(row, row + 1, start, stop) for row in range(rows) for start, stop in parts], rows * last
        step = max(1, CHUNK // last)
        return [(k, min(k + step, rows), 0, last) for k in range(0, rows, step)], rows * last

    def inner(self, loop: For) -> list[int]:
        """Return how many points the loops inside a loop have."""
        found = []
        for each in statements(loop.body):
            if isinstance(each, For):
                found.append(math.prod([self.size(dim.size) for dim in each.dims]))
        return found

    def scratch(self, worker: int) -> int:
        """Return the address of a worker's memory for tiles."""
        if not self.scratch_bytes:
            return 0
        found = self.scratches.get(worker)
        if found is None:
            found = self.scratches[worker] = np.empty(self.scratch_bytes + 64, np.uint8)
        return -(-found.ctypes.data // 64) * 64

    def most(self, plan: LoopPlan, chunks: list[tuple[int, int, int, int]], points: int) -> tuple[int, int]:
        """Return how many elements a chunk appends at most, and all of them."""
        most = max([(hi - lo) * max(1, stop - start) for lo, hi, start, stop in chunks], default=0)
        if plan.nested:
            most *= max([1, *self.inner(plan.loop)])
        return most, points

    def merged(self, builder: Builder, parts: list[np.ndarray]) -> None:
        """Put what private tables came to into the builder's buffers."""
        size = self.size(builder.size or 0)
        for name, part in zip(builder.buffers, parts, strict=True):
            buffer = self.program.buffer(name)
            shape = tuple([self.size(d) if not isinstance(d, str) or d in self.sizes else size for d in buffer.shape])
            self.bind(name, np.ascontiguousarray(part.astype(buffer.dtype, copy=False).reshape(shape)))


def _rounded(words: np.ndarray) -> int:
    """Return the word of the float nearest to what long sums (n, WORDS) come to."""
    return int(exact.rounded(exact.merged(words)[None]).view(np.int64)[0])


def _c_strides(shape: tuple[int, ...], item: int) -> tuple[int, ...]:
    found, step = [], item
    for size in reversed(shape):
        found.append(step)
        step *= size
    return tuple(reversed(found))

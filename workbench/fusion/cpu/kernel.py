"""Compiled programs: called over chunks, their parts put together in order."""

from __future__ import annotations

import ctypes
import functools
import math
from array import array
from collections.abc import Callable, Mapping

import numpy as np

from workbench.fusion.cpu import combine, exact, machine, memory, objects, threads
from workbench.fusion.cpu.builders import identity
from workbench.fusion.cpu.emit import emit
from workbench.fusion.cpu.layout import CHUNK, WORDS, Layout, LoopPlan, parts_of, plan_loops
from workbench.fusion.loop import Buffer, Builder, For, If, Program, Store, statements, text

__all__ = ["Compiled", "compile"]

#: below so many points the caller's thread does all
SMALL = 32_768
#: rows for each key that make a set of private tables worth it
ROWS_PER_KEY = 8

_SIGNATURE = [ctypes.c_void_p] * 3 + [ctypes.c_int64] * 4


def compile(program: Program, *, bits: int | None = None) -> Compiled:
    """Return a program as machine code: made now, or kept in the store from another time.

    Raises
    ------
    NotImplementedError
        If there is something in it that is not compiled.
    """
    return Compiled(program, machine.host(bits))


class _Facts:
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
    """

    def __init__(self, plan: LoopPlan, layout: Layout) -> None:
        self.plan = plan
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


class Compiled:
    """Machine code of a program.

    Attributes
    ----------
    program : Program
    cache : str
        "disk" if the code was in the store, else "miss".
    """

    def __init__(self, program: Program, host: machine.Host) -> None:
        self.program, self.host = program, host
        self.plans, self.layout = plan_loops(program), Layout(program)
        content, self.cache = objects.get(text(program), host, lambda: emit(program, host)[0])
        self._code = machine.load(content, host)
        self._functions = [self._code.function(plan.name, *_SIGNATURE) for plan in self.plans]
        self._partly = _partly_written(program)
        self._facts = [_Facts(plan, self.layout) for plan in self.plans]
        filled = {name for loop in program.loops for b in loop.builders for name in (*b.buffers, b.ids)}
        self._made = [b for b in program.buffers if b.role in ("out", "temp") and b.name not in filled]
        self._given = [(b, np.dtype(b.dtype)) for b in program.buffers if b.role == "in"]
        self._tiles = [b for b in program.buffers if b.role == "tile"]
        self._outputs = [b.name for b in program.buffers if b.role == "out"]

    @functools.cached_property
    def asm(self) -> str:
        """The assembly, made anew to be read."""
        return str(machine.object_code(emit(self.program, self.host)[0], self.host, assembly=True))

    def run(
        self, buffers: Mapping[str, np.ndarray], sizes: Mapping[str, int], threads: int = 1, check: bool = False
    ) -> dict[str, np.ndarray]:
        """Run the program.

        Parameters
        ----------
        buffers : mapping of str to ndarray
            Its inputs.
        sizes : mapping of str to int
        threads : int
            How many may work; the result does not depend on it.
        check : bool
            Not used here: checking compares values.

        Returns
        -------
        dict of str to ndarray
            Its outputs.
        """
        return _Run(self, buffers, sizes, threads).outputs()


class _Run:
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
        for buffer, dtype in code._given:
            self.bind(buffer.name, self.fitting(buffer, dtype, buffers[buffer.name]))
        for buffer in code._tiles:
            shape = tuple([self.size(d) for d in buffer.shape])
            self.table[self.layout.addresses[buffer.name]] = self.scratch_bytes
            self.strides(buffer.name, _c_strides(shape, np.dtype(buffer.dtype).itemsize))
            # A vector may reach beyond the end.
            self.scratch_bytes += -(-(math.prod(shape) * 8 + 256) // 64) * 64
        for buffer in code._made:
            make = memory.zeros if buffer.name in code._partly else memory.empty
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
        self.table[self.layout.addresses[name]] = array.__array_interface__["data"][0]
        self.strides(name, array.strides)

    def strides(self, name: str, strides: tuple[int, ...]) -> None:
        start = self.layout.strides[name]
        for k, stride in enumerate(strides):
            self.table[start + k] = stride

    def outputs(self) -> dict[str, np.ndarray]:
        for facts, function in zip(self.code._facts, self.code._functions, strict=True):
            self.loop(facts, function)
        return {name: self.arrays[name] for name in self.code._outputs}

    # one loop

    def loop(self, facts: _Facts, function: Callable[..., None]) -> None:
        """Run a loop over its chunks, and put together what they give."""
        plan = facts.plan
        chunks, points = self.chunks(plan)
        if facts.plain and len(chunks) == 1:
            self.once(facts, function, chunks[0])
            return
        records = np.empty((1 if plan.ordered else len(chunks), max(1, plan.slots)), np.int64)
        records[:] = np.frombuffer(facts.start, np.int64)
        workers = 1 if plan.ordered or points < SMALL else self.workers
        # alone, each chunk appends where the one before has ended
        on = workers == 1
        appends = {b.id: self.appended(plan, b, chunks, records, points if on else 0) for b in facts.appends}
        counts_at = [plan.record[b.id, 0] for b in facts.appends] if on and not plan.ordered else []
        groups = 1 if plan.ordered else len(chunks)
        tables = {}
        if facts.tables and chunks:
            groups = self.groups(plan, len(chunks))
        per_group = -(-len(chunks) // groups) if chunks else 1
        for builder in facts.tables:
            tables[builder.id] = self.tables(plan, builder, groups, per_group, records)
        record_at, width = records.ctypes.data, records.shape[1] * 8
        table_at, ordered = self.table.buffer_info()[0], plan.ordered

        def work(group: int, worker: int) -> None:
            scratch = self.scratch(worker)
            for k in range(group * per_group, min((group + 1) * per_group, len(chunks))):
                lo, hi, start, stop = chunks[k]
                if k:
                    for slot in counts_at:
                        records[k, slot] = records[k - 1, slot]
                function(table_at, record_at + (0 if ordered else k * width), scratch, lo, hi, start, stop)

        if chunks:
            threads.each(work, groups, workers)
        for op, dtype, slots, places in facts.merges:
            for place, each in zip(places, combine.merge(op, dtype, records[:, slots]), strict=True):
                self.table[place] = each
        for slot, place in facts.sums:
            self.table[place] = _rounded(records[:, slot : slot + WORDS])
        for builder in facts.appends:
            counts = records[:, plan.record[builder.id, 0]] if chunks else np.zeros(0, np.int64)
            for name, (column, step) in zip(builder.buffers, appends[builder.id], strict=True):
                self.bind(name, _gathered(column, step, counts[-1:] if on else counts, workers))
        for builder in facts.tables:
            self.finish(plan, builder, tables[builder.id])

    def once(self, facts: _Facts, function: Callable[..., None], chunk: tuple[int, int, int, int]) -> None:
        """Run a loop of a single chunk: what it merged is the result."""
        record = facts.start[:]
        function(self.table.buffer_info()[0], record.buffer_info()[0], self.scratch(0), *chunk)
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

    # builders

    def appended(
        self,
        plan: LoopPlan,
        builder: Builder,
        chunks: list[tuple[int, int, int, int]],
        records: np.ndarray,
        together: int,
    ) -> list[tuple[np.ndarray, int]]:
        """Make room for what chunks append; return the columns, and the room of one chunk.

        `together` is the most that all of them append one after another in the same room; 0: each has a room.
        """
        most = max([(hi - lo) * max(1, stop - start) for lo, hi, start, stop in chunks], default=0)
        if plan.nested:
            most *= max([1, *self.inner(plan.loop)])
        step = 64 + (together or most)  # a vector may reach beyond the end
        rooms = 1 if together else len(records)
        if len(records):
            records[:, plan.record[builder.id, 0]] = 0
        columns = []
        for k, dtype in enumerate(builder.dtypes):
            column = memory.empty((step * rooms,), dtype)
            room = np.minimum(np.arange(len(records), dtype=np.int64), rooms - 1)
            records[:, plan.record[builder.id, 1 + k]] = room * (step * column.itemsize) + column.ctypes.data
            columns.append((column, step))
        return columns

    def groups(self, plan: LoopPlan, count: int) -> int:
        """Return how many sets of private tables there are: depends on sizes alone."""
        words = [(b, WORDS if b.id in plan.exact else len(parts_of(b))) for b in plan.tables]
        size = sum((self.size(b.size or 0) + 1) * 8 * many for b, many in words)
        keys = max([self.size(b.size or 0) for b in plan.tables])
        # a set that few rows come to costs more than it saves: each of its keys is brought in, and merged
        worth = CHUNK * count // (ROWS_PER_KEY * keys + 1)
        most = max(1, min(combine.GROUPS, combine.MOST_BYTES // size, worth))
        per_group = -(-count // min(most, count))
        return -(-count // per_group)

    def tables(
        self, plan: LoopPlan, builder: Builder, groups: int, per_group: int, records: np.ndarray
    ) -> list[np.ndarray]:
        """Make private tables of a builder; return for each part an array of groups, keys and copies."""
        size = self.size(builder.size or 0)
        made = []
        if builder.id in plan.exact:
            sums = memory.zeros((groups, size + 1, WORDS), np.int64)
            which = np.minimum(np.arange(len(records)) // per_group, groups - 1)
            records[:, plan.record[builder.id, 0]] = sums.ctypes.data + which * sums.strides[0]
            return [sums]
        copies = 1 if builder.id in plan.columns else combine.copies(builder, size)
        for k, (op, dtype, part) in enumerate(parts_of(builder)):
            table = memory.empty((groups, size + 1, copies), dtype)
            table[...] = (
                np.asarray(identity(op, dtype, part)).astype(dtype)
                if dtype != "uint64"
                else np.uint64(identity(op, dtype, part))
            )
            which = np.minimum(np.arange(len(records)) // per_group, groups - 1)
            records[:, plan.record[builder.id, 3 * k]] = table.ctypes.data + which * table.strides[0]
            records[:, plan.record[builder.id, 3 * k + 1]] = table.strides[1].bit_length() - 1
            records[:, plan.record[builder.id, 3 * k + 2]] = table.itemsize if copies > 1 else 0
            made.append(table)
        return made

    def finish(self, plan: LoopPlan, builder: Builder, made: list[np.ndarray]) -> None:
        """Merge private tables into the builder's buffers."""
        size = self.size(builder.size or 0)
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
        for name, part in zip(builder.buffers, found, strict=True):
            buffer = self.program.buffer(name)
            shape = tuple([self.size(d) if not isinstance(d, str) or d in self.sizes else size for d in buffer.shape])
            self.bind(name, np.ascontiguousarray(part.astype(buffer.dtype, copy=False).reshape(shape)))


def _rounded(words: np.ndarray) -> int:
    """Return the word of the float nearest to what long sums (n, WORDS) come to."""
    return int(exact.rounded(exact.merged(words)[None]).view(np.int64)[0])


def _gathered(array: np.ndarray, step: int, counts: np.ndarray, workers: int) -> np.ndarray:
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


def _c_strides(shape: tuple[int, ...], item: int) -> tuple[int, ...]:
    found, step = [], item
    for size in reversed(shape):
        found.append(step)
        step *= size
    return tuple(reversed(found))


def _partly_written(program: Program) -> set[str]:
    """Return the buffers of which a run may leave elements unset."""
    found = set()
    for loop in program.loops:
        for each in statements(loop.body):
            if isinstance(each, If):
                found |= {inner.buffer for inner in statements(each.body) if isinstance(inner, Store)}
            elif isinstance(each, Store) and (each.pred is not None or any(isinstance(i, int) for i in each.index)):
                found.add(each.buffer)
            elif isinstance(each, Store) and each.index:
                indexes = [i for i in each.index if not isinstance(i, int)]
                # one that is moved by sizes is one of several that write all
                moved = any(name in program.sizes for i in indexes for name, _ in i.terms)
                steps = [[by for name, by in i.terms if name not in program.sizes] for i in indexes]
                if any(by != [1] for by in steps) or (not moved and any(i.offset for i in indexes)):
                    found.add(each.buffer)
    return found

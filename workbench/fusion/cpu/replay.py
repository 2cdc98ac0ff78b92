"""A program run again and again on arrays of one form, wherever they are: what does not change is worked out once.

Where results lie is the caller's to say. What lies between, and what loops merge into, is memory that stays: one run at
a time.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np

from workbench.fusion.cpu import combine, rooms, team, threads
from workbench.fusion.cpu.address import address
from workbench.fusion.cpu.driver import Driver
from workbench.fusion.cpu.execution import SMALL, Execution, Facts
from workbench.fusion.cpu.layout import CHUNK
from workbench.fusion.cpu.script import Script

if TYPE_CHECKING:
    from workbench.fusion.cpu.kernel import Compiled

__all__ = ["Replay"]

#: bytes of memory between loops, and of tables, beyond which it is not kept from run to run
MOST = 1 << 18
#: as `Execution.loop`
TAKEN, TURNS = 8, 16
#: chunks of a loop that are run without coming back: an interrupt waits for them
TOGETHER = 64


class Replay(Execution):
    """A program on arrays of one form.

    Parameters
    ----------
    code : Compiled
    buffers : mapping of str to ndarray
        Inputs like those that it runs on, and memory like that of its outputs.
    sizes : mapping of str to int
    whole : collection of str
        Buffers of which every element is written, though no single loop does.

    Attributes
    ----------
    moved : list of (str, int)
        Buffers of the caller, and the slot of the table that has the address of each.
    fits : bool
        Whether all that it does is known before: nothing is appended, no input is copied first, it is no large work.
    """

    def __init__(
        self,
        code: Compiled,
        buffers: Mapping[str, np.ndarray],
        sizes: Mapping[str, int],
        whole: Collection[str] = (),
    ) -> None:
        super().__init__(code, buffers, sizes, 1)
        tables = [(b, facts) for facts in code.facts for b in facts.tables]
        for builder, _ in tables:
            for name in builder.buffers:
                buffer = code.program.buffer(name)
                own = buffers.get(name)
                if own is None:
                    own = np.empty([self.size(d) for d in buffer.shape], buffer.dtype)
                self.bind(name, own)
        slots = self.layout.addresses
        self.moved = [(name, slots[name]) for name in self.arrays if name in buffers]
        between = [each.nbytes for name, each in self.arrays.items() if name not in buffers]
        self.fits = sum(between) <= MOST and code.partly <= set(whole)
        self.fits &= not any(facts.appends or facts.sums for facts in code.facts)
        self.fits &= all(self.arrays[b.name] is buffers[b.name] for b, _ in code.given)
        #: buffers of the caller that have to be in `arrays` when it runs
        self.asked: list[str] = []
        self.parts: list[Callable[[int], None]] = []
        self.script: Script | None = None
        #: lines of scripts that copy to memory of the caller: buffer, script, word
        self.copies: list[tuple[str, Script, int]] = []
        #: loops that threads share, and for how many threads they are set up
        self.shared: list[_Shared] = []
        self.workers = 0
        if self.fits:
            for facts in code.facts:
                self.fits &= self._add(facts)

    def run(self, workers: int) -> None:
        """Run it, the addresses of the caller's buffers being in the table and in what `copies` tells of."""
        if workers != self.workers or team.here() is None:
            self.workers = workers
            for each in self.shared:
                each.fit(1 if team.here() is None else workers)
        for part in self.parts:
            part(workers)

    def _add(self, facts: Facts) -> bool:
        chunks = self.chunks(facts.plan)[0]
        if not chunks:
            return False
        tables = _Tables(self, facts, len(chunks)) if facts.tables else None
        if tables is not None and tables.bytes > MOST:
            return False
        if len(chunks) > 1:
            if self._together(facts, chunks, tables):
                return True
            self.script = None
            self.parts.append(_Chunks(self, facts, tables))
            self.asked += [name for b in facts.tables for name in b.buffers]
            return True
        script = self._script()
        start = np.frombuffer(facts.start, np.int64) if tables is None else tables.records[0].copy()
        record = start.copy()
        script.copy(address(record), address(start), start.nbytes, (record, start, self))
        if tables is not None:
            tables.reset(script)
        table = self.table.buffer_info()[0]
        script.call(facts.address, table, address(record), self.scratch(0), chunks[0], (facts, tables))
        for _, _, slots, places in facts.merges:
            for slot, place in zip(slots, places, strict=True):
                script.copy(table + 8 * place, address(record) + 8 * slot, 8, record)
        if tables is not None and not tables.simple:
            self.script = None
            self.parts.append(lambda workers: tables.settle())
            self.asked += [name for b in facts.tables for name in b.buffers]
        elif tables is not None:
            for name, found in tables.results():
                word = script.copy(address(self.arrays[name]), address(found), found.nbytes, (found, self.arrays[name]))
                self.copies.append((name, script, word))
        return True

    def _script(self) -> Script:
        """Return the script that the next lines belong to."""
        if self.script is None:
            script = self.script = Script()
            self.parts.append(lambda workers: script())
        return self.script

    def _together(self, facts: Facts, chunks: list[tuple[int, int, int, int]], tables: _Tables | None) -> bool:
        """Add a loop of several chunks to the script, if nothing of it needs Python; return whether it is."""
        found = team.here()
        if found is None or facts.merges or len(chunks) > TOGETHER or not (tables is None or tables.added(self.arrays)):
            return False
        loop = _Chunks(self, facts, tables)
        script = self._script()
        script.copy(address(loop.records), address(loop.start), loop.start.nbytes, loop)
        if tables is not None:
            tables.reset(script)
        self.shared.append(_Shared(loop, script, found))
        if tables is not None:
            for name, table in tables.whole():
                self.copies.append((name, script, script.add(table, self.arrays[name])))
        return True


class _Shared:
    """A loop of several chunks as a line of a script."""

    def __init__(self, loop: _Chunks, script: Script, found: team.Team) -> None:
        self.loop, self.script, self.team = loop, script, found
        self.words = self._words(1)
        self.at = script.share(self.words, 1, found.calls, self)

    def fit(self, workers: int) -> None:
        """Set it up for so many threads."""
        workers = 1 if self.loop.alone else workers
        self.words = self._words(workers)
        self.script.words[self.at], self.script.words[self.at - 2] = workers, self.words.buffer_info()[0]

    def _words(self, workers: int) -> array[int]:
        loop, driver = self.loop, self.loop.driver
        scratches = [loop.replay.scratch(k) for k in range(workers)]
        chunks = (0, len(loop.chunks), loop.taken(workers))
        records = (driver.records, driver.width)
        return self.team.shared(driver.function, driver.table, records, driver.bounds, chunks, scratches)


class _Tables(rooms.Tables):
    """Private tables of a loop that are used again."""

    def __init__(self, run: Replay, facts: Facts, chunks: int) -> None:
        plan = facts.plan
        self.taken = rooms.chunks_of_a_set(plan, chunks, run.size)
        records = np.empty((1 if plan.ordered else chunks, max(1, plan.slots)), np.int64)
        records[:] = np.frombuffer(facts.start, np.int64)
        super().__init__(plan, run.size, self.taken, records)
        self.facts, self.run = facts, run
        self.fresh = [(table, table.copy()) for _, table in self.told]
        self.bytes = sum(table.nbytes for table, _ in self.fresh)
        one = self.sets == 1
        plain = [b for b in facts.tables if one and b.kind == "vecmerge" and set(b.ops) <= set(combine.SIMPLE)]
        #: what is merged by one function each: tables (copies, keys) and the buffers of their results
        self.sums = [
            (combine.SIMPLE[op], self.made[b.id, k][0][:, : run.size(b.size or 0)], b.buffers[k])
            for b in plain
            for k, op in enumerate(b.ops)
        ]
        self.others = [b for b in facts.tables if b not in plain]
        #: whether the tables are the results
        self.simple = all(
            b.kind == "vecmerge" and b.id in plan.columns and len(b.ops) == 1 and len(b.buffers) == 1
            and self.made[b.id, 0].shape[:2] == (1, 1) and (b.id, 1) not in self.made
            and self.made[b.id, 0].dtype == run.program.buffer(b.buffers[0]).dtype
            for b in facts.tables
        )  # fmt: skip

    def reset(self, script: Script) -> None:
        """Have a script empty the tables."""
        for table, fresh in self.fresh:
            script.copy(table.ctypes.data, fresh.ctypes.data, table.nbytes, (table, fresh))

    def empty(self) -> None:
        """Empty the tables."""
        for table, fresh in self.fresh:
            np.copyto(table, fresh)

    def whole(self) -> list[tuple[str, np.ndarray]]:
        """Return tables (sets, copies, keys), and the buffers that they are added up into."""
        return [
            (b.buffers[k], self.made[b.id, k][:, :, : self.size(b.size or 0)])
            for b in self.facts.tables
            for k in range(len(b.ops))
        ]

    def added(self, arrays: Mapping[str, np.ndarray]) -> bool:
        """Whether adding up tables is all there is to do."""
        plain = all(b.kind == "vecmerge" and set(b.ops) == {"+"} for b in self.facts.tables)
        plain = plain and not any(b.id in self.plan.exact for b in self.facts.tables)
        return plain and all(Script.adds(table, arrays[name]) for name, table in self.whole())

    def settle(self) -> None:
        """Write what the tables come to into the results."""
        arrays = self.run.arrays
        for merge, table, name in self.sums:
            found = arrays[name]
            np.copyto(found, merge.reduce(table, axis=0, dtype=table.dtype).reshape(found.shape), casting="unsafe")
        for builder in self.others:
            for name, part in zip(builder.buffers, self.merged(builder), strict=True):
                found = arrays[name]
                np.copyto(found, part.reshape(found.shape), casting="unsafe")

    def results(self) -> list[tuple[str, np.ndarray]]:
        """Return the results by buffer, as they are the tables."""
        found = []
        for b in self.facts.tables:
            table = self.made[b.id, 0][0, 0]
            found.append((b.buffers[0], table[: self.size(b.size or 0)]))
        return found


class _Chunks:
    """A loop of several chunks."""

    def __init__(self, run: Replay, facts: Facts, tables: _Tables | None) -> None:
        self.replay, self.facts, self.tables = run, facts, tables
        plan = facts.plan
        self.ordered = plan.ordered
        self.chunks, points = run.chunks(plan)
        if tables is not None:
            self.records = tables.records
        else:
            self.records = np.empty((1 if plan.ordered else len(self.chunks), max(1, plan.slots)), np.int64)
            self.records[:] = np.frombuffer(facts.start, np.int64)
        self.start = self.records.copy()
        self.alone = plan.ordered or points < SMALL
        few = max(1, min(TAKEN, TAKEN * CHUNK * len(self.chunks) // max(1, points)))
        self.few = few
        self.driver = Driver(facts.address, run.table.buffer_info()[0], self.records, self.chunks, [], few)
        self.driver.watch = None

    def taken(self, workers: int) -> int:
        """Return how many chunks a thread takes at a time."""
        if self.tables is not None:
            return self.tables.taken
        many = len(self.chunks)
        return max(1, many if workers == 1 else min(self.few, many // (TURNS * workers)))

    def __call__(self, workers: int) -> None:
        facts, tables, run, driver = self.facts, self.tables, self.replay, self.driver
        np.copyto(self.records, self.start)
        if tables is not None:
            tables.empty()
        workers = 1 if self.alone else workers
        many, taken = len(self.chunks), self.taken(workers)
        if workers == 1 and tables is None:
            driver.run(0, many, run.scratch(0))
        elif workers > 1 and taken < many and (found := team.here()) is not None:
            # always all threads: OpenMP ends those that are left out, and starts them anew for who comes next
            driver.share(found, many, taken, [run.scratch(k) for k in range(workers)])
        else:

            def work(task: int, worker: int) -> None:
                driver.run(task * taken, min((task + 1) * taken, many), run.scratch(worker))

            threads.each(work, -(-many // taken), workers)
        for op, dtype, slots, places in facts.merges:
            for place, each in zip(places, combine.merge(op, dtype, self.records[:, slots]), strict=True):
                run.table[place] = each
        if tables is not None:
            tables.settle()

"""Loops as code: over rows, along vectors, in blocks where lanes are folded."""

from __future__ import annotations

from workbench.fusion.cpu.access import Access
from workbench.fusion.cpu.builders import State, Vectors
from workbench.fusion.cpu.exact import ExactLanes, ExactState
from workbench.fusion.cpu.ir import Value
from workbench.fusion.cpu.layout import BLOCK
from workbench.fusion.cpu.machine import Host
from workbench.fusion.loop import Dim, For, Instr, Merge, Statement, statements

__all__ = ["Walk"]

#: operations that are not worth a register for as long as a loop runs
_FREE = frozenset({"const", "size", "index", "load", "result", "cast"})
#: statements of a loop that does little but wait for memory
PAIRED = 4


class Walk(Access):
    """The part of an emitter that goes through the points of a loop."""

    host: Host
    states: dict[int, State | ExactState]
    vectors: dict[tuple[int, int], Vectors | ExactLanes]
    safe_keys: dict[int, tuple[int, Value | None, Value]]
    lanes_of: dict[tuple[str, int], list[Value]]
    #: values that were written before the loop that they are in
    done: set[int]

    def block(self, body: tuple[Statement, ...]) -> None:
        raise NotImplementedError

    def accumulators(self, loop: For) -> dict[tuple[int, int], Vectors | ExactLanes]:
        raise NotImplementedError

    def rows(self, loop: For, outermost: bool) -> None:
        """Write a loop that goes point by point."""
        if not loop.dims:
            self.block(loop.body)
        elif outermost:
            with self.counting(self.argument("lo"), self.argument("hi"), 1) as row:
                self.unravel(loop.dims, row)
                self.block(loop.body)
        else:
            self.over(list(loop.dims), lambda: self.block(loop.body))

    def argument(self, name: str) -> Value:
        """Return one of the function's numbers."""
        return Value(self.code, f"%{name}", "i64", 0)

    def unravel(self, dims: tuple[Dim, ...], row: Value) -> None:
        """Set the dimensions from a row-major position."""
        for dim in reversed(dims[1:]):
            size = self.size(dim.size)
            self.scalars[dim.name] = row.op("urem", size)
            row = row.op("udiv", size)
        if dims:
            self.scalars[dims[0].name] = row

    def over(self, dims: list[Dim], body: object) -> None:
        """Write loops over dimensions, one inside the other."""
        if not dims:
            assert callable(body)
            body()
            return
        with self.counting(self.int64(0), self.size(dims[0].size), 1) as i:
            self.scalars[dims[0].name] = i
            self.over(dims[1:], body)

    def vector(self, loop: For, outermost: bool) -> None:
        """Write an innermost loop: vectors along its last dimension."""
        last = loop.dims[-1]
        if outermost:
            with self.counting(self.argument("lo"), self.argument("hi"), 1) as row:
                self.unravel(loop.dims[:-1], row)
                self.line(loop, last, self.argument("from"), self.argument("to"))
        else:
            self.over(list(loop.dims[:-1]), lambda: self.line(loop, last, self.int64(0), self.size(last.size)))

    def line(self, loop: For, last: Dim, start: Value, end: Value) -> None:
        """Write the vectors of one line: in blocks where lanes are folded."""
        before = dict(self.values)
        self.once(loop, last)
        self.vectors = self.accumulators(loop)
        if any(v.blocked for v in self.vectors.values()):
            if self._pairs(loop):
                start = self.pairs(loop, last, start, end)
            with self.counting(start, end, BLOCK) as begin:
                bound = begin + BLOCK
                stop = bound.lt(end).where(bound, end)
                self.lines(loop, last, begin, stop)
        else:
            self.lines(loop, last, start, end)
        self.vectors, self.values, self.done = {}, before, set()

    def once(self, loop: For, last: Dim) -> None:
        """Write what is the same for all points of a line before its loop, and note what that is.

        Constants cost nothing, and loads little: only computing is worth a register, and what it needs.
        """
        own = {each.id for each in loop.body if isinstance(each, Instr)}
        same: dict[int, Instr] = {}
        needed: set[int] = set()
        for each in loop.body:
            if (
                not isinstance(each, Instr)
                or each.op == "scan"
                or not all(a in same or a not in own for a in each.args)
            ):
                continue
            places = [index for index in each.index if not isinstance(index, int)]
            moves = len(places) < len(each.index) or any(name == last.name for at in places for name, _ in at.terms)
            if moves or (each.op == "index" and each.name == last.name):
                continue
            same[each.id] = each
            if each.op not in _FREE:
                needed.add(each.id)
        for each in reversed(list(same.values())):
            if each.id in needed:
                needed.update(arg for arg in each.args if arg in same)
        self.block(tuple(each for key, each in same.items() if key in needed))
        self.done = needed

    def _pairs(self, loop: For) -> bool:
        """Whether a loop waits for memory alone: then two blocks at a time, as two streams come faster than one."""
        body = list(statements(loop.body))
        simple = all(isinstance(each, Merge) or (isinstance(each, Instr) and each.op != "scan") for each in body)
        ours = all(isinstance(v, Vectors) and v.blocked and not v.moments for v in self.vectors.values())
        return (
            simple and ours and len(loop.dims) == 1 and len(body) <= PAIRED and len(loop.builders) == len(self.states)
        )

    def pairs(self, loop: For, last: Dim, start: Value, end: Value) -> Value:
        """Write whole blocks two by two; return where the rest begins. Each is folded as if it came alone."""
        first, second = self.vectors, self.accumulators(loop)
        rest = start + ((end - start) & -(2 * BLOCK))
        with self.counting(start, rest, 2 * BLOCK) as begin:
            middle = begin + BLOCK
            for vectors in (*first.values(), *second.values()):
                vectors.begin(begin)
            self.along, before = last.name, dict(self.values)
            with self.counting(begin, middle, self.lanes) as j:
                for self.vectors, at in ((first, j), (second, j + BLOCK)):
                    self.scalars[last.name] = at
                    self.block(loop.body)
                    for vectors in self.vectors.values():
                        vectors.turn()
            self.along, self.values, self.vectors = None, before, first
            for vectors in first.values():
                vectors.fold(begin, middle)
            for vectors in second.values():
                vectors.fold(middle, begin + 2 * BLOCK)
        return rest

    def lines(self, loop: For, last: Dim, start: Value, end: Value) -> None:
        """Write the vectors between two points, then fold what they merged."""
        for vectors in self.vectors.values():
            vectors.begin(start)
        self.along = last.name
        before = dict(self.values)
        if self.host.avx512 and self.host.bits == 512:
            self.vectors_between(loop, last, start, end, masked=True)
        else:
            # Masks are slow here: whole vectors without, then one with.
            count = end - start
            whole = start + (count & -self.lanes)
            self.vectors_between(loop, last, start, whole, masked=False)
            self.values = dict(before)
            self.vectors_between(loop, last, whole, end, masked=True)
        self.along, self.live, self.values = None, None, before
        for vectors in self.vectors.values():
            vectors.fold(start, end)

    def vectors_between(self, loop: For, last: Dim, start: Value, end: Value, masked: bool) -> None:
        """Write the loop over vectors itself."""
        with self.counting(start, end, self.lanes) as j:
            self.scalars[last.name] = j
            self.live = self.splat(end - j).compare("ugt", self.iota()) if masked else None
            self.safe_keys, self.lanes_of = {}, {}
            self.block(loop.body)
            for vectors in self.vectors.values():
                vectors.turn()

"""Builders of single values as code: accumulators in vectors, folded into the value of a loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.fusion.cpu import operations
from workbench.fusion.cpu.ir import BITS, Value, constant, llvm_type
from workbench.fusion.cpu.layout import BLOCK, LANES, parts_of
from workbench.fusion.loop import Builder

if TYPE_CHECKING:
    from workbench.fusion.cpu.emit import Emitter, Variable

__all__ = ["Recorded", "State", "Vectors", "alone", "identity", "merged"]


def identity(op: str, dtype: str, part: int = 0) -> float | int | bool:
    """Return what a part of a merge begins with."""
    if part:
        return -1 if op != "moments" else 0.0
    kind = operations.kind_of(dtype)
    if op in ("+", "moments", "first", "last", "argmin", "argmax", "or"):
        return 0
    if op in ("*", "and"):
        return 1
    low = op == "max"
    if kind[0] == "f":
        return float("-inf") if low else float("inf")
    if kind == "i1":
        return not low
    bits = BITS[kind]
    if operations.signed(dtype):
        return -(1 << (bits - 1)) if low else (1 << (bits - 1)) - 1
    return 0 if low else (1 << bits) - 1


def merged(op: str, dtype: str, a: list[Value], b: list[Value]) -> list[Value]:
    """Return the parts of two merges as one; of equal values the one at the lesser position counts."""
    sign = operations.signed(dtype)
    x, y = a[0], b[0]
    if op == "+":
        return [x | y if x.kind == "i1" else x + y]
    if op == "*":
        return [x & y if x.kind == "i1" else x * y]
    if op == "and":
        return [x & y]
    if op == "or":
        return [x | y]
    if op == "min":
        return [operations.minimum(x, y, sign)]
    if op == "max":
        return [operations.maximum(x, y, sign)]
    if op == "moments":
        return _moments(a, b)
    here, there = a[1], b[1]
    if op == "first":
        take = here.lt(0) | (there.ge(0) & there.lt(here))
    elif op == "last":
        take = there.gt(here)
    else:
        better, equal = _better(op, y, x, sign), y.eq(x)
        if x.floating:
            equal = equal | (x.is_nan() & y.is_nan())
        take = there.ge(0) & (here.lt(0) | better | (equal & there.lt(here)))
    return [take.where(y, x), take.where(there, here)]


def _better(op: str, y: Value, x: Value, sign: bool) -> Value:
    """Return where y goes before x: NaN goes before all."""
    if x.floating:
        order = y.lt(x) if op == "argmin" else y.gt(x)
        return order | (y.is_nan() & x.compare("ord", x))
    if not sign:
        return y.compare("ult" if op == "argmin" else "ugt", x)
    return y.lt(x) if op == "argmin" else y.gt(x)


def _moments(a: list[Value], b: list[Value]) -> list[Value]:
    """Return count, mean and sum of squared deviations of two sets as one (Chan)."""
    total = a[0] + b[0]
    some = total.gt(0.0)
    safe = some.where(total, 1.0)
    delta = b[1] - a[1]
    share = b[0] / safe
    none = a[0].eq(0.0)
    mean = none.where(b[1], a[1] + delta * share)
    spread = a[2] + b[2] + delta * delta * a[0] * share
    spread = none.where(b[2], b[0].eq(0.0).where(a[2], spread))
    return [total, b[0].eq(0.0).where(a[1], mean), spread]


class Recorded:
    """A builder with words of its own in the record of a chunk, which is at `%p`."""

    def __init__(self, emitter: Emitter, builder: Builder) -> None:
        self.emitter, self.builder = emitter, builder

    def _place(self, k: int) -> Value:
        slot = self.emitter.plan.record[self.builder.id, k]
        return self.emitter.code.value("ptr", 0, f"getelementptr i64, ptr %p, i64 {slot}")

    def _record(self, k: int) -> Value:
        return self.emitter.code.value("i64", 0, f"load i64, ptr {self._place(k).ref}, align 8")


class State(Recorded):
    """Single values that a loop merges into.

    Parameters
    ----------
    emitter : Emitter
    builder : Builder
    outermost : bool
        Whether they go on from one chunk's record, and back to it.
    """

    def __init__(self, emitter: Emitter, builder: Builder, outermost: bool) -> None:
        super().__init__(emitter, builder)
        self.parts = parts_of(builder)
        self.variables: list[Variable] = []
        self.starts: list[int] = []
        for k, (op, dtype, part) in enumerate(self.parts):
            if not part:
                self.starts.append(k)
            kind = operations.kind_of(dtype)
            start: Value | str = constant(kind, identity(op, dtype, part))
            if outermost:
                start = emitter.narrow(self._record(k), kind)
            self.variables.append(emitter.slot(kind, start))

    def value(self, part: int) -> Value:
        """Return a part of what was merged."""
        return self.variables[part].get()

    def keep(self) -> None:
        """Write the values to the chunk's record."""
        for k, variable in enumerate(self.variables):
            wide = self.emitter.widened(variable.get())
            self.emitter.code.line(f"store i64 {wide.ref}, ptr {self._place(k).ref}, align 8")

    def of(self, k: int) -> list[Variable]:
        """Return the variables of the k-th op."""
        end = self.starts[k + 1] if k + 1 < len(self.starts) else len(self.variables)
        return self.variables[self.starts[k] : end]

    def combine(self, k: int, parts: list[Value]) -> None:
        """Merge the parts of another set of elements, as scalars."""
        variables = self.of(k)
        op, dtype = self.builder.ops[k], self.builder.dtypes[k]
        for variable, value in zip(variables, merged(op, dtype, [v.get() for v in variables], parts), strict=True):
            variable.set(value)

    def one(self, k: int, x: Value, pred: Value | None, position: Value) -> None:
        """Merge lane 0, where its predicate holds."""
        emitter = self.emitter
        parts = [emitter.first(each) for each in alone(self.builder.ops[k], x, position)]
        if pred is None:
            self.combine(k, parts)
            return
        with emitter.only_if(emitter.first(pred)):
            self.combine(k, parts)

    def scan(self, x: Value, live: Value | None) -> Value:
        """Return the running values of a vector, and go on from its last one."""
        emitter, code = self.emitter, self.emitter.code
        op, dtype = self.builder.ops[0], self.builder.dtypes[0]
        start = x.like(identity(op, dtype))
        if live is not None:
            x = live.where(x, start)
        variable = self.variables[0]
        if emitter.along is None:
            total = merged(op, dtype, [variable.get()], [emitter.first(x)])[0]
            variable.set(total)
            return emitter.splat(total)
        if emitter.program.exact and x.floating:
            return self._one_by_one(x)
        step = 1
        while step < x.lanes:
            order = [k + x.lanes - step for k in range(x.lanes)]  # of the identity, then x: x moved up by `step`
            order = [k if k < step else x.lanes + k - step for k in range(x.lanes)]
            items = ", ".join(f"i32 {k}" for k in order)
            moved = code.value(
                x.kind,
                x.lanes,
                f"shufflevector {x.type} {start.ref}, {x.type} {x.ref}, <{x.lanes} x i32> <{items}>",
            )
            x = merged(op, dtype, [moved], [x])[0]
            step *= 2
        x = merged(op, dtype, [emitter.splat(variable.get())], [x])[0]
        variable.set(emitter.lane(x, emitter.int64(x.lanes - 1)))
        return x

    def _one_by_one(self, x: Value) -> Value:
        """Return the running values of a vector as they are without reassociation."""
        emitter, variable = self.emitter, self.variables[0]
        total, found = variable.get(), "poison"
        for k in range(x.lanes):
            total = merged(self.builder.ops[0], self.builder.dtypes[0], [total], [emitter.lane(x, emitter.int64(k))])[0]
            found = emitter.code.value(
                x.kind, x.lanes, f"insertelement {x.type} {found}, {total.type} {total.ref}, i32 {k}"
            ).ref
        variable.set(total)
        return Value(emitter.code, found, x.kind, x.lanes)


def alone(op: str, x: Value, position: Value) -> list[Value]:
    """Return the parts of a merge of one element."""
    if op == "moments":
        return [x.like(1.0), x, x - x]  # NaN of what has no deviation, else 0
    if op in ("first", "last", "argmin", "argmax"):
        return [x, position]
    return [x]


class Vectors:
    """The accumulators of one op within an innermost loop, a vector each.

    Sums and products of floats have 32 logical lanes: with vectors of fewer, several accumulators take turns, which
    also hides how long an addition takes. They are folded each block.
    """

    def __init__(self, emitter: Emitter, state: State, k: int) -> None:
        self.emitter, self.state, self.k = emitter, state, k
        self.op, self.dtype = state.builder.ops[k], state.builder.dtypes[k]
        self.kind = operations.kind_of(self.dtype)
        self.moments = self.op == "moments"
        self.blocked = self.moments or (self.op == "+" and self.kind[0] == "f")
        lanes = emitter.lanes
        self.turns = LANES // lanes if self.blocked or (self.op == "*" and self.kind[0] == "f") else 1
        if self.moments:
            self.tile, self.there = emitter.array("f64", BLOCK), emitter.array("i8", BLOCK)
            self.count = emitter.slot("i64", None, lanes)
            self.start = emitter.int64(0)
        names = [(self.op, self.dtype, 0)] if self.moments else list(self._parts())
        self.sets = [
            [emitter.slot(operations.kind_of(dtype), None, lanes) for _, dtype, _ in names] for _ in range(self.turns)
        ]

    def _parts(self) -> list[tuple[str, str, int]]:
        first = self.state.starts[self.k]
        return self.state.parts[first : first + len(self.state.of(self.k))]

    def _zero(self) -> list[str]:
        found = []
        for k, variable in enumerate(self.sets[0]):
            value = 0.0 if self.moments else identity(self.op, self.dtype, k)
            found.append(self.emitter.code.const(variable.kind, variable.lanes, value).ref)
        return found

    def begin(self, start: Value) -> None:
        """Set all accumulators to the identity."""
        for each in self.sets:
            for variable, literal in zip(each, self._zero(), strict=True):
                variable.set(literal)
        if self.moments:
            self.start = start
            self.count.set(self.emitter.code.const("i64", self.emitter.lanes, 0))

    def add(self, x: Value, pred: Value | None, position: Value) -> None:
        """Merge the lanes of a vector whose predicate holds."""
        if self.moments:
            self._keep(x, pred)
        target = self.sets[0]
        before = [variable.get() for variable in target]
        if len(target) == 1:
            if pred is not None:
                x = pred.where(x, 0.0 if self.moments else identity(self.op, self.dtype))
            op = "+" if self.moments else self.op
            target[0].set(merged(op, self.dtype, before, [x])[0])
            return
        if pred is not None:
            position = pred.where(position, -1)
        found = self._later(before, x, position)
        for variable, value in zip(target, found, strict=True):
            variable.set(value)

    def _later(self, before: list[Value], x: Value, position: Value) -> list[Value]:
        """Merge elements that all come after those merged before, lane by lane."""
        there = position.ge(0)
        if self.op == "first":
            take = there & before[1].lt(0)
        elif self.op == "last":
            take = there
        else:
            take = there & (before[1].lt(0) | _better(self.op, x, before[0], operations.signed(self.dtype)))
        return [take.where(x, before[0]), take.where(position, before[1])]

    def _keep(self, x: Value, pred: Value | None) -> None:
        """Write the values to the tile of this block: deviations are taken from its mean."""
        emitter, code = self.emitter, self.emitter.code
        assert emitter.along is not None
        offset = emitter.scalars[emitter.along] - self.start
        at = emitter.at(self.tile, offset, "double")
        code.line(f"store {x.type} {x.ref}, ptr {at.ref}, align 1")
        mask = pred if pred is not None else code.const("i1", x.lanes, True)
        flags = mask.cast("zext", "i8")
        code.line(f"store {flags.type} {flags.ref}, ptr {emitter.at(self.there, offset).ref}, align 1")
        self.count.set(self.count.get() + mask.cast("zext", "i64"))

    def turn(self) -> None:
        """Let the next accumulator take its turn."""
        if self.turns == 1:
            return
        values = [each[0].get() for each in self.sets]
        for k, each in enumerate(self.sets):
            each[0].set(values[(k + 1) % self.turns])

    def fold(self, start: Value, end: Value) -> None:
        """Merge all lanes into the loop's value, in an order that does not depend on the width of vectors."""
        self._turn_back(start, end)
        parts = self._folded(self.op if not self.moments else "+", [[v.get() for v in each] for each in self.sets])
        if self.moments:
            parts = self._deviations(parts[0], start, end)
        self.state.combine(self.k, parts)

    def _turn_back(self, start: Value, end: Value) -> None:
        if self.turns == 1:
            return
        emitter = self.emitter
        made = (end - start) + (emitter.lanes - 1)
        rest = made.op("udiv", emitter.lanes) & (self.turns - 1)
        begin = rest.eq(0).where(emitter.int64(self.turns), rest)
        with emitter.counting(begin, emitter.int64(self.turns), 1):
            self.turn()

    def _folded(self, op: str, sets: list[list[Value]]) -> list[Value]:
        while len(sets) > 1:
            half = len(sets) // 2
            sets = [merged(op, self.dtype, sets[k], sets[k + half]) for k in range(half)]
        parts = sets[0]
        lanes = self.emitter.lanes
        while lanes > 1:
            half = lanes // 2
            low = [self._some(each, range(half)) for each in parts]
            high = [self._some(each, range(half, lanes)) for each in parts]
            parts = merged(op, self.dtype, low, high)
            lanes = half
        return [self.emitter.first(each) for each in parts]

    def _some(self, x: Value, lanes: range) -> Value:
        items = ", ".join(f"i32 {k}" for k in lanes)
        text = f"shufflevector {x.type} {x.ref}, {x.type} poison, <{len(lanes)} x i32> <{items}>"
        return self.emitter.code.value(x.kind, len(lanes), text)

    def _deviations(self, total: Value, start: Value, end: Value) -> list[Value]:
        """Return count, mean and squared deviations of the block, by a second walk over its tile."""
        emitter, code = self.emitter, self.emitter.code
        counts = self._folded("+", [[self.count.get()]])[0]
        count = counts.cast("sitofp", "f64")
        mean = total / count.eq(0.0).where(1.0, count)
        spread = emitter.splat(mean)
        for each in self.sets:
            each[0].set(self._zero()[0])
        lanes = emitter.lanes
        with emitter.counting(emitter.int64(0), end - start, lanes) as i:
            at = emitter.at(self.tile, i, "double")
            x = code.value("f64", lanes, f"load {llvm_type('f64', lanes)}, ptr {at.ref}, align 1")
            flag = emitter.at(self.there, i)
            mask = code.value("i8", lanes, f"load {llvm_type('i8', lanes)}, ptr {flag.ref}, align 1").ne(0)
            d = mask.where(x - spread, 0.0)
            self.sets[0][0].set(self.sets[0][0].get() + d * d)
            self.turn()
        self._turn_back(start, end)
        squares = self._folded("+", [[v.get() for v in each] for each in self.sets])[0]
        return [count, mean, squares]

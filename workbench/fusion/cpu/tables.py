"""Builders with memory of their own as code: rows appended one after another, and tables by key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.fusion.cpu import exact, operations
from workbench.fusion.cpu.builders import Recorded, alone, identity, merged
from workbench.fusion.cpu.ir import BITS, Value, llvm_type
from workbench.fusion.cpu.layout import WORDS, parts_of
from workbench.fusion.loop import Builder, Merge

if TYPE_CHECKING:
    from workbench.fusion.cpu.emit import Emitter

__all__ = ["COPIES", "PLACED", "Append", "Table"]

#: interleaved copies of a table, so that neighbours with the same key do not wait for one another
COPIES = 4


class Append(Recorded):
    """Rows that pass, one after another: compressed within a vector, then written at the end of the chunk's rows."""

    def __init__(self, emitter: Emitter, builder: Builder) -> None:
        super().__init__(emitter, builder)
        self.count = emitter.slot("i64", self._record(0))
        self.columns = [self._record(1 + k) for k in range(len(builder.dtypes))]

    def keep(self) -> None:
        """Write the count to the chunk's record."""
        self.emitter.code.line(f"store i64 {self.count.get().ref}, ptr {self._place(0).ref}, align 8")

    def merge(self, each: Merge, pred: Value | None) -> None:
        """Append the lanes of which the predicate holds."""
        emitter, code, lanes = self.emitter, self.emitter.code, self.emitter.lanes
        mask = pred
        if emitter.along is None:
            only = emitter.iota().eq(0)
            mask = only if mask is None else mask & only
        count = self.count.get()
        for k, value in enumerate(each.values):
            x = emitter.values[value]
            kind = "i8" if x.kind == "i1" else x.kind
            if x.kind == "i1":
                x = x.cast("zext", "i8")
            if mask is not None:
                if BITS[kind] < 32:
                    x = x.cast("zext", "i32")
                name = f"llvm.experimental.vector.compress.{x.suffix}"
                rest = Value(code, "poison", x.kind, lanes)
                x = code.call(x.kind, lanes, name, x, mask, rest)
                if BITS[kind] < 32:
                    x = x.cast("trunc", kind)
            base = code.value("ptr", 0, f"inttoptr i64 {self.columns[k].ref} to ptr")
            at = emitter.at(base, count, llvm_type(kind))
            code.line(f"store {x.type} {x.ref}, ptr {at.ref}, align 1")
        if mask is None:
            self.count.set(count + lanes)
            return
        bits = code.value("i64", 0, f"bitcast <{lanes} x i1> {mask.ref} to i{lanes}")
        wide = code.value("i64", 0, f"zext i{lanes} {bits.ref} to i64")
        self.count.set(count + wide.intrinsic("ctpop"))


class Table(Recorded):
    """Values by key, in private tables: one element after another, or as vectors where keys are neighbours."""

    def __init__(self, emitter: Emitter, builder: Builder) -> None:
        super().__init__(emitter, builder)
        self.row = emitter.plan.row(builder)
        alone_ = 1 if builder.id in emitter.plan.exact else len(parts_of(builder))
        self.places = [self._record(k) for k in range(alone_)] if self.row is None else []
        self.copies = emitter.copies(self.row) if self.row is not None else []
        assert builder.size is not None
        self.size = emitter.size(builder.size)

    def keep(self) -> None:
        """Nothing: the tables are memory."""

    def merge(self, each: Merge, pred: Value | None) -> None:
        """Merge each lane at its key."""
        emitter = self.emitter
        key = operations.cast(emitter.values[each.keys[0]], emitter.dtypes[each.keys[0]], "int64")
        position = emitter.position(self.builder)
        if emitter.along is not None and self.builder.id in emitter.plan.columns:
            self.neighbours(each, key, pred, position)
            return
        key, shared = self._safe(each, key, pred)
        if self.builder.id in emitter.plan.exact:
            self.exactly(key, emitter.values[each.values[0]], pred)
            return
        xs = []
        for k, op in enumerate(self.builder.ops):
            x = emitter.values[each.values[k]] if each.values else key
            if shared and pred is not None:
                x = pred.where(x, identity(op, self.builder.dtypes[k]))
            elif each.values and emitter.instrs[each.values[k]].op == "const":
                xs.append([emitter.first(x)] * emitter.lanes)
                continue
            xs.append(emitter.apart(x))
        assert self.row is not None
        offsets = emitter.apart(key, self.row.dtype.itemsize)
        for lane in range(1 if emitter.along is None else emitter.lanes):
            part = 0
            for k, op in enumerate(self.builder.ops):
                place = emitter.lane(position, emitter.int64(lane)) if op in PLACED else offsets[lane]
                new = alone(op, xs[k][lane], place)
                self.update(op, self.builder.dtypes[k], part, (offsets[lane], lane), new)
                part += len(new)

    def _safe(self, each: Merge, key: Value, pred: Value | None) -> tuple[Value, bool]:
        """Return keys within the table, and whether some of them are of lanes that must not change anything.

        Where a predicate is a stricter one of a table before, its keys serve again: taking lanes apart costs more than
        merging the identity.
        """
        emitter = self.emitter
        nobody = emitter.splat(self.size)  # the last element is nobody's
        if pred is None:
            return key, False
        simple = all(op in _SIMPLE for op in self.builder.ops)
        constant_ = all(emitter.instrs[value].op == "const" for value in each.values)
        if simple and not constant_ and each.pred is not None:
            for before, (wider, live, safe) in emitter.safe_keys.items():
                if before == each.keys[0] and live is emitter.live and emitter.implies(each.pred, wider):
                    return safe, True
        safe = pred.where(key, nobody)
        if each.pred is not None:
            emitter.safe_keys[each.keys[0]] = (each.pred, emitter.live, safe)
        return safe, False

    def _copy(self, lane: int) -> Value:
        """Return the copy that a lane merges into: by its position, so whatever the width of vectors."""
        emitter = self.emitter
        assert self.row is not None
        if self.row.ordered:
            return self.copies[0]
        if emitter.along is None or emitter.lanes >= COPIES:
            return self.copies[lane % COPIES]
        which = (emitter.scalars[emitter.along] + lane) & (COPIES - 1)
        base = self.copies[0].cast("ptrtoint", "i64") + emitter.between(self.row) * which
        return base.cast("inttoptr", "ptr")

    def update(self, op: str, dtype: str, part: int, at: tuple[Value, int], new: list[Value]) -> None:
        """Merge into the parts of a lane's key."""
        assert self.row is not None
        offset, lane = at
        row = self.emitter.at(self._copy(lane), offset)
        where, before = [], []
        for k, value in enumerate(new, part):
            field = self.row.fields[self.builder.id, k][0]
            pointer = self.emitter.at(row, self.emitter.int64(field)) if field else row
            where.append(pointer)
            before.append(self._read(pointer, value.kind, 0))
        for pointer, value in zip(where, merged(op, dtype, before, new), strict=True):
            self._write(pointer, value)

    def exactly(self, key: Value, x: Value, pred: Value | None) -> None:
        """Add each lane to the long sum of its key."""
        emitter, code = self.emitter, self.emitter.code
        if pred is not None:
            x = pred.where(x, 0.0)
        for lane in range(1 if emitter.along is None else emitter.lanes):
            k = emitter.int64(lane)
            address = self.places[0] + emitter.lane(key, k) * (8 * WORDS)
            exact.add(emitter, code.value("ptr", 0, f"inttoptr i64 {address.ref} to ptr"), emitter.lane(x, k))

    def neighbours(self, each: Merge, key: Value, pred: Value | None, position: Value) -> None:
        """Merge lanes whose keys follow one another."""
        emitter, code = self.emitter, self.emitter.code
        begin = emitter.first(key)
        start = 0
        live = emitter.live
        for k, op in enumerate(self.builder.ops):
            new = alone(op, emitter.values[each.values[k]], position)
            where, before = [], []
            for j, part in enumerate(new):
                item = 1 if part.kind == "i1" else BITS[part.kind] // 8
                address = self.places[start + j] + begin * item
                pointer = code.value("ptr", 0, f"inttoptr i64 {address.ref} to ptr")
                where.append(pointer)
                kind = "i8" if part.kind == "i1" else part.kind
                if live is None:
                    old = code.value(
                        kind, part.lanes, f"load {llvm_type(kind, part.lanes)}, ptr {pointer.ref}, align 1"
                    )
                else:
                    old = emitter.masked("load", kind, pointer)
                before.append(old.ne(0) if part.kind == "i1" else old)
            after = merged(op, self.builder.dtypes[k], before, new)
            for pointer, old, value in zip(where, before, after, strict=True):
                x = value if pred is None else pred.where(value, old)
                x = x.cast("zext", "i8") if x.kind == "i1" else x
                if live is None:
                    code.line(f"store {x.type} {x.ref}, ptr {pointer.ref}, align 1")
                else:
                    emitter.masked_store("store", x, pointer, live)
            start += len(new)

    def _read(self, pointer: Value, kind: str, lanes: int) -> Value:
        stored = "i8" if kind == "i1" else kind
        found = self.emitter.code.value(stored, lanes, f"load {llvm_type(stored, lanes)}, ptr {pointer.ref}, align 1")
        return found.ne(0) if kind == "i1" else found

    def _write(self, pointer: Value, x: Value) -> None:
        x = x.cast("zext", "i8") if x.kind == "i1" else x
        self.emitter.code.line(f"store {x.type} {x.ref}, ptr {pointer.ref}, align 1")


_SIMPLE = ("+", "*", "min", "max", "and", "or")
#: what keeps positions
PLACED = frozenset({"first", "last", "argmin", "argmax"})

"""Loads and stores as code: of one element, of neighbours, or of places apart."""

from __future__ import annotations

from contextlib import AbstractContextManager

from workbench.fusion.cpu import operations
from workbench.fusion.cpu.ir import BITS, Code, Value, llvm_type
from workbench.fusion.cpu.layout import Layout
from workbench.fusion.loop import Affine, Instr, Program, Store

__all__ = ["Access"]

#: bytes ahead of which memory is asked for: the processor alone stops at each page, and while it waits for a line
_AHEAD = 2048


class Access:
    """The part of an emitter that reads and writes buffers."""

    program: Program
    layout: Layout
    code: Code
    lanes: int
    values: dict[int, Value]
    scalars: dict[str, Value]
    along: str | None
    live: Value | None

    def constant_of(self, slot: int) -> Value:
        raise NotImplementedError

    def int64(self, number: int) -> Value:
        raise NotImplementedError

    def size(self, size: int | str) -> Value:
        raise NotImplementedError

    def at(self, address: Value, offset: Value, by: str = "i8") -> Value:
        raise NotImplementedError

    def iota(self) -> Value:
        raise NotImplementedError

    def splat(self, x: Value) -> Value:
        raise NotImplementedError

    def first(self, x: Value) -> Value:
        raise NotImplementedError

    def here(self, pred: int | None) -> Value | None:
        raise NotImplementedError

    def lane(self, x: Value, i: Value) -> Value:
        raise NotImplementedError

    def only_if(self, condition: Value) -> AbstractContextManager[None]:
        raise NotImplementedError

    def counting(self, start: Value, end: Value, step: int) -> AbstractContextManager[Value]:
        raise NotImplementedError

    def access(self, name: str, index: tuple[Affine | int, ...]) -> tuple[Value, Value | int | None, Value | None]:
        """Return the address of lane 0, the step between lanes in bytes (None: the same), and offsets by lane."""
        buffer = self.program.buffer(name)
        item = BITS[operations.kind_of(buffer.dtype)] // 8 or 1
        address = self.constant_of(self.layout.addresses[name])
        if buffer.role == "tile":
            start = self.at(Value(self.code, "%s", "ptr", 0), address)
        else:
            start = self.code.value("ptr", 0, f"inttoptr i64 {address.ref} to ptr")
        step: Value | int | None = None
        spread: Value | None = None
        last = len(index) - 1
        for k, each in enumerate(index):
            near = k == last and (buffer.unit or buffer.role != "in")
            stride = self.int64(item) if near else self.constant_of(self.layout.strides[name] + k)
            if isinstance(each, int):
                part = self.values[each] * self.splat(stride)
                spread = part if spread is None else spread + part
                continue
            place = self.int64(each.offset)
            for dim, by in each.terms:
                place = (self.size(dim) if dim in self.program.sizes else self.scalars[dim]) * by + place
                if dim == self.along and by:
                    if near and by == 1 and step is None:
                        step = item
                    else:
                        before = self.int64(step) if isinstance(step, int) else step
                        more = stride * by
                        step = more if before is None else before + more
            start = self.at(start, place * stride)
        return start, step, spread

    def pointers(self, start: Value, step: Value | int | None, spread: Value | None) -> Value:
        """Return the address of each lane."""
        if step is not None:
            far = self.iota() * self.splat(self.int64(step) if isinstance(step, int) else step)
            spread = far if spread is None else spread + far
        assert spread is not None
        return self.code.value(
            "ptr", self.lanes, f"getelementptr i8, ptr {start.ref}, <{self.lanes} x i64> {spread.ref}"
        )

    def load(self, each: Instr) -> Value:
        """Write a load: of one element, of neighbours, or from places apart."""
        kind = operations.kind_of(each.dtype)
        stored = "i8" if kind == "i1" else kind
        item = BITS[stored] // 8
        start, step, spread = self.access(each.name, each.index)
        if spread is None and step is None:
            found = self.splat(self.code.value(stored, 0, f"load {llvm_type(stored)}, ptr {start.ref}, align 1"))
        elif spread is None and isinstance(step, int) and step == item:
            vector = llvm_type(stored, self.lanes)
            if self.live is None:
                found = self.code.value(stored, self.lanes, f"load {vector}, ptr {start.ref}, align 1")
            else:
                found = self.masked("load", stored, start)
            if self.program.buffer(each.name).role != "tile":
                self.ahead(start, self.lanes * item)
        else:
            found = self.masked("gather", stored, self.pointers(start, step, spread))
        return found.ne(0) if kind == "i1" else found

    def ahead(self, start: Value, size: int) -> None:
        """Ask for the lines that a later vector of so many bytes is in."""
        self.code.declared.add("declare void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        for line in range(0, size, 64):
            place = self.at(start, self.int64(_AHEAD + line))
            self.code.line(f"call void @llvm.prefetch.p0(ptr {place.ref}, i32 0, i32 3, i32 1)")

    def masked(self, how: str, kind: str, where: Value) -> Value:
        """Write a masked load or gather, 0 where the mask is off."""
        vector, lanes = llvm_type(kind, self.lanes), self.lanes
        mask = self.live.ref if self.live is not None else "splat (i1 true)"
        suffix = f"v{lanes}{kind}.p0" if how == "load" else f"v{lanes}{kind}.v{lanes}p0"
        self.code.declared.add(f"declare {vector} @llvm.masked.{how}.{suffix}({where.type}, <{lanes} x i1>, {vector})")
        return self.code.value(
            kind,
            lanes,
            f"call {vector} @llvm.masked.{how}.{suffix}({where.type} align 1 {where.ref}, <{lanes} x i1> {mask},"
            f" {vector} zeroinitializer)",
        )

    def store(self, each: Store) -> None:
        """Write a store: of one element, of neighbours, or to places apart."""
        x = self.values[each.value]
        if x.kind == "i1":
            x = x.cast("zext", "i8")
        item = BITS[x.kind] // 8
        start, step, spread = self.access(each.buffer, each.index)
        pred = self.here(each.pred)
        if spread is None and step is None:
            self.store_one(x, start, pred)
        elif spread is None and isinstance(step, int) and step == item:
            if pred is None:
                self.code.line(f"store {x.type} {x.ref}, ptr {start.ref}, align 1")
            else:
                self.masked_store("store", x, start, pred)
        else:
            self.masked_store("scatter", x, self.pointers(start, step, spread), pred)

    def masked_store(self, how: str, x: Value, where: Value, pred: Value | None) -> None:
        """Write a masked store or scatter."""
        mask = pred.ref if pred is not None else "splat (i1 true)"
        suffix = f"v{x.lanes}{x.kind}.p0" if how == "store" else f"v{x.lanes}{x.kind}.v{x.lanes}p0"
        self.code.declared.add(f"declare void @llvm.masked.{how}.{suffix}({x.type}, {where.type}, <{x.lanes} x i1>)")
        self.code.line(
            f"call void @llvm.masked.{how}.{suffix}({x.type} {x.ref}, {where.type} align 1 {where.ref},"
            f" <{x.lanes} x i1> {mask})"
        )

    def store_one(self, x: Value, where: Value, pred: Value | None) -> None:
        """Write a store to one place: along a vector the last lane that is there wins."""
        if pred is None or self.along is None:
            lane = self.first(x) if self.along is None else self.lane(x, self.int64(self.lanes - 1))
            if pred is None:
                self.code.line(f"store {lane.type} {lane.ref}, ptr {where.ref}, align 1")
                return
            with self.only_if(self.first(pred)):
                self.code.line(f"store {lane.type} {lane.ref}, ptr {where.ref}, align 1")
            return
        with self.counting(self.int64(0), self.int64(self.lanes), 1) as i, self.only_if(self.lane(pred, i)):
            lane = self.lane(x, i)
            self.code.line(f"store {lane.type} {lane.ref}, ptr {where.ref}, align 1")

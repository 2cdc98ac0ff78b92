"""From loop IR to the text of an LLVM module, in explicit vectors.

Every value is a vector: of consecutive points along the last dimension of an innermost loop, or, outside of such loops,
the same in all lanes. Loops end with a mask instead of a second copy of their body, which would double the time that
compiling takes. Functions have the form `loop<k>(table, record, scratch, lo, hi, from, to)`: rows lo to hi, and along
the last dimension the points between the last two.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from workbench.fusion.cpu import operations, vmath
from workbench.fusion.cpu.builders import State, Vectors
from workbench.fusion.cpu.exact import ExactLanes, ExactState
from workbench.fusion.cpu.ir import BITS, Code, Value, llvm_type
from workbench.fusion.cpu.layout import LANES, Layout, LoopPlan, Row, plan_loops
from workbench.fusion.cpu.machine import Host
from workbench.fusion.cpu.module import Module
from workbench.fusion.cpu.tables import COPIES, PLACED, Append, Table
from workbench.fusion.cpu.walk import Walk
from workbench.fusion.loop import Builder, For, If, Instr, Merge, Program, Statement, Store, statements

__all__ = ["Emitter", "emit"]

#: what a function of vmath counts as, beside an addition
_DEAR = 16

_HEAD = "define void @{name}(ptr %t, ptr %p, ptr %s, i64 %lo, i64 %hi, i64 %from, i64 %to) nounwind {{"


def emit(program: Program, host: Host, prefix: str = "") -> tuple[str, Layout, list[LoopPlan]]:
    """Return the text of a module, and how its functions are called.

    Parameters
    ----------
    program : Program
    host : Host
        The processor.
    prefix : str
        Put before the functions' names.

    Raises
    ------
    Unsupported
        If there is something in it that is not compiled.
    """
    layout, plans = Layout(program), plan_loops(program)
    module = Module(host.target, program.exact)
    functions = []
    for plan in plans:
        plan.name = prefix + plan.name
        functions.append(Emitter(program, plan, layout, module, host).text())
    parts = [*module.inlined("".join(functions)), *functions, *sorted(module.declared)]
    return "\n".join(parts) + "\n", layout, plans


class Emitter(Walk):
    """Writes the function of one outermost loop.

    Parameters
    ----------
    program : Program
    plan : LoopPlan
        Its loop.
    layout : Layout
        Of the table.
    module : Module
        What it uses of others.
    host : Host
    """

    def __init__(self, program: Program, plan: LoopPlan, layout: Layout, module: Module, host: Host) -> None:
        self.program, self.plan, self.layout, self.module, self.host = program, plan, layout, module, host
        flags = "" if program.exact else "contract"
        self.code = Code(fma=host.fma, flags=flags, scalef=host.target.scalef)
        self.head = Code(fma=host.fma)  # allocations and what is read once
        self.lanes = self._lanes()
        self.values: dict[int, Value] = {}
        self.dtypes: dict[int, str] = {}
        self.instrs: dict[int, Instr] = {}
        self.scalars: dict[str, Value] = {}  # dimension -> its value, or of the vector's dimension that of lane 0
        self.sizes: dict[str, Value] = {}
        self.done: set[int] = set()
        self.along: str | None = None  # the dimension that vectors run along
        self.live: Value | None = None  # lanes that are there; None: all
        self.states: dict[int, State | ExactState] = {}
        self.tables: dict[int, Append | Table] = {}
        self.loops: dict[int, For] = {}  # builder -> its loop
        self.vectors: dict[tuple[int, int], Vectors | ExactLanes] = {}
        self.labels = 0
        self.rows_at: dict[int, list[Value]] = {}  # slot of a row of tables -> its copies, then bytes between them
        self.lanes_of: dict[tuple[str, int], list[Value]] = {}  # a vector and its factor -> its lanes, taken apart
        #: key -> a predicate, the lanes that were there, and the key of each lane that may be merged at
        self.safe_keys: dict[int, tuple[int, Value | None, Value]] = {}

    def _lanes(self) -> int:
        """Return how many elements a vector has: as many as registers hold of the widest type.

        Where sums of narrow floats are all that is wide, of the narrow type: a sum takes two registers then, and what
        is summed is computed in full ones.
        """
        registers = self._registers()
        widest = 8
        bits: dict[int, int] = {}
        narrow = wide = 0
        for each in statements(self.plan.loop.body):
            if isinstance(each, Instr):
                bits[each.id] = BITS[operations.kind_of(each.dtype)]
                if each.op in ("index", "size"):
                    continue
                widest = max(widest, bits[each.id])
                if each.op not in ("const", "cast", "result"):
                    work = _DEAR if each.op in vmath.NAMES else 1
                    narrow += work if bits[each.id] <= 32 else 0
                    wide += work if bits[each.id] > 32 else 0
            elif isinstance(each, Merge):
                widest = max(widest, 64 if each.keys else 32, *[bits.get(value, 8) for value in each.values])
                wide += 1 if self._adds(each) else _DEAR * _DEAR
        if widest == 64 and registers == 1 and narrow > wide:
            widest = 32
        return min(LANES, self.host.bits // max(16, widest) * registers)

    def _adds(self, merge: Merge) -> bool:
        """Whether a merge takes whole vectors, without positions."""
        loops = [self.plan.loop, *[each for each in statements(self.plan.loop.body) if isinstance(each, For)]]
        builder = next(b for each in loops for b in each.builders if b.id == merge.builder)
        whole = not merge.keys or builder.id in self.plan.columns
        return whole and not self.plan.exact and not PLACED & set(builder.ops)

    def _registers(self) -> int:
        """Return how many registers a vector takes: several hide how long an operation takes, and share constants.

        One where lanes are handled one by one or compressed, and where lines may be short.
        """
        loop = self.plan.loop
        body = list(statements(loop.body))
        kinds = {builder.kind for builder in loop.builders}
        if len(loop.dims) != 1 or kinds - {"merge"} or any(isinstance(each, For | If) for each in body):
            return 1
        instrs = [each for each in body if isinstance(each, Instr)]
        if any(each.op == "scan" or any(isinstance(i, int) for i in each.index) for each in instrs):
            return 1
        dear = any(each.op in vmath.NAMES for each in instrs)
        return 4 if self.host.avx512 and not dear and len(instrs) <= 16 else 2

    # text

    def text(self) -> str:
        """Return the function."""
        self.loop(self.plan.loop, outermost=True)
        head = _HEAD.format(name=self.plan.name)
        self.module.declared |= self.code.declared | self.head.declared
        lines = [head, "entry:", *self.head.lines, *self.code.lines, "  ret void", "}"]
        return "\n".join(lines) + "\n"

    # small helpers

    def label(self) -> str:
        """Return a fresh label."""
        self.labels += 1
        return f"b{self.labels}"

    def int64(self, number: int) -> Value:
        """Return a scalar constant."""
        return Value(self.code, str(number), "i64", 0)

    def slot(self, kind: str, start: Value | str | None = None, lanes: int = 0) -> Variable:
        """Return a variable in memory, which LLVM turns into registers."""
        ref = self.head.name().replace("%v", "%m")
        self.head.lines.append(f"  {ref} = alloca {llvm_type(kind, lanes)}, align 64")
        variable = Variable(self, ref, kind, lanes)
        if start is not None:
            variable.set(start)
        return variable

    def array(self, kind: str, count: int) -> Value:
        """Return the address of memory on the stack."""
        ref = self.head.name().replace("%v", "%m")
        self.head.lines.append(f"  {ref} = alloca [{count} x {llvm_type(kind)}], align 64")
        return Value(self.code, ref, "ptr", 0)

    def constant_of(self, slot: int) -> Value:
        """Return what stands in a slot of the table, read once."""
        at = self.head.name().replace("%v", "%h")
        ref = self.head.name().replace("%v", "%h")
        self.head.lines.append(f"  {at} = getelementptr i64, ptr %t, i64 {slot}")
        self.head.lines.append(f"  {ref} = load i64, ptr {at}, align 8")
        return Value(self.code, ref, "i64", 0)

    def size(self, size: int | str) -> Value:
        """Return a length."""
        if isinstance(size, int):
            return self.int64(size)
        if size not in self.sizes:
            self.sizes[size] = self.constant_of(self.layout.sizes[size])
        return self.sizes[size]

    def splat(self, x: Value) -> Value:
        """Return a scalar in all lanes."""
        vector = llvm_type(x.kind, self.lanes)
        one = self.code.value(x.kind, self.lanes, f"insertelement {vector} poison, {x.type} {x.ref}, i32 0")
        zeros = f"<{self.lanes} x i32> zeroinitializer"
        return self.code.value(x.kind, self.lanes, f"shufflevector {vector} {one.ref}, {vector} poison, {zeros}")

    def first(self, x: Value) -> Value:
        """Return lane 0."""
        return self.code.value(x.kind, 0, f"extractelement {x.type} {x.ref}, i32 0")

    def iota(self) -> Value:
        """Return 0, 1, 2, … as int64."""
        items = ", ".join(f"i64 {k}" for k in range(self.lanes))
        return Value(self.code, f"<{items}>", "i64", self.lanes)

    def at(self, address: Value, offset: Value, by: str = "i8") -> Value:
        """Return an address `offset` elements of `by` further."""
        return self.code.value("ptr", 0, f"getelementptr {by}, ptr {address.ref}, i64 {offset.ref}")

    def apart(self, x: Value, times: int = 1) -> list[Value]:
        """Return the lanes of a vector, times a number; from registers: what was just stored is slow to come back."""
        if self.along is None:
            return [self.first(x * times if times != 1 else x)]
        if (x.ref, times) not in self.lanes_of:
            whole = x * times if times != 1 else x
            self.lanes_of[x.ref, times] = [self.lane(whole, self.int64(k)) for k in range(self.lanes)]
        return self.lanes_of[x.ref, times]

    def copies(self, row: Row) -> list[Value]:
        """Return the addresses of the copies of tables."""
        if row.slot not in self.rows_at:
            base, between = (
                self.code.value("i64", 0, f"load i64, ptr {at.ref}, align 8")
                for at in [self.at(Value(self.code, "%p", "ptr", 0), self.int64(row.slot + k), "i64") for k in (0, 1)]
            )
            count = 1 if row.ordered else COPIES
            self.rows_at[row.slot] = [(base + between * k).cast("inttoptr", "ptr") for k in range(count)] + [between]
        return self.rows_at[row.slot][:-1]

    def between(self, row: Row) -> Value:
        """Return how many bytes there are between copies."""
        return self.rows_at[row.slot][-1]

    @contextmanager
    def counting(self, start: Value, end: Value, step: int) -> Iterator[Value]:
        """Write a loop; the block in the `with` is its body."""
        variable = self.slot("i64", start)
        head, body, done = self.label(), self.label(), self.label()
        self.code.line(f"br label %{head}")
        self.code.label(head)
        i = variable.get()
        self.code.line(f"br i1 {i.lt(end).ref}, label %{body}, label %{done}")
        self.code.label(body)
        yield i
        variable.set(i + step)
        self.code.line(f"br label %{head}")
        self.code.label(done)

    @contextmanager
    def only_if(self, condition: Value) -> Iterator[None]:
        """Write a branch over a scalar condition."""
        yes, done = self.label(), self.label()
        self.code.line(f"br i1 {condition.ref}, label %{yes}, label %{done}")
        self.code.label(yes)
        yield
        self.code.line(f"br label %{done}")
        self.code.label(done)

    # loops

    def loop(self, loop: For, outermost: bool = False) -> None:
        """Write a loop with its builders."""
        for builder in loop.builders:
            self.loops[builder.id] = loop
            if builder.kind == "merge":
                exact = builder.id in self.plan.exact
                self.states[builder.id] = (ExactState if exact else State)(self, builder, outermost)
            else:
                self.tables[builder.id] = Append(self, builder) if builder.kind == "append" else Table(self, builder)
        nested = any(isinstance(each, For) for each in statements(loop.body))
        if nested or not loop.dims:
            self.rows(loop, outermost)
        else:
            self.vector(loop, outermost)
        if outermost:
            for builder in loop.builders:
                if builder.kind == "merge":
                    self.states[builder.id].keep()
                else:
                    self.tables[builder.id].keep()

    def accumulators(self, loop: For) -> dict[tuple[int, int], Vectors | ExactLanes]:
        """Return an accumulator for each op that a loop merges with."""
        found: dict[tuple[int, int], Vectors | ExactLanes] = {}
        for each in statements(loop.body):
            if isinstance(each, Merge) and each.builder in self.states:
                state = self.states[each.builder]
                for k in range(len(state.builder.ops)):
                    if (each.builder, k) not in found:
                        found[each.builder, k] = (
                            ExactLanes(self, state) if isinstance(state, ExactState) else Vectors(self, state, k)
                        )
        return found

    # statements

    def block(self, body: tuple[Statement, ...]) -> None:
        """Write a list of statements."""
        for each in body:
            if isinstance(each, For):
                self.loop(each)
            elif isinstance(each, If):
                self.branch(each)
            elif isinstance(each, Store):
                self.store(each)
            elif isinstance(each, Merge):
                self.merge(each)
            elif each.id not in self.done:
                self.values[each.id] = self.instr(each)
                self.dtypes[each.id] = each.dtype
                self.instrs[each.id] = each

    def branch(self, each: If) -> None:
        """Write a branch that is taken if any lane asks for it."""
        mask = self.here(each.pred)
        assert mask is not None
        some = self.code.call("i1", 0, f"llvm.vector.reduce.or.v{self.lanes}i1", mask)
        before, live = dict(self.values), self.live
        keys, lanes = self.safe_keys, self.lanes_of
        with self.only_if(some):
            self.live, self.safe_keys, self.lanes_of = mask, {}, dict(lanes)
            self.block(each.body)
        self.values, self.live, self.safe_keys, self.lanes_of = before, live, keys, lanes

    def here(self, pred: int | None) -> Value | None:
        """Return the lanes that are there and for which a value is true; None for all."""
        if pred is None:
            return self.live
        return self.values[pred] if self.live is None else self.values[pred] & self.live

    def implies(self, pred: int, other: int) -> bool:
        """Return whether a value is known to be true only where another is."""
        if pred == other:
            return True
        instr = self.instrs.get(pred)
        return instr is not None and instr.op == "logical_and" and any(self.implies(a, other) for a in instr.args)

    def merge(self, each: Merge) -> None:
        """Write a merge into a builder of this loop or one around it."""
        builder = next(b for b in self.loops[each.builder].builders if b.id == each.builder)
        pred = self.here(each.pred)
        if builder.kind == "merge":
            for k, value in enumerate(each.values):
                if self.along is None:
                    self.states[builder.id].one(k, self.values[value], pred, self.position(builder))
                else:
                    self.vectors[builder.id, k].add(self.values[value], pred, self.position(builder))
        else:
            self.tables[builder.id].merge(each, pred)

    def position(self, builder: Builder) -> Value:
        """Return the row-major position in the dimensions of a builder's loop."""
        total: Value | None = None
        for dim in self.loops[builder.id].dims:
            scalar = self.scalars[dim.name]
            total = scalar if total is None else total * self.size(dim.size) + scalar
        spread = self.splat(total if total is not None else self.int64(0))
        if self.along is not None and any(d.name == self.along for d in self.loops[builder.id].dims):
            return spread + self.iota()
        return spread

    def instr(self, each: Instr) -> Value:
        """Write an instruction."""
        kind = operations.kind_of(each.dtype)
        if each.op == "const":
            assert each.value is not None
            return self.code.const(kind, self.lanes, each.value)
        if each.op == "size":
            return self.splat(self.size(each.name))
        if each.op == "index":
            spread = self.splat(self.scalars[each.name])
            return spread + self.iota() if each.name == self.along else spread
        if each.op == "load":
            return self.load(each)
        args = [self.values[arg] for arg in each.args]
        if each.op == "cast":
            return operations.cast(args[0], self.dtypes[each.args[0]], each.dtype)
        if each.op == "select":
            return args[0].where(args[1], args[2])
        if each.op == "result":
            return self.result(each)
        if each.op == "scan":
            state = self.states[each.builder]
            assert isinstance(state, State)
            return state.scan(args[0], self.live)
        dtypes = [self.dtypes[arg] for arg in each.args]
        return operations.apply(self.module, self.code, each.op, dtypes, each.dtype, args)

    def result(self, each: Instr) -> Value:
        """Return what a loop merged that is finished: one of this function, or one that ran before."""
        state = self.states.get(each.builder)
        if state is not None:
            return self.splat(state.value(each.part))
        kind = operations.kind_of(each.dtype)
        return self.splat(self.narrow(self.constant_of(self.layout.results[each.builder, each.part]), kind))

    def narrow(self, x: Value, kind: str) -> Value:
        """Return the value that the first bytes of 8 hold."""
        if kind == "f64":
            return x.bits()
        if kind == "f32":
            return x.cast("trunc", "i32").bits()
        return x if kind == "i64" else x.cast("trunc", kind)

    def widened(self, x: Value) -> Value:
        """Return a scalar as 8 bytes."""
        if x.kind == "f64":
            return x.bits()
        if x.kind == "f32":
            return x.bits().cast("zext", "i64")
        return x if x.kind == "i64" else x.cast("zext", "i64")

    def lane(self, x: Value, i: Value) -> Value:
        """Return one lane."""
        return self.code.value(x.kind, 0, f"extractelement {x.type} {x.ref}, i64 {i.ref}")


class Variable:
    """A scalar or vector in memory."""

    def __init__(self, emitter: Emitter, ref: str, kind: str, lanes: int) -> None:
        self.emitter, self.ref, self.kind, self.lanes = emitter, ref, kind, lanes

    def get(self) -> Value:
        """Read it."""
        return self.emitter.code.value(
            self.kind, self.lanes, f"load {llvm_type(self.kind, self.lanes)}, ptr {self.ref}, align 64"
        )

    def set(self, x: Value | str) -> None:
        """Write it."""
        ref = x if isinstance(x, str) else x.ref
        self.emitter.code.line(f"store {llvm_type(self.kind, self.lanes)} {ref}, ptr {self.ref}, align 64")

"""The loop IR: one construct, `For` over named dimensions with builders, its body in SSA form.

A program is what one kernel does: a list of loops, run one after another. The first dimension of an outermost loop is
what is cut into chunks for threads; the last dimension of an innermost loop is what vectors run along. Everything is
immutable and has one text form, which is the kernel's identity.

Conventions that back ends keep:

* An instruction's inputs have the dtype of NumPy's loop for that operation, so that a back end never converts;
  comparisons and logic give bool. Operations are total: integer division by zero gives 0, shifts by the width or more
  give 0 or the sign, a float out of an integer's range becomes the least value.
* Values are visible in the block where they stand and in the loops inside it. What crosses from one outermost loop to
  the next goes through a buffer; single values through one without dimensions.
* `pred` guards a `Store` or `Merge`: nothing happens where it is false.
* Merging is associative and may be reassociated, but for scans and exact programs; `+` of floats goes in 32 lanes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

__all__ = [
    "Affine",
    "Buffer",
    "Builder",
    "Dim",
    "For",
    "If",
    "Index",
    "Instr",
    "LoopError",
    "Merge",
    "Program",
    "Statement",
    "Store",
    "statements",
    "text",
    "verify",
]

#: a length: a number, or a symbol that a run gives
SizeOf: TypeAlias = "int | str"

#: what a builder can merge with
MERGES = ("+", "*", "min", "max", "and", "or", "first", "last", "argmin", "argmax", "moments")
#: how many parts the result of a merge has: argmin and first give (value, position); moments (count, mean, M2)
PARTS = {"first": 2, "last": 2, "argmin": 2, "argmax": 2, "moments": 3}


@dataclass(frozen=True)
class Dim:
    """A dimension of a loop.

    Attributes
    ----------
    name : str
        Unique in the program.
    size : int or str
    kind : {"parallel", "reduce", "scan"}
        Whether its iterations are independent, merged in any order, or in order one after another.
    """

    name: str
    size: SizeOf
    kind: str = "parallel"


@dataclass(frozen=True)
class Affine:
    """An index: `offset` plus the sum of coefficient times loop dimension, or size.

    A store that is moved by sizes is one of several that together write all of the buffer.
    """

    terms: tuple[tuple[str, int], ...] = ()
    offset: int = 0

    def __str__(self) -> str:
        parts = [name if by == 1 else f"{by}*{name}" for name, by in self.terms]
        if self.offset or not parts:
            parts.append(str(self.offset))
        return " + ".join(parts)


#: of one dimension of a buffer: affine in the loop's dimensions, or the number of an int64 value
Index: TypeAlias = "Affine | int"


@dataclass(frozen=True)
class Buffer:
    """Memory that a program reads or writes.

    Attributes
    ----------
    name : str
    dtype : str
        NumPy's name. bool takes one byte, 0 or 1.
    shape : tuple of int or str
        () is a single value.
    role : {"in", "out", "temp", "tile"}
        Given to a run; given back by it; lives through the run (C order, as "out"); private to one iteration of the
        loop that it is used in (a row kept in cache between inner loops).
    unit : bool
        Whether neighbours along the last dimension lie next to each other; outputs, temps and tiles always do. Other
        strides of an input, in bytes, are known at run time, and may be negative or 0.
    aligned : bool
        Whether an input begins at a multiple of 64 bytes.
    """

    name: str
    dtype: str
    shape: tuple[SizeOf, ...]
    role: str = "in"
    unit: bool = True
    aligned: bool = False


@dataclass(frozen=True)
class Builder:
    """What a loop merges into; it belongs to one `For`.

    Attributes
    ----------
    id : int
        Unique in the program.
    kind : str
        "merge": single values, read by `result` instructions after the loop. "vecmerge": positions of `buffers`, whose
        length is `size`, start at the identity and are merged into at `key`. "append": one element of each of
        `buffers` for every `Merge` that its predicate lets pass, in order. "dictmerge": one element of each of
        `buffers` for every different key, in order of first appearance: the keys, then for each of `ops` its parts.
        "groupmerge": as dictmerge, with rows kept: `buffers` are keys, offsets, and row positions in order.
    ops : tuple of str
        For each value how it is merged, of `MERGES`; empty for append and groupmerge.
    dtypes : tuple of str
        Of the accumulator of each op; of append the columns.
    buffers : tuple of str
        Outputs that it fills.
    size : int or str or None
        Of vecmerge and of a dense dictmerge (keys are then 0 to size - 1, and all of them come out).
    ids : str or None
        Of dictmerge: a buffer that gets each row's group number, -1 where the predicate is false.
    """

    id: int
    kind: str
    ops: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    buffers: tuple[str, ...] = ()
    size: SizeOf | None = None
    ids: str | None = None


@dataclass(frozen=True)
class Instr:
    """One instruction, giving value `id`.

    Attributes
    ----------
    id : int
        Unique in the program.
    op : str
        A name of the op table; or
        "const" (`value`); "size" (`name`: the symbol, int64); "index" (`name`: the loop dimension, int64);
        "load" (`name`: a buffer, `index`: one for each of its dimensions); "cast" (to `dtype`);
        "select" (condition, yes, no); "result" (`builder`, `part`: what its loop, finished before, merged);
        "scan" (`builder`: merges the input and gives the running value, this element included).
    args : tuple of int
        Input values.
    dtype : str
    """

    id: int
    op: str
    args: tuple[int, ...] = ()
    dtype: str = "float64"
    value: bool | int | float | None = None
    name: str = ""
    index: tuple[Index, ...] = ()
    builder: int = -1
    part: int = 0


@dataclass(frozen=True)
class Store:
    """Write a value to a buffer."""

    buffer: str
    index: tuple[Index, ...]
    value: int
    pred: int | None = None


@dataclass(frozen=True)
class Merge:
    """Merge values into a builder of an enclosing loop.

    Attributes
    ----------
    builder : int
    values : tuple of int
        One for each of the builder's ops; the position of argmin, argmax, first and last is the row-major position
        in that loop's own dimensions, which the back end knows.
    keys : tuple of int
        For vecmerge one int64 value, from 0 to size - 1; for dictmerge and groupmerge the keys.
    pred : int or None
    """

    builder: int
    values: tuple[int, ...]
    keys: tuple[int, ...] = ()
    pred: int | None = None


@dataclass(frozen=True)
class If:
    """Do the body where a value is true: a branch, for work that is costly and seldom asked for."""

    pred: int
    body: tuple[Statement, ...]


@dataclass(frozen=True)
class For:
    """Run the body for each point of the dimensions; without dimensions, once."""

    dims: tuple[Dim, ...]
    body: tuple[Statement, ...]
    builders: tuple[Builder, ...] = ()


Statement: TypeAlias = "Instr | Store | Merge | If | For"


@dataclass(frozen=True)
class Program:
    """What one kernel does.

    Attributes
    ----------
    name : str
        Not part of its identity.
    sizes : tuple of str
        Symbols that a run gives.
    buffers : tuple of Buffer
    loops : tuple of For
        Run one after another.
    exact : bool
        No fused multiply-add, no reassociation, scalar library functions, correctly rounded sums.
    """

    name: str
    sizes: tuple[str, ...]
    buffers: tuple[Buffer, ...]
    loops: tuple[For, ...]
    exact: bool = False
    _by_name: dict[str, Buffer] = field(default_factory=dict, compare=False, repr=False, hash=False)

    def buffer(self, name: str) -> Buffer:
        """Return a buffer by name."""
        if not self._by_name:
            self._by_name.update({each.name: each for each in self.buffers})
        return self._by_name[name]


class LoopError(Exception):
    """A program that is not well formed: a fault of whoever made it."""


def statements(block: tuple[Statement, ...]) -> Iterator[Statement]:
    """Yield the statements of a block and of all blocks inside it, in order."""
    for each in block:
        yield each
        if isinstance(each, For | If):
            yield from statements(each.body)


# text


def text(program: Program) -> str:
    """Return the text form: what a kernel is known by, and what a person reads."""
    lines = [f"program({', '.join(program.sizes)}){' exact' if program.exact else ''}"]
    for each in program.buffers:
        marks = "" if each.unit else " strided"
        lines.append(f"  {each.role} {each.name}: {each.dtype}[{', '.join(str(d) for d in each.shape)}]{marks}")
    for loop in program.loops:
        _write(loop, 0, lines)
    return "\n".join(lines)


def _write(each: Statement, depth: int, lines: list[str]) -> None:
    pad = "  " * depth
    if isinstance(each, For):
        dims = ", ".join(f"{d.name} < {d.size} {d.kind}" for d in each.dims)
        lines.append(f"{pad}for ({dims}) {{")
        lines.extend(f"{pad}  builder {_builder(b)}" for b in each.builders)
        for inner in each.body:
            _write(inner, depth + 1, lines)
        lines.append(f"{pad}}}")
    elif isinstance(each, If):
        lines.append(f"{pad}if %{each.pred} {{")
        for inner in each.body:
            _write(inner, depth + 1, lines)
        lines.append(f"{pad}}}")
    elif isinstance(each, Store):
        lines.append(f"{pad}{each.buffer}[{_index(each.index)}] = %{each.value}{_when(each.pred)}")
    elif isinstance(each, Merge):
        keys = f" at {_values(each.keys)}" if each.keys else ""
        lines.append(f"{pad}merge b{each.builder}({_values(each.values)}){keys}{_when(each.pred)}")
    else:
        lines.append(f"{pad}%{each.id}: {each.dtype} = {_call(each)}")


def _builder(b: Builder) -> str:
    ops = (
        ", ".join(f"{op} {dtype}" for op, dtype in zip(b.ops, b.dtypes, strict=True)) if b.ops else ", ".join(b.dtypes)
    )
    rest = [f"into {', '.join(b.buffers)}"] if b.buffers else []
    rest += [f"size {b.size}"] if b.size is not None else []
    rest += [f"ids {b.ids}"] if b.ids is not None else []
    return " ".join([f"b{b.id}: {b.kind}[{ops}]", *rest])


def _call(each: Instr) -> str:
    if each.op == "const":
        return f"const {each.value.hex() if isinstance(each.value, float) else each.value}"
    if each.op in ("size", "index"):
        return f"{each.op} {each.name}"
    if each.op == "load":
        return f"load {each.name}[{_index(each.index)}]"
    if each.op == "result":
        return f"result b{each.builder}.{each.part}"
    if each.op == "scan":
        return f"scan b{each.builder}({_values(each.args)})"
    return f"{each.op}({_values(each.args)})"


def _index(index: tuple[Index, ...]) -> str:
    return ", ".join(f"%{each}" if isinstance(each, int) else str(each) for each in index)


def _values(values: tuple[int, ...]) -> str:
    return ", ".join(f"%{value}" for value in values)


def _when(pred: int | None) -> str:
    return "" if pred is None else f" if %{pred}"


# verifying


def verify(program: Program) -> Program:
    """Return the program if it is well formed.

    Raises
    ------
    LoopError
        If a value is used outside its block, before it is there, or with a wrong dtype; if a builder is merged into
        outside its loop or read inside it; or if an index does not fit its buffer.
    """
    _Verifier(program).run()
    return program


class _Verifier:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.dtypes: dict[int, str] = {}
        self.open: dict[int, Builder] = {}
        self.closed: dict[int, Builder] = {}
        self.dims: list[str] = []
        self.buffers = {each.name: each for each in program.buffers}

    def run(self) -> None:
        if len(self.buffers) != len(self.program.buffers):
            raise LoopError("two buffers have one name")
        for loop in self.program.loops:
            self.closed = {k: b for k, b in self.closed.items() if b.kind == "merge"}
            self.loop(loop, set())

    def loop(self, loop: For, seen: set[int]) -> None:
        for dim in loop.dims:
            if dim.name in self.dims:
                raise LoopError(f"dimension {dim.name} is used twice")
            if isinstance(dim.size, str) and dim.size not in self.program.sizes:
                raise LoopError(f"size {dim.size} is not known")
        self.dims += [dim.name for dim in loop.dims]
        for builder in loop.builders:
            if builder.id in self.open or builder.id in self.closed:
                raise LoopError(f"builder b{builder.id} is used twice")
            if any(op not in MERGES for op in builder.ops):
                raise LoopError(f"builder b{builder.id} merges with something unknown")
            self.open[builder.id] = builder
        self.block(loop.body, set(seen))
        for builder in loop.builders:
            self.closed[builder.id] = self.open.pop(builder.id)
        del self.dims[len(self.dims) - len(loop.dims) :]

    def block(self, body: tuple[Statement, ...], seen: set[int]) -> None:
        for each in body:
            if isinstance(each, For):
                self.loop(each, seen)
            elif isinstance(each, If):
                self.bools(each.pred, seen)
                self.block(each.body, set(seen))
            elif isinstance(each, Store):
                self.access(each.buffer, each.index, seen, self.use(each.value, seen))
                self.bools(each.pred, seen)
                if self.buffers[each.buffer].role == "in":
                    raise LoopError(f"{each.buffer} is an input and written to")
            elif isinstance(each, Merge):
                self.merge(each, seen)
            else:
                self.instr(each, seen)
                if each.id in self.dtypes:
                    raise LoopError(f"%{each.id} is defined twice")
                self.dtypes[each.id] = each.dtype
                seen.add(each.id)

    def merge(self, each: Merge, seen: set[int]) -> None:
        builder = self.open.get(each.builder)
        if builder is None:
            raise LoopError(f"b{each.builder} is merged into outside its loop")
        wanted = len(builder.ops) if builder.kind not in ("append", "groupmerge") else len(builder.dtypes)
        if len(each.values) != wanted:
            raise LoopError(f"b{each.builder} takes {wanted} values, not {len(each.values)}")
        for value, dtype in zip(each.values, builder.dtypes, strict=False):
            found = self.use(value, seen)
            if found != dtype:
                raise LoopError(f"b{each.builder} takes {dtype}, not {found}")
        for key in each.keys:
            self.use(key, seen)
        self.bools(each.pred, seen)

    def instr(self, each: Instr, seen: set[int]) -> None:
        for arg in each.args:
            self.use(arg, seen)
        if each.op == "load":
            self.access(each.name, each.index, seen, each.dtype)
        elif each.op == "index" and each.name not in self.dims:
            raise LoopError(f"there is no loop over {each.name} here")
        elif each.op == "result" and each.builder not in self.closed:
            raise LoopError(f"b{each.builder} is read before its loop is finished")
        elif each.op == "scan" and each.builder not in self.open:
            raise LoopError(f"b{each.builder} scans outside its loop")
        elif each.op == "select":
            self.bools(each.args[0], seen)
            if {self.dtypes[arg] for arg in each.args[1:]} != {each.dtype}:
                raise LoopError(f"%{each.id} selects between different dtypes")

    def access(self, name: str, index: tuple[Index, ...], seen: set[int], dtype: str) -> None:
        buffer = self.buffers.get(name)
        if buffer is None:
            raise LoopError(f"there is no buffer {name}")
        if len(index) != len(buffer.shape):
            raise LoopError(f"{name} has {len(buffer.shape)} dimensions, not {len(index)}")
        if buffer.dtype != dtype:
            raise LoopError(f"{name} holds {buffer.dtype}, not {dtype}")
        for each in index:
            if isinstance(each, int):
                if self.use(each, seen) != "int64":
                    raise LoopError(f"%{each} is an index and not int64")
            elif any(dim not in self.dims and dim not in self.program.sizes for dim, _ in each.terms):
                raise LoopError(f"an index of {name} uses a dimension outside its loop")

    def use(self, value: int, seen: set[int]) -> str:
        if value not in seen:
            raise LoopError(f"%{value} is used where it is not known")
        return self.dtypes[value]

    def bools(self, pred: int | None, seen: set[int]) -> None:
        if pred is not None and self.use(pred, seen) != "bool":
            raise LoopError(f"%{pred} is a condition and not bool")

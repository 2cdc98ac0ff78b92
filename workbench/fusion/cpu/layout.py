"""Where a kernel finds what it works on: a table of addresses, strides and sizes, and a record for each chunk."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from workbench.fusion.loop import PARTS, Builder, For, Instr, Merge, Program, statements

__all__ = ["BLOCK", "CHUNK", "LANES", "WORDS", "Layout", "LoopPlan", "Row", "Unsupported", "parts_of", "plan_loops"]

#: rows of a chunk, which is what a thread takes at a time
CHUNK = 65_536
#: rows after which lanes of float sums are folded
BLOCK = 8_192
#: words of a sum that is rounded once
WORDS = 70
#: logical lanes of float sums, whatever the width of vectors
LANES = 32


class Unsupported(NotImplementedError):
    """A program that this back end does not compile; the reference interpreter runs it."""


def parts_of(builder: Builder) -> list[tuple[str, str, int]]:
    """Return the parts of what a builder merges: for each its op, dtype and number within the op."""
    found = []
    for op, dtype in zip(builder.ops, builder.dtypes, strict=True):
        if op == "moments":
            found += [(op, "float64", part) for part in range(3)]
        elif op in PARTS:
            found += [(op, dtype, 0), (op, "int64", 1)]
        else:
            found.append((op, dtype, 0))
    return found


class Layout:
    """The table that all loops of a program share, in slots of 8 bytes.

    Attributes
    ----------
    sizes : dict of str to int
        Symbol -> slot.
    addresses : dict of str to int
        Buffer -> slot of its address; of tiles, of its offset in scratch memory.
    strides : dict of str to int
        Buffer -> slot of its first stride in bytes; the others follow.
    results : dict of (int, int) to int
        Builder and part -> slot of what an outermost loop merged.
    slots : int
        How many there are.
    """

    def __init__(self, program: Program) -> None:
        self.slots = 0
        self.sizes: dict[str, int] = {name: self._take(1) for name in program.sizes}
        self.addresses: dict[str, int] = {}
        self.strides: dict[str, int] = {}
        for buffer in program.buffers:
            self.addresses[buffer.name] = self._take(1)
            self.strides[buffer.name] = self._take(len(buffer.shape))
        self.results: dict[tuple[int, int], int] = {}
        for loop in program.loops:
            for builder in loop.builders:
                if builder.kind == "merge":
                    for part in range(len(parts_of(builder))):
                        self.results[builder.id, part] = self._take(1)

    def _take(self, count: int) -> int:
        start = self.slots
        self.slots += count
        return start


@dataclass
class Row:
    """What the tables of one size hold for a key: next to each other, so that a key is looked up once for all of them.

    Attributes
    ----------
    size : int or str
        How many keys.
    ordered : bool
        Whether what comes first counts: then there is one copy.
    fields : dict of (int, int) to (int, str)
        Builder and part -> where it stands in the row, in bytes, and its dtype.
    slot : int
        In the record of a chunk: the address of its tables; then bytes between copies.
    """

    size: int | str
    ordered: bool
    fields: dict[tuple[int, int], tuple[int, str]] = field(default_factory=dict)
    slot: int = 0

    def add(self, builder: Builder) -> None:
        """Give the parts of a builder their places."""
        for part, (_, dtype, _) in enumerate(parts_of(builder)):
            end = max([at + np.dtype(kind).itemsize for at, kind in self.fields.values()], default=0)
            item = np.dtype(dtype).itemsize
            self.fields[builder.id, part] = -(-end // item) * item, dtype

    @property
    def dtype(self) -> np.dtype:
        """A row as NumPy sees it; its fields are called "builder.part"."""
        names = [f"{builder}.{part}" for builder, part in self.fields]
        offsets, formats = zip(*self.fields.values(), strict=True)
        end = max(at + np.dtype(kind).itemsize for at, kind in self.fields.values())
        return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": -(-end // 8) * 8})


@dataclass
class LoopPlan:
    """How one outermost loop runs.

    Attributes
    ----------
    loop : For
    name : str
        Of its function.
    nested : bool
        Whether there are loops inside: then it goes row by row, else along its last dimension.
    ordered : bool
        Whether its chunks go one after another.
    record : dict of (int, int) to int
        Builder and part -> slot in the record of a chunk: a merged value; of an append the count, then the addresses
        of its columns; of a table in `columns` or `exact` the address.
    slots : int
    rows : list of Row
        The other tables.
    columns : set of int
        Tables whose keys follow one another along the vectors.
    exact : set of int
        Builders, those of loops inside too, of sums that are rounded once.
    """

    loop: For
    name: str
    nested: bool
    ordered: bool
    record: dict[tuple[int, int], int] = field(default_factory=dict)
    slots: int = 0
    rows: list[Row] = field(default_factory=list)
    columns: set[int] = field(default_factory=set)
    exact: set[int] = field(default_factory=set)

    def take(self, builder: int, count: int) -> None:
        """Give a builder its slots."""
        for part in range(count):
            self.record[builder, part] = self.slots
            self.slots += 1

    def table(self, builder: Builder) -> None:
        """Give a table its place: alone, or beside others of its size."""
        if builder.id in self.exact:
            self.take(builder.id, 1)
            return
        if _neighbours(self.loop, builder):
            self.columns.add(builder.id)
            self.take(builder.id, len(parts_of(builder)))
            return
        ordered = any(op in PARTS and op != "moments" for op in builder.ops)
        assert builder.size is not None
        row = next((each for each in self.rows if (each.size, each.ordered) == (builder.size, ordered)), None)
        if row is None:
            row = Row(builder.size, ordered, slot=self.slots)
            self.slots += 2
            self.rows.append(row)
        row.add(builder)

    def row(self, builder: Builder) -> Row | None:
        """Return the row that a table is part of."""
        return next((each for each in self.rows if (builder.id, 0) in each.fields), None)

    @property
    def tables(self) -> list[Builder]:
        """The builders with a table by key."""
        return [b for b in self.loop.builders if b.kind in ("vecmerge", "dictmerge") and b.size is not None]


def plan_loops(program: Program) -> list[LoopPlan]:
    """Return how each outermost loop runs.

    Raises
    ------
    Unsupported
        If there is something in it that is not compiled.
    """
    found = []
    for number, loop in enumerate(program.loops):
        inside = list(statements(loop.body))
        nested = any(isinstance(each, For) for each in inside)
        scans = any(isinstance(each, Instr) and each.op == "scan" for each in inside)
        scattered = any(
            isinstance(index, int) for each in inside if hasattr(each, "buffer") for index in getattr(each, "index", ())
        )
        plan = LoopPlan(loop, f"loop{number}", nested, scans or scattered)
        if program.exact:
            plan.exact = _exact(loop)
        for builder in loop.builders:
            if builder.kind == "append":
                plan.take(builder.id, 1 + len(builder.dtypes))
            elif builder.kind == "merge":
                plan.take(builder.id, WORDS if builder.id in plan.exact else len(parts_of(builder)))
            elif builder.kind in ("vecmerge", "dictmerge") and builder.size is not None and builder.ids is None:
                plan.table(builder)
            else:
                raise Unsupported(builder.kind)
        for each in inside:
            if isinstance(each, For) and any(b.kind != "merge" for b in each.builders):
                raise Unsupported("a table inside a loop")
        found.append(plan)
    return found


def _exact(loop: For) -> set[int]:
    """Return the builders of a loop, and of those inside it, that sum floats; not those of running values."""
    inside = list(statements((loop,)))
    running = {each.builder for each in inside if isinstance(each, Instr) and each.op == "scan"}
    found = set()
    for each in inside:
        for builder in each.builders if isinstance(each, For) else ():
            floats = [op for op, dtype in zip(builder.ops, builder.dtypes, strict=False) if dtype.startswith("float")]
            if {"moments", "*"} & set(floats) or (floats == ["+"] and builder.dtypes != ("float64",)):
                raise Unsupported("exact moments, and products in order")
            if floats == ["+"] and builder.id not in running:
                found.add(builder.id)
    return found


def _neighbours(loop: For, builder: Builder) -> bool:
    """Return whether the keys of a builder go up by one along the last dimension of its loop."""
    if not loop.dims or any(isinstance(each, For) for each in statements(loop.body)):
        return False
    along = loop.dims[-1].name
    #: value -> how much it grows along the dimension, None if that is not known
    steps: dict[int, int | None] = {}
    keys: list[int | None] = []
    for each in statements(loop.body):
        if isinstance(each, Merge) and each.builder == builder.id:
            keys += [steps.get(key) for key in each.keys]
        elif isinstance(each, Instr):
            given = [steps.get(arg) for arg in each.args]
            if each.op == "index":
                steps[each.id] = int(each.name == along)
            elif each.op == "load":
                moves = any(isinstance(i, int) or any(d == along for d, _ in i.terms) for i in each.index)
                steps[each.id] = None if moves else 0
            elif each.op == "add" and each.dtype == "int64" and None not in given:
                steps[each.id] = sum(step for step in given if step is not None)
            else:
                steps[each.id] = 0 if all(step == 0 for step in given) else None
    return bool(keys) and all(step == 1 for step in keys)

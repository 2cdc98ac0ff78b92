"""Packing: kernels that know nothing of each other become the loops of one, which is started once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from workbench.fusion.loop import Affine, For, If, Instr, Merge, Program, Statement, Store, statements, verify
from workbench.fusion.lower import Lowered
from workbench.fusion.plan.kernels import MOST_OPS

if TYPE_CHECKING:
    from workbench.fusion.steps import KernelStep

__all__ = ["joined", "pack", "packs"]

_STRENGTH = ("map", "gather", "scan", "reduce", "group")


def packs(first: KernelStep, second: KernelStep) -> bool:
    """Return whether two kernels of one level become one: neither has another form, and compiling stays short."""
    return first.branch is second.branch is None and len(first.ops) + len(second.ops) <= MOST_OPS


def pack(first: KernelStep, second: KernelStep) -> KernelStep:
    """Return a kernel that does what two do, one after the other."""
    program, names = joined(first.lowered.program, second.lowered.program)
    number = first.name.partition("_")[0]
    lowered = Lowered(
        replace(program, name=f"{number}_{second.ops[-1] if second.ops else second.name.partition('_')[2]}"),
        [],
        [],
        {**first.lowered.sizes, **{names[name]: lengths for name, lengths in second.lowered.sizes.items()}},
        first.lowered.errors + [(names[name], what) for name, what in second.lowered.errors],
        "packed",
    )
    found = replace(first, name=lowered.program.name, scheme="packed", lowered=lowered)
    found.kind = max(first.kind, second.kind, key=_STRENGTH.index)
    found.inputs = first.inputs + [(replace(each, buffer=names[each.buffer]), slot) for each, slot in second.inputs]
    found.outputs = first.outputs + [
        (replace(each, buffer=names[each.buffer]), slot, shape) for each, slot, shape in second.outputs
    ]
    found.ops, found.work = first.ops + second.ops, first.work + second.work
    found.again, found.pattern = first.again + second.again, f"{first.pattern} | {second.pattern}"
    return found


def joined(first: Program, second: Program) -> tuple[Program, dict[str, str]]:
    """Return a program with the loops of two, and what the buffers and sizes of the second are called in it."""
    taken = {*first.sizes, *[each.name for each in first.buffers]}
    names: dict[str, str] = {}
    for name in (*second.sizes, *[each.name for each in second.buffers]):
        number = 1
        while f"{name}_{number}" in taken:
            number += 1
        names[name] = f"{name}_{number}"
    values = 1 + max([each.id for each in _all(first) if isinstance(each, Instr)], default=0)
    builders = 1 + max([b.id for each in _all(first) if isinstance(each, For) for b in each.builders], default=0)
    other = _Renamed(names, values, builders)
    buffers = tuple(
        [replace(b, name=names[b.name], shape=tuple([other.size(d) for d in b.shape])) for b in second.buffers]
    )
    loops = tuple([other.loop(each) for each in second.loops])
    sizes = (*first.sizes, *[names[name] for name in second.sizes])
    found = Program(first.name, sizes, (*first.buffers, *buffers), (*first.loops, *loops), first.exact)
    return verify(found), names


def _all(program: Program) -> list[Statement]:
    return [*program.loops, *[each for loop in program.loops for each in statements(loop.body)]]


class _Renamed:
    """Statements under other names and numbers."""

    def __init__(self, names: dict[str, str], values: int, builders: int) -> None:
        self.names, self.values, self.builders = names, values, builders

    def size(self, size: Any) -> Any:
        return self.names.get(size, size) if isinstance(size, str) else size

    def value(self, number: int | None) -> Any:
        return None if number is None else number + self.values

    def many(self, numbers: tuple[int, ...]) -> tuple[int, ...]:
        return tuple([self.value(each) for each in numbers])

    def index(self, index: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple([self.value(each) if isinstance(each, int) else self.affine(each) for each in index])

    def affine(self, each: Affine) -> Affine:
        """Return a position whose terms may be lengths: of what stands before a part of a joined array."""
        return replace(each, terms=tuple([(self.names.get(name, name), by) for name, by in each.terms]))

    def loop(self, loop: For) -> For:
        dims = tuple([replace(dim, size=self.size(dim.size)) for dim in loop.dims])
        builders = [
            replace(
                b, id=b.id + self.builders, buffers=tuple([self.names[name] for name in b.buffers]),
                size=self.size(b.size), ids=None if b.ids is None else self.names[b.ids],
            )
            for b in loop.builders
        ]  # fmt: skip
        return For(dims, self.block(loop.body), tuple(builders))

    def block(self, body: tuple[Statement, ...]) -> tuple[Statement, ...]:
        return tuple([self.statement(each) for each in body])

    def statement(self, each: Statement) -> Statement:
        if isinstance(each, For):
            return self.loop(each)
        if isinstance(each, If):
            return If(self.value(each.pred), self.block(each.body))
        if isinstance(each, Store):
            where = self.index(each.index)
            return Store(self.names[each.buffer], where, self.value(each.value), self.value(each.pred))
        if isinstance(each, Merge):
            pred, keys = self.value(each.pred), self.many(each.keys)
            return Merge(each.builder + self.builders, self.many(each.values), keys, pred)
        named = self.names[each.name] if each.op in ("load", "size") else each.name
        builder = each.builder + self.builders if each.builder >= 0 else each.builder
        args, index = self.many(each.args), self.index(each.index)
        return replace(each, id=self.value(each.id), args=args, name=named, index=index, builder=builder)

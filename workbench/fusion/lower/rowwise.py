"""Merges by a key that is the same along a row: a row is merged on its own first, in vectors, and then by its key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from workbench.fusion.loop import Builder, For, If, Instr, Merge, Statement, statements

__all__ = ["rowwise"]

_SIMPLE = frozenset({"+", "*", "min", "max", "and", "or"})
#: what keys are made of
_KEYS = frozenset({"const", "size", "index", "add", "multiply"})


def rowwise(loops: Sequence[For]) -> list[For]:
    """Return the loops of a program, those with such merges as rows with loops inside.

    Short rows, whose length is a number, stay as they are: a loop of their own would cost more than they do.
    """
    inside = [each for loop in loops for each in (loop, *statements(loop.body))]
    numbers = [max([each.id for each in inside if isinstance(each, Instr)], default=0)]
    numbers.append(max([b.id for each in inside if isinstance(each, For) for b in each.builders], default=0))
    return [_by_rows(loop, numbers) or loop for loop in loops]


def _by_rows(loop: For, numbers: list[int]) -> For | None:
    if len(loop.dims) < 2 or not isinstance(loop.dims[-1].size, str) or any(
        isinstance(each, For | If) or (isinstance(each, Instr) and each.op == "scan") for each in loop.body
    ):  # fmt: skip
        return None
    by_id = {each.id: each for each in loop.body if isinstance(each, Instr)}
    merges = {each.builder: each for each in loop.body if isinstance(each, Merge)}
    if not loop.builders or len(merges) != sum(isinstance(each, Merge) for each in loop.body):
        return None
    first: dict[int, None] = {}
    for builder in loop.builders:
        merge = merges.get(builder.id)
        if builder.kind != "vecmerge" or merge is None or len(merge.values) != 1 or not _SIMPLE.issuperset(builder.ops):
            return None
        if not all(_fixed(key, by_id, loop.dims[-1].name, first) for key in merge.keys):
            return None
    before: list[Statement] = [each for each in loop.body if isinstance(each, Instr) and each.id in first]
    inner: list[Statement] = []
    after: list[Statement] = []
    builders: list[Builder] = []
    for each in loop.body:
        if isinstance(each, Instr) and each.id in first:
            continue
        if not isinstance(each, Merge):
            inner.append(each)
            continue
        builder = next(b for b in loop.builders if b.id == each.builder)
        numbers[0] += 1
        numbers[1] += 1
        builders.append(Builder(numbers[1], "merge", builder.ops, builder.dtypes))
        inner.append(replace(each, builder=numbers[1], keys=()))
        after.append(Instr(numbers[0], "result", (), builder.dtypes[0], builder=numbers[1]))
        after.append(Merge(each.builder, (numbers[0],), each.keys))
    row = For(loop.dims[-1:], tuple(inner), tuple(builders))
    return For(loop.dims[:-1], (*before, row, *after), loop.builders)


def _fixed(value: int, by_id: dict[int, Instr], along: str, first: dict[int, None]) -> bool:
    """Whether a key does not depend on a dimension; what it is made of is noted."""
    each = by_id.get(value)
    if each is None or each.op not in _KEYS or (each.op == "index" and each.name == along):
        return False
    if not all(_fixed(arg, by_id, along, first) for arg in each.args):
        return False
    first[value] = None
    return True

"""What a plan depends on: the form of a graph, without lengths, data and source positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from workbench.fusion.expr import Expr, Size
from workbench.fusion.graph import walk

__all__ = ["Structure", "structure"]

#: lengths up to this are part of the form: loops over them are unrolled
SMALL = 16


class Structure:
    """The form of a graph.

    Attributes
    ----------
    key : tuple
        Hashable; graphs of one key have one plan.
    order : list of Expr
        All nodes, inputs first.
    leaves : list of Expr
        In the order of the key.
    symbols : dict
        Length or `Size` -> its number.
    lengths : list
        By number: the length, or the `Size`.
    """

    __slots__ = ("key", "leaves", "lengths", "order", "symbols")

    def __init__(self) -> None:
        self.order: list[Expr] = []
        self.leaves: list[Expr] = []
        self.symbols: dict[Any, int] = {}
        self.lengths: list[Any] = []
        self.key: tuple[Any, ...] = ()


def structure(roots: Sequence[Expr]) -> Structure:
    """Return the form of the graph of some roots."""
    try:
        return _structure(roots, roots)
    except RecursionError:  # in the order of a walk that needs none
        return _structure(walk(roots), roots)


def _structure(nodes: Sequence[Expr], roots: Sequence[Expr]) -> Structure:
    """Walk the graph and write its key at once: each capture that is computed goes this way."""
    found = Structure()
    order = found.order
    number: dict[Expr, int] = {}
    seen: dict[int, int] = {}
    parts: list[Any] = []
    plain: Any = None  # a shape whose lengths need no mask: most nodes share theirs

    def visit(node: Expr) -> None:
        nonlocal plain
        shape, inputs = node.shape, node.inputs
        if shape is not plain:
            asked = [d.mask for d in shape if type(d) is Size and d.mask is not None]
            for mask in reversed(asked):
                if mask not in number:
                    visit(mask)
            if not asked:
                plain = shape
        for each in inputs:
            if each in number:
                continue
            if each.kind == "Const":
                number[each] = len(order)
                order.append(each)
                parts.append(each.name)  # tells type and value
            else:
                visit(each)
        k = number[node] = len(order)
        order.append(node)
        kind = node.kind
        if kind == "Map":
            # names, then numbers: nothing else tells where a node ends
            parts.append(node.name)
            if node.call is not None:
                parts.append(node.call)
            for each in inputs:
                parts.append(number[each])
        elif kind == "Leaf":
            first = seen.setdefault(id(node.data), k)
            found.leaves.append(node)
            parts.append(("l", first, node.dtype, _sizes(shape, found), layout(node.data)))
        elif kind == "Const":
            parts.append(node.name)
        else:
            sizes = None if kind in ("Reduce", "Select", "Cast", "Scan") else _sizes(shape, found)
            attrs = None if node.name in ("reshape", "broadcast") else node.attrs
            parts.append((kind, node.name, attrs, node.dtype, sizes, node.data, *[number[each] for each in inputs]))

    for node in nodes:
        if node not in number:
            visit(node)
    found.key = (tuple(parts), tuple([number[root] for root in roots]))
    return found


def _sizes(shape: Any, found: Structure) -> tuple[Any, ...]:
    sizes = []
    for d in shape:
        if type(d) is int and d <= SMALL:
            sizes.append(d)
            continue
        number = found.symbols.get(d)
        if number is None:
            number = found.symbols[d] = len(found.lengths)
            found.lengths.append(d)
        sizes.append(-1 - number if type(d) is not Size else -1_000_000 - number)
    return tuple(sizes)


def layout(data: Any) -> Any:
    """Return the class of an array's strides: C or F order, or which axes move and which neighbours are as one."""
    if not isinstance(data, np.ndarray):
        return type(data)
    flags = data.flags
    if flags.c_contiguous and flags.aligned:
        return "C"
    strides, shape = data.strides, data.shape
    item = data.dtype.itemsize
    moves = tuple([0 if s == 0 else 1 if s == item else 2 for s in strides])
    joins = tuple([strides[k] == strides[k + 1] * shape[k + 1] for k in range(len(shape) - 1)])
    return moves, joins, flags.aligned, data.dtype.byteorder

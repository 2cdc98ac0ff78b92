"""How many rows a filter leaves, told from some of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.fusion.eager import evaluate_node
from workbench.fusion.expr import Expr, Size
from workbench.fusion.graph import walk
from workbench.fusion.plan.branch import SAMPLE

__all__ = ["Rows", "passing"]

#: rows beyond which a sample of other data is not taken for one of these
_LARGE = 1 << 18
#: kinds of nodes whose value for some rows is some rows of their value, or is estimated from them
_BY_ROW = frozenset(("Leaf", "Const", "Map", "Select", "Cast", "Reduce", "Filter", "Gather"))


class Rows:
    """Lengths that only a run can tell, estimated: sampled once for the same data.

    Plans keep one, so that running them again looks at nothing anew.
    """

    def __init__(self) -> None:
        self.known: dict[int, tuple[Any, float]] = {}

    def of(self, size: Size, number: int | None = None) -> int:
        """Return a length: known from a run, or its part of the rows above it.

        Parameters
        ----------
        size : Size
        number : int, optional
            Its symbol in the plan.
        """
        if size.value is not None:
            return size.value
        if size.parent is None:
            return 1000
        whole = size.parent if isinstance(size.parent, int) else self.of(size.parent)
        if size.mask is None:
            return whole // 2
        if number is None:
            return round(whole * passing(size.mask))
        data = _addresses(size.mask) if whole >= _LARGE else None
        found = self.known.get(number)
        if found is None or found[0] != data:
            found = self.known[number] = data, passing(size.mask)
        return round(whole * found[1])


def passing(mask: Expr) -> float:
    """Return the part of rows for which a mask holds, on 4,096 evenly spaced ones; a half where that cannot be told."""
    order = walk([mask])
    rows: Any = mask.shape[0]
    while isinstance(rows, Size):
        rows = rows.parent
    if rows is None or any(node.kind not in _BY_ROW or node.call is not None for node in order):
        return 0.5
    places = np.linspace(0, rows - 1, SAMPLE).astype(np.int64) if rows > SAMPLE else slice(None)
    values: dict[int, Any] = {}
    with np.errstate(all="ignore"):
        for node in order:
            if node.kind == "Leaf":
                data = np.asarray(node.data)
                values[id(node)] = data[places] if data.shape[:1] == (rows,) else data
            elif node.kind == "Const":
                values[id(node)] = node.data
            else:
                try:
                    values[id(node)] = evaluate_node(node, [values[id(each)] for each in node.inputs])
                except (ValueError, IndexError):  # what is told of all rows is not told of some
                    return 0.5
    found = np.asarray(values[id(mask)])
    return float(found.mean()) if found.size else 0.0


def _addresses(mask: Expr) -> tuple[Any, ...]:
    leaves = [node.data for node in walk([mask]) if node.kind == "Leaf"]
    return tuple([each.__array_interface__["data"][0] for each in leaves if isinstance(each, np.ndarray)])

"""Random graphs for the planner: rows, columns, broadcasts, filters, running values, groups, library calls."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from workbench.fusion import expr as ir

__all__ = ["graphs"]

M, N = 40, 30
_RNG = np.random.default_rng(0)
FLAT = [_RNG.normal(size=50) for _ in range(2)]
WIDE = [_RNG.normal(size=(M, N)) for _ in range(2)]
ROW, COLUMN = _RNG.normal(size=N), _RNG.normal(size=(M, 1))


@st.composite
def graphs(draw: st.DrawFn, most: int = 60) -> list[ir.Expr]:
    """Return the roots of a random graph of so many operations at most."""
    flat = [ir.leaf(each) for each in FLAT]
    wide = [ir.leaf(each) for each in (*WIDE, ROW, COLUMN)]
    nodes: list[ir.Expr] = []
    for step in range(draw(st.integers(1, most))):
        pool = draw(st.sampled_from([flat, wide]))
        x, y = draw(st.sampled_from(pool)), draw(st.sampled_from(pool))
        kind = draw(st.sampled_from(["binary", "binary", "dear", "cheap", "reduce", "reduce", "other"]))
        made: Any
        if kind == "binary":
            made = ir.map_(draw(st.sampled_from(["add", "multiply", "maximum"])), x, y)
        elif kind == "dear":
            made = ir.map_("exp", ir.map_("sin", x))
        elif kind == "cheap":
            made = ir.map_("negative", x)
        elif kind == "reduce":
            name = draw(st.sampled_from(["sum", "max", "mean"]))
            if x.shape == (M, N):
                axes = draw(st.sampled_from([(0,), (1,), (0, 1)]))
                made = ir.reduce_(name, x, axes, keepdims=True)
            else:
                made = ir.reduce_(name, x, keepdims=True) if x.shape == (50,) else ir.map_("square", x)
        elif x.shape == (50,):
            made = draw(st.sampled_from([_filtered, _running, _sorted, _taken]))(x, step)
        else:
            made = ir.map_("tanh", x)
        (flat if made.shape in ((50,), (1,)) else wide).append(made)
        nodes.append(made)
    used = {id(each) for node in nodes for each in node.inputs}
    return [node for node in nodes if id(node) not in used] or nodes[-1:]


def _filtered(x: ir.Expr, step: int) -> ir.Expr:
    mask = ir.map_("greater", x, ir.const(0.0))
    kept = ir.filter_(x, mask, ir.Size(f"kept{step}", mask, 50))
    return ir.reduce_("sum", ir.map_("square", kept), keepdims=True)


def _running(x: ir.Expr, step: int) -> ir.Expr:
    return ir.scan("cumsum", x)


def _sorted(x: ir.Expr, step: int) -> ir.Expr:
    return ir.extern("sort", np.sort, (x,), "float64", (50,))


def _taken(x: ir.Expr, step: int) -> ir.Expr:
    return ir.gather(x, ir.leaf(np.arange(50)[::-1].copy()))

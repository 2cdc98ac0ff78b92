"""Random graphs over small tensors: broadcasts, reductions along any axes, running values, views, several results."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.fusion.gpu.patterns import Pattern, leaf, number
from workbench.fusion import expr as ir
from workbench.fusion.expr import Expr

__all__ = ["random_graph"]

SHAPES = [(4, 6, 8), (6, 8), (8,), (6, 1), (1, 8), (4, 1, 8), (24, 16), (24, 1), (300,), (3, 40)]
UNARY = ("negative", "absolute", "tanh", "square", "floor", "expit", "erf", "sin")
BINARY = ("add", "subtract", "multiply", "maximum", "minimum", "less")
REDUCTIONS = ("sum", "max", "min", "mean", "var", "std", "any", "argmax")
MIX = ["unary"] * 2 + ["binary"] * 4 + ["reduce"] * 3 + ["divide", "scan", "turn", "slice", "reshape", "where", "half"]


def random_graph(seed: int, most: int = 14) -> Pattern:
    """Return a graph of so many operations at most."""
    rng = np.random.default_rng(seed)
    leaves = [leaf(*SHAPES[k]) for k in rng.choice(len(SHAPES), 4, replace=False)]
    pool: list[Expr] = list(leaves)
    made: list[Expr] = []
    for _ in range(int(rng.integers(1, most + 1))):
        found = _step(pool, rng)
        if found is not None and found.shape != ():
            pool.append(found)
        if found is not None:
            made.append(found)
    used = {id(each) for node in made for each in node.inputs}
    roots = [node for node in made if id(node) not in used] or [ir.map_("negative", leaves[0])]
    extra = [node for node in made if id(node) in used]
    if extra and rng.random() < 0.5:
        roots.append(extra[int(rng.integers(len(extra)))])
    return leaves, roots, [None] * len(roots)


def _step(pool: list[Expr], rng: np.random.Generator) -> Expr | None:
    x = pool[int(rng.integers(len(pool)))]
    kind = MIX[int(rng.integers(len(MIX)))]
    if x.dtype == np.bool_ or x.dtype.kind in "iu":
        x = ir.cast(x, np.float32)
    made: dict[str, Any] = {
        "unary": _unary, "binary": _binary, "divide": _divide, "reduce": _reduce, "scan": _scan, "turn": _turn,
        "slice": _slice, "reshape": _reshape, "where": _where, "half": _half,
    }  # fmt: skip
    found: Expr | None = made[kind](x, pool, rng)
    return found


def _other(x: Expr, pool: list[Expr], rng: np.random.Generator) -> Expr:
    fits = []
    for each in pool:
        try:
            shape = ir.broadcast_shapes(x.shape, each.shape)
        except ValueError:
            continue
        if np.prod(shape) <= 400:  # type: ignore[arg-type]
            fits.append(each)
    y = fits[int(rng.integers(len(fits)))] if fits else x
    return y if y.dtype == np.float32 else ir.cast(y, np.float32)


def _unary(x: Expr, pool: list[Expr], rng: np.random.Generator) -> Expr:
    return ir.map_(UNARY[int(rng.integers(len(UNARY)))], x)


def _binary(x: Expr, pool: list[Expr], rng: np.random.Generator) -> Expr:
    return ir.map_(BINARY[int(rng.integers(len(BINARY)))], x, _other(x, pool, rng))


def _divide(x: Expr, pool: list[Expr], rng: np.random.Generator) -> Expr:
    return ir.map_("divide", x, ir.map_("add", number(1), ir.map_("absolute", _other(x, pool, rng))))


def _where(x: Expr, pool: list[Expr], rng: np.random.Generator) -> Expr:
    return ir.select(ir.map_("greater", x, number(0.1)), _other(x, pool, rng), number(0.5))


def _half(x: Expr, pool: list[Expr], rng: np.random.Generator) -> Expr:
    return ir.map_("multiply", x, number(0.5))


def _reduce(x: Expr, pool: list[Expr], rng: np.random.Generator) -> Expr | None:
    if not x.shape:
        return None
    name = REDUCTIONS[int(rng.integers(len(REDUCTIONS)))]
    many = 1 if name == "argmax" else int(rng.integers(1, x.ndim + 1))
    axes = sorted(int(k) for k in rng.choice(x.ndim, many, replace=False))
    if name == "argmax" and axes != [x.ndim - 1]:
        return None
    if name == "any":
        x = ir.map_("greater", x, number(1.5))
    if name in ("var", "std") and np.prod([x.shape[k] for k in axes]) < 2:  # type: ignore[misc]
        name = "mean"
    return ir.reduce_(name, x, axes, keepdims=bool(rng.integers(2)), ddof=0)


def _scan(x: Expr, pool: list[Expr], rng: np.random.Generator) -> Expr | None:
    if not x.shape:
        return None
    name = ("cumsum", "cummax", "cumsum")[int(rng.integers(3))]
    return ir.scan(name, ir.map_("multiply", x, number(0.1)), int(rng.integers(x.ndim)))


def _turn(x: Expr, pool: list[Expr], rng: np.random.Generator) -> Expr | None:
    if x.ndim < 2:
        return None
    order = tuple(int(k) for k in rng.permutation(x.ndim))
    return ir.view(x, "transpose", order, tuple([x.shape[k] for k in order]))


def _slice(x: Expr, pool: list[Expr], rng: np.random.Generator) -> Expr | None:
    if not x.shape or x.shape[-1] in (1, 2):
        return None
    every = [("slice", None, None, None)] * (x.ndim - 1)
    begin = int(rng.integers(2))
    length = x.shape[-1] - begin  # type: ignore[operator]
    return ir.view(x, "index", (*every, ("slice", begin, None, None)), (*x.shape[:-1], length))


def _reshape(x: Expr, pool: list[Expr], rng: np.random.Generator) -> Expr | None:
    if x.ndim < 2:
        return None
    shape = (x.shape[0] * x.shape[1], *x.shape[2:])  # type: ignore[operator]
    return ir.view(x, "reshape", shape, shape)

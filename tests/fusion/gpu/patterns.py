"""The patterns of the design as graphs, at the sizes that it names and at tiny ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from workbench.fusion import expr as ir
from workbench.fusion.expr import Expr
from workbench.fusion.gpu.memory import Spec

__all__ = ["PATTERNS", "Pattern", "leaf", "number"]

#: leaves, roots, and the types that roots are stored in
Pattern = tuple[list[Expr], list[Expr], list[str | None]]


def leaf(*shape: int, stored: str = "float32") -> Expr:
    """Return a tensor that nobody has to have."""
    return ir.leaf(Spec.of(shape, stored))


def number(value: float) -> Expr:
    """Return a float32."""
    return ir.const(np.float32(value))


def reduced(name: str, x: Expr, axes: Sequence[int], keep: bool = True, ddof: float = 0) -> Expr:
    return ir.reduce_(name, x, axes, keepdims=keep, ddof=ddof)


def layer_norm(x: Expr, weight: Expr, bias: Expr) -> Expr:
    axes = [x.ndim - 1]
    far = ir.map_("subtract", x, reduced("mean", x, axes))
    scale = ir.map_("sqrt", ir.map_("add", reduced("var", x, axes), number(1e-5)))
    return ir.map_("add", ir.map_("multiply", ir.map_("divide", far, scale), weight), bias)


def gelu(x: Expr) -> Expr:
    half = ir.map_("multiply", x, number(0.5))
    return ir.map_(
        "multiply", half, ir.map_("add", ir.map_("erf", ir.map_("multiply", x, number(0.5**0.5))), number(1))
    )


def softmax(x: Expr) -> Expr:
    axes = [x.ndim - 1]
    e = ir.map_("exp", ir.map_("subtract", x, reduced("max", x, axes)))
    return ir.map_("divide", e, reduced("sum", e, axes))


def layer_norm_chain(tiny: bool) -> Pattern:
    n, d, kind = (6, 40, "float32") if tiny else (8192, 1024, "bfloat16")
    x, residual, weight, bias = (leaf(*shape, stored=kind) for shape in ((n, d), (n, d), (d,), (d,)))
    return [x, residual, weight, bias], [gelu(layer_norm(ir.map_("add", x, residual), weight, bias))], [kind]


def masked_softmax(tiny: bool) -> Pattern:
    shape, kind = ((2, 3, 5, 24), "float32") if tiny else ((16, 12, 512, 512), "bfloat16")
    x, mask = leaf(*shape, stored=kind), leaf(shape[0], 1, 1, shape[3], stored=kind)
    return [x, mask], [softmax(ir.map_("add", ir.map_("multiply", x, number(0.125)), mask))], [kind]


def adam(tiny: bool) -> Pattern:
    leaves, roots = [], []
    for k in range(5 if tiny else 200):
        p, g, m, v = (leaf(64 + 16 * (k % 2) if tiny else 4096) for _ in range(4))
        leaves += [p, g, m, v]
        m = ir.map_("add", ir.map_("multiply", m, number(0.9)), ir.map_("multiply", g, number(0.1)))
        square = ir.map_("multiply", ir.map_("multiply", g, g), number(0.001))
        v = ir.map_("add", ir.map_("multiply", ir.map_("absolute", v), number(0.999)), square)
        step = ir.map_("divide", ir.map_("multiply", m, number(1e-3)), ir.map_("add", ir.map_("sqrt", v), number(1e-8)))
        roots += [ir.map_("subtract", p, step), m, v]
    return leaves, roots, [None] * len(roots)


def dien(tiny: bool) -> Pattern:
    batch, width, steps = (6, 20, 4) if tiny else (256, 36, 16)
    xs, t = [leaf(batch, width) for _ in range(steps)], leaf(batch, width)
    state, aux = t, []
    for x in xs:
        attention = softmax(ir.map_("multiply", x, t))
        gate = ir.map_("multiply", ir.map_("expit", x), attention)
        kept = ir.map_("multiply", ir.map_("subtract", number(1), gate), state)
        state = ir.map_("add", kept, ir.map_("multiply", gate, ir.map_("tanh", x)))
        aux.append(reduced("sum", ir.map_("multiply", x, state), [1], keep=False))
    return [*xs, t], [state, *aux], [None] * (1 + steps)


def global_norm(tiny: bool) -> Pattern:
    x = leaf(300 if tiny else 1 << 24)
    norm = ir.map_("sqrt", reduced("sum", ir.map_("multiply", x, x), [0], keep=False))
    scale = ir.map_("minimum", ir.map_("divide", number(1), ir.map_("add", norm, number(1e-6))), number(1))
    return [x], [ir.map_("multiply", x, scale), norm], [None, None]


def standardised(tiny: bool) -> Pattern:
    x = leaf(300 if tiny else 1 << 24)
    far = ir.map_("subtract", x, reduced("mean", x, [0], keep=False))
    return [x], [ir.map_("divide", far, reduced("std", x, [0], keep=False, ddof=1))], [None]


def batch_norm(tiny: bool) -> Pattern:
    shape, kind = ((3, 4, 5, 6), "float32") if tiny else ((32, 256, 56, 56), "bfloat16")
    x, weight, bias = leaf(*shape, stored=kind), leaf(1, shape[1], 1, 1), leaf(1, shape[1], 1, 1)
    axes = [0, 2, 3]
    far = ir.map_("subtract", x, reduced("mean", x, axes))
    y = ir.map_("divide", far, ir.map_("sqrt", ir.map_("add", reduced("var", x, axes), number(1e-5))))
    y = ir.map_("maximum", ir.map_("add", ir.map_("multiply", y, weight), bias), number(0))
    return [x, weight, bias], [y], [kind]


def softmax_columns(tiny: bool) -> Pattern:
    x = leaf(*((9, 24) if tiny else (8192, 1024)))
    y = softmax(x)
    return [x], [y, reduced("sum", y, [0], keep=False)], [None, None]


def two_shapes(tiny: bool) -> Pattern:
    x = leaf(*((3, 4, 16) if tiny else (512, 64, 128)))
    return [x], [reduced("sum", x, [1, 2], keep=False), reduced("max", x, [2], keep=False)], [None, None]


def running(tiny: bool) -> Pattern:
    n, d = (5, 24) if tiny else (1024, 4096)
    x = leaf(n, d)
    total = ir.scan("cumsum", x, 1)
    every = ("slice", None, None, None)
    last = ir.view(total, "index", (every, ("slice", -1, None, None)), (n, 1))
    return [x], [ir.map_("divide", total, last)], [None]


def norm_backward(tiny: bool) -> Pattern:
    n, d = (9, 24) if tiny else (8192, 1024)
    x, g, weight = leaf(n, d), leaf(n, d), leaf(d)
    scale = ir.map_("divide", number(1), ir.map_("sqrt", ir.map_("add", reduced("var", x, [1]), number(1e-5))))
    y = ir.map_("multiply", ir.map_("subtract", x, reduced("mean", x, [1])), scale)
    gw = ir.map_("multiply", g, weight)
    along = ir.map_("multiply", y, reduced("mean", ir.map_("multiply", gw, y), [1]))
    back = ir.map_("multiply", scale, ir.map_("subtract", ir.map_("subtract", gw, reduced("mean", gw, [1])), along))
    columns = [reduced("sum", ir.map_("multiply", g, y), [0], keep=False), reduced("sum", g, [0], keep=False)]
    return [x, g, weight], [back, *columns], [None] * 3


def group_scale(tiny: bool) -> Pattern:
    n, d, part = (5, 32, 8) if tiny else (4096, 4096, 128)
    x, weight = leaf(n, d), leaf(d)
    mean = reduced("mean", ir.map_("multiply", x, x), [1])
    y = ir.map_("multiply", ir.map_("divide", x, ir.map_("sqrt", ir.map_("add", mean, number(1e-6)))), weight)
    shape = (n, d // part, part)
    parts = ir.view(y, "reshape", shape, shape)
    most = reduced("max", ir.map_("absolute", parts), [2])
    return [x, weight], [ir.map_("divide", parts, most), most], [None, None]


def long_rows(tiny: bool) -> Pattern:
    n, d, kind = (2, 600, "float32") if tiny else (32, 262_144, "bfloat16")
    x, weight, bias = leaf(n, d, stored=kind), leaf(d, stored=kind), leaf(d, stored=kind)
    return [x, weight, bias], [gelu(layer_norm(x, weight, bias))], [kind]


def transposed(tiny: bool) -> Pattern:
    n, d = (40, 33) if tiny else (2048, 1024)
    x, weight, bias, other, more = leaf(n, d), leaf(d), leaf(d), leaf(n), leaf(n)
    y = ir.view(layer_norm(x, weight, bias), "transpose", (1, 0), (d, n))
    return [x, weight, bias, other, more], [layer_norm(y, other, more)], [None]


#: name -> pattern, and how many launches it may take
PATTERNS: dict[str, tuple[Callable[[bool], Pattern], int]] = {
    "layer norm chain": (layer_norm_chain, 1),
    "masked softmax": (masked_softmax, 1),
    "Adam": (adam, 1),
    "DIEN-like": (dien, 4),
    "global norm": (global_norm, 1),
    "standardised": (standardised, 1),
    "batch norm": (batch_norm, 2),
    "softmax and column sum": (softmax_columns, 2),
    "two reductions of different shape": (two_shapes, 1),
    "cumsum and normalise": (running, 1),
    "layer norm backward": (norm_backward, 2),
    "RMS norm and amax by group": (group_scale, 1),
    "layer norm of long rows": (long_rows, 2),
    "layer norm, transpose, layer norm": (transposed, 3),
}

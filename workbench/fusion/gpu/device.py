# mypy: disable-error-code="no-untyped-def"
"""What kernels call on the device: a barrier across the grid, and functions that Triton's language lacks.

This is loaded into the namespace of generated kernels, and so imports Triton at its top.
"""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["expm1", "grid_barrier", "log1p", "maximum", "minimum", "power", "product", "tanh"]


@triton.jit
def grid_barrier(state):
    """Wait until all blocks of the grid are here.

    The counter of arrivals only grows, so nobody has to reset it; a kernel has one of its own, and one size of grid.
    """
    tl.debug_barrier()
    many = tl.num_programs(0).to(tl.int64)
    one = tl.full((), 1, tl.int64)
    here = tl.atomic_add(state, one, sem="acq_rel", scope="gpu")
    last = (here // many + 1) * many
    seen = here + 1
    while seen < last:
        seen = tl.atomic_add(state, one - 1, sem="acquire", scope="gpu")
    tl.debug_barrier()


@triton.jit
def maximum(a, b):
    """The larger one; NaN if one is."""
    return tl.where((a > b) | (a != a), a, b)


@triton.jit
def minimum(a, b):
    """The smaller one; NaN if one is."""
    return tl.where((a < b) | (a != a), a, b)


@triton.jit
def tanh(x):
    """The hyperbolic tangent, near 0 by its series."""
    a = tl.abs(x)
    e = tl.exp(-2 * a)
    far = (1 - e) / (1 + e)
    s = x * x
    near = a * (
        1
        + s * (-0.3333333333333333 + s * (0.13333333333333333 + s * (-0.05396825396825397 + s * 0.021869488536155203)))
    )
    y = tl.where(a < 0.25, near, far)
    return tl.where(x < 0, -y, tl.where(x == x, y, x))


@triton.jit
def expm1(x):
    """exp(x) - 1, near 0 by its series."""
    s = x * (
        1
        + x
        * (
            0.5
            + x
            * (0.16666666666666666 + x * (0.041666666666666664 + x * (0.008333333333333333 + x * 0.001388888888888889)))
        )
    )
    return tl.where(tl.abs(x) < 0.25, s, tl.exp(x) - 1)


@triton.jit
def log1p(x):
    """log(1 + x): what 1 + x loses is put right."""
    u = 1 + x
    d = u - 1
    y = tl.log(u)
    safe = tl.where(d == 0, 1.0, d)
    return tl.where(d == 0, x, tl.where(u == float("inf"), y, y * (x / safe)))


@triton.jit
def power(x, y):
    """Give a power: whole powers of negative numbers too."""
    a = tl.abs(x)
    whole = tl.floor(y) == y
    odd = whole & (tl.floor(y * 0.5) * 2 != y)
    m = tl.exp2(y * tl.log2(a))
    m = tl.where(odd & (x < 0), -m, m)
    m = tl.where((x < 0) & (whole == 0), float("nan"), m)
    return tl.where((y == 0) | (x == 1), 1.0, m)


@triton.jit
def product(a, b):
    """One by the other."""
    return a * b

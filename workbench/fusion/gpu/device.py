# mypy: disable-error-code="no-untyped-def"
"""What kernels call on the device: a barrier across the grid, and functions that Triton's language lacks.

This is loaded into the namespace of generated kernels, and so imports Triton at its top.
"""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = [
    "arctan",
    "arctan2",
    "bits",
    "cbrt",
    "copysign",
    "expm1",
    "floor_divide",
    "fmod",
    "grid_barrier",
    "hypot",
    "least",
    "left_shift",
    "log1p",
    "maximum",
    "minimum",
    "most",
    "negated",
    "power",
    "product",
    "ratio",
    "remainder",
    "right_shift",
    "rint",
    "root",
    "sign",
    "sinh",
    "tanh",
    "whole_quotient",
    "whole_remainder",
]


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
def most(a, b):
    """The larger one; of a number and NaN the number."""
    return tl.where(a != a, b, tl.where(b != b, a, tl.maximum(a, b)))


@triton.jit
def least(a, b):
    """The smaller one; of a number and NaN the number."""
    return tl.where(a != a, b, tl.where(b != b, a, tl.minimum(a, b)))


@triton.jit
def ratio(a, b):
    """The quotient, rounded correctly: that of Triton's language is not for float32, so its floor may be one less.

    It takes registers that a division whose last bit is of no consequence does without.
    """
    if a.dtype == tl.float32 and b.dtype == tl.float32:
        return tl.div_rn(a, b)
    else:
        return a / b


@triton.jit
def sign(x):
    """1 with the sign of a number; 0 has none."""
    return tl.where(x > 0, 1.0, tl.where(x < 0, -1.0, tl.where(x == 0, 0.0, x)))


@triton.jit
def root(x):
    """The square root, rounded correctly."""
    if x.dtype == tl.float32:
        return tl.sqrt_rn(x)
    else:
        return tl.sqrt(x)


@triton.jit
def tanh(x):
    """The hyperbolic tangent, near 0 by its series where that is exact enough."""
    if x.dtype == tl.float64:
        e = expm1(-2 * tl.abs(x))
        return copysign(e / (e + 2), x)
    else:  # few registers: models have many of them in one kernel
        e = tl.exp(-2 * tl.abs(x))
        far = (1 - e) / (1 + e)
        s = x * x
        near = -0.3333333333333333 + s * (0.13333333333333333 + s * (-0.05396825396825397 + s * 0.021869488536155203))
        return tl.where(s < 0.0625, x * (1 + s * near), tl.where(x < 0, far * -1, far))


@triton.jit
def expm1(x):
    """exp(x) - 1, near 0 by its series."""
    near = tl.abs(x) < 0.25
    z = tl.where(near, x, x * 0)
    s = 0.001388888888888889
    if x.dtype == tl.float64:
        s = s + z * (
            0.0001984126984126984
            + z
            * (
                2.48015873015873e-05
                + z
                * (
                    2.7557319223985893e-06
                    + z * (2.755731922398589e-07 + z * (2.505210838544172e-08 + z * 2.08767569878681e-09))
                )
            )
        )
    s = 1 + z * (0.5 + z * (0.16666666666666666 + z * (0.041666666666666664 + z * (0.008333333333333333 + z * s))))
    return tl.where(near, x * s, tl.exp(x) - 1)


@triton.jit
def sinh(x):
    """The hyperbolic sine."""
    a = tl.abs(x)
    e = expm1(a)
    return copysign(tl.where(a < 1, 0.5 * (e + e / (e + 1)), 0.5 * (tl.exp(a) - tl.exp(-a))), x)


@triton.jit
def hypot(x, y):
    """The length of a vector, without overflow."""
    a, b = tl.abs(x), tl.abs(y)
    most, least = tl.maximum(a, b), tl.minimum(a, b)
    share = ratio(least, tl.where(most == 0, 1.0, most))
    found = most * root(1 + share * share)
    found = tl.where((x != x) | (y != y), float("nan"), found)
    return tl.where((a == float("inf")) | (b == float("inf")), float("inf"), found)


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
    m = tl.where(odd & negated(x), m * -1, m)
    m = tl.where((x < 0) & (a < float("inf")) & (whole == 0), float("nan"), m)
    return tl.where((y == 0) | (x == 1) | ((x == -1) & (tl.abs(y) == float("inf"))), 1.0, m)


@triton.jit
def floor_divide(x, y):
    """The quotient rounded down, of what is left when the remainder is taken away."""
    q = ratio(x, y)
    r = fmod(x, y)
    whole = rint(ratio(x - r, y))
    whole = tl.where((r != 0) & ((r < 0) != (y < 0)), whole - 1, whole)
    return tl.where(y == 0, q, tl.where(whole == 0, copysign(whole, q), whole))


@triton.jit
def left_shift(x, y):
    """Bits moved up; nothing is left where they are moved by all that there are."""
    inside = (y >= 0) & (y < x.dtype.primitive_bitwidth)
    return tl.where(inside, x << tl.where(inside, y, 0), 0)


@triton.jit
def right_shift(x, y):
    """Bits moved down; the sign is left where they are moved by all that there are."""
    inside = (y >= 0) & (y < x.dtype.primitive_bitwidth)
    return tl.where(inside, x >> tl.where(inside, y, 0), tl.where(x < 0, x * 0 - 1, x * 0))


@triton.jit
def whole_remainder(x, y):
    """The remainder of whole numbers, of the sign of the divisor; 0 of a division by 0."""
    safe = tl.where(y == 0, y * 0 + 1, y)
    r = x % safe
    r = tl.where((r != 0) & ((r < 0) != (safe < 0)), r + safe, r)
    return tl.where(y == 0, y * 0, r)


@triton.jit
def whole_quotient(x, y):
    """The quotient of whole numbers, rounded down; 0 of a division by 0."""
    safe = tl.where(y == 0, y * 0 + 1, y)
    r = x % safe
    q = x // safe
    q = tl.where((r != 0) & ((r < 0) != (safe < 0)), q - 1, q)
    return tl.where(y == 0, y * 0, q)


@triton.jit
def rint(x):
    """The nearest whole number, the even one of two."""
    low = tl.floor(x)
    gap = x - low
    odd = tl.floor(low * 0.5) * 2 != low
    y = tl.where((gap > 0.5) | ((gap == 0.5) & odd), low + 1, low)
    return tl.where((y == 0) & (x != 0), copysign(y, x), tl.where(tl.abs(x) < float("inf"), y, x))


@triton.jit
def bits(x):
    """The bits of a float as a whole number, which is negative where the sign is set."""
    if x.dtype == tl.float64:
        return x.to(tl.int64, bitcast=True)
    else:
        return x.to(tl.int32, bitcast=True)


@triton.jit
def negated(x):
    """Whether the sign is set, also that of a zero."""
    return bits(x) < 0


@triton.jit
def copysign(x, y):
    """The size of one with the sign of the other."""
    own = bits(x)
    most = tl.full([1, 1], 1, own.dtype) << (own.dtype.primitive_bitwidth - 1)
    return ((own & ~most) | (bits(y) & most)).to(x.dtype, bitcast=True)


@triton.jit
def fmod(x, y):
    """What is left of a division, with the sign of what was divided."""
    a, b = tl.abs(x), tl.abs(y)
    r = tl.fma(tl.floor(ratio(a, b)), b * -1, a)
    r = tl.where(r < 0, r + b, r)  # the quotient was rounded up
    r = tl.where(r >= b, r - b, r)
    r = tl.where((b == float("inf")) & (a < b), a, r)
    return copysign(r, x)


@triton.jit
def remainder(x, y):
    """What is left of a division that is rounded down: of the sign of what it was divided by."""
    r = fmod(x, y)
    r = tl.where((r != 0) & ((r < 0) != (y < 0)), r + y, r)
    return tl.where(r == 0, copysign(tl.abs(r), y), r)


@triton.jit
def cbrt(x):
    """The cube root: a power, then a step of Newton's."""
    a = tl.abs(x)
    usual = (a > 0) & (a < float("inf"))
    safe = tl.where(usual, a, 1.0)
    y = tl.exp2(tl.log2(safe) * 0.3333333333333333)
    y = y - (y - safe / (y * y)) * 0.3333333333333333
    return copysign(tl.where(usual, y, a), x)


@triton.jit
def arctan(x):
    """The angle of a tangent, by the rational function of Cephes."""
    a = tl.abs(x)
    far, middle = a > 2.414213562373095, a > 0.66
    inverse = tl.where(far, -1 / tl.where(far, a, 1.0), (a - 1) / (a + 1))
    t = tl.where(middle, inverse, a)
    base = tl.where(far, 2, tl.where(middle, 1, 0)).to(x.dtype) * 0.7853981633974483
    z = t * t
    p = (
        ((-0.8750608600031904 * z - 16.157537187333652) * z - 75.00855792314705) * z - 122.88666844901361
    ) * z - 64.85021904942025
    q = (
        (((z + 24.858464901423062) * z + 165.02700983169885) * z + 432.88106049129027) * z + 485.3903996359137
    ) * z + 194.5506571482614
    y = base + (t + t * z * p / q)
    return copysign(y, x)


@triton.jit
def arctan2(y, x):
    """The angle of a point."""
    a, b = tl.abs(y), tl.abs(x)
    same = a == b  # both infinite, or both nothing
    slope = a / tl.where(b == 0, 1.0, b)
    angle = tl.where(b == 0, tl.where(a == 0, 0, 1).to(slope.dtype) * 1.5707963267948966, arctan(slope))
    angle = tl.where(same & (a != 0), 0.7853981633974483, angle)
    angle = tl.where(negated(x), 3.141592653589793 - angle, angle)
    angle = tl.where((x != x) | (y != y), float("nan"), angle)
    return copysign(angle, y)


@triton.jit
def product(a, b):
    """One by the other."""
    return a * b

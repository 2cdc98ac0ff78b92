"""The error functions and the distributions made of them."""

from __future__ import annotations

from workbench.fusion.cpu import coefficients as table
from workbench.fusion.cpu.exponential import exp_of_sum, quotient, reciprocal
from workbench.fusion.cpu.ir import Value
from workbench.fusion.cpu.trigonometry import exact_product

__all__ = ["erf", "erfc", "expit", "ndtr"]

#: where the polynomial of the tail has its middle
TAIL_CENTRE = {"f64": 3.75, "f32": 2.5}
#: beyond, erfc is 0
TAIL_END = {"f64": 28.0, "f32": 11.0}
#: where erf is 1 in single precision
ONE_FROM = 4.0
SQRT_HALF = (0.7071067811865476, -4.833646656726457e-17)


def _tail(a: Value, minus_square: Value, low: Value) -> Value:
    """Return erfc(a) for a >= 0, given -(a^2) as a sum of two parts."""
    kind = a.kind
    centre = TAIL_CENTRE[kind]
    # One division for both: t = (a - c) / (a + c), and 1 / (1 + 2 a).
    shifted, twice = a + centre, a.fma(2.0, 1.0)
    inverse = reciprocal(shifted * twice)
    t = (a - centre) * (inverse * twice)
    p = t.poly(table.TAIL[kind], 2)
    return p * (inverse * shifted) * exp_of_sum(minus_square, low)


def _bounded(a: Value) -> Value:
    end = a.like(TAIL_END[a.kind])
    return end.lt(a).where(end, a)


def erfc(x: Value) -> Value:
    """Return the complementary error function."""
    a = _bounded(x.abs())
    square, low = exact_product(a, a)
    tail = _tail(a, -square, -low)
    tail = x.eq(0.0).where(1.0, tail)  # an ulp off it would be, without
    return x.lt(0.0).where(2.0 - tail, tail)


def erf(x: Value) -> Value:
    """Return the error function."""
    a = x.abs()
    if x.kind == "f32":  # without a division
        end = x.like(ONE_FROM)
        a = end.lt(a).where(end, a)
        far = 1.0 - exp_of_sum(a.poly(table.LOG_TAIL, 2), normal=True)
    else:
        a = _bounded(a)
        # The argument needs no second part: here the tail is added to 1.
        far = 1.0 - _tail(a, -(a * a), a.like(0.0))
    z = a * a
    near = a.fma(z.poly(table.ERF[x.kind], 2), a)
    return a.compare("oge", 1.0).where(far, near).intrinsic("copysign", x)  # NaN is near: there it stays NaN


def ndtr(x: Value) -> Value:
    """Return the distribution function of the standard normal distribution."""
    y = x.abs()
    end = y.like(TAIL_END[x.kind] * 1.4142135)
    y = end.lt(y).where(end, y)
    # Half the square of y, not the square of y / sqrt(2): the latter would carry the rounding of the quotient.
    square, low = exact_product(y, y)
    half = _tail(y * SQRT_HALF[0], square * -0.5, low * -0.5) * 0.5
    half = x.eq(0.0).where(0.5, half)
    return x.gt(0.0).where(1.0 - half, half)


def expit(x: Value) -> Value:
    """Return the logistic function 1 / (1 + e^-x)."""
    a = x.abs()
    end = a.like({"f64": 746.0, "f32": 104.0}[x.kind])
    e = exp_of_sum(-end.lt(a).where(end, a))
    return quotient(x.lt(0.0).where(e, 1.0), e + 1.0)

"""Powers, cube root and the length of a vector."""

from __future__ import annotations

from workbench.fusion.cpu import coefficients as table
from workbench.fusion.cpu.exponential import FRACTION, LN2, exp_of_sum, reciprocal, split_exponent
from workbench.fusion.cpu.ir import Value
from workbench.fusion.cpu.trigonometry import exact_product

__all__ = ["cbrt", "hypot", "power"]

INFINITY = float("inf")


def _log_pair(x: Value) -> tuple[Value, Value]:
    """Return log(x) as a sum of two parts, good to 2^-65, for positive finite x."""
    m, k = split_exponent(x)
    # s = (m - 1) / (m + 1) in two parts.
    num, den = m - 1.0, m + 1.0
    den_low = m - (den - 1.0)
    inverse = reciprocal(den)
    s = num * inverse
    product, error = exact_product(s, den)
    s_low = (((num - product) - error) - s * den_low) * inverse
    # log(m) = 2 s + 2/3 s^3 + s^5 P(s^2), the cube in two parts.
    z, z_low = exact_product(s, s)
    z_low = z_low + s * s_low * 2.0
    cube, cube_low = exact_product(z, s)
    cube_low = cube_low + z * s_low + z_low * s
    third, third_low = exact_product(cube, x.like(0.6666666666666666))
    third_low = third_low + (cube * 3.700743415417188e-17 + cube_low * 0.6666666666666666)
    fifth = cube * z * z.poly(table.POW["f64"], 2)
    third_low = third_low + fifth
    high, low = k * LN2["f64"][0], k * LN2["f64"][1]
    # k ln 2 (exact in its first part), then 2 s, then the cube: each at least as large as the next, or zero.
    low_exact, low_error = _two_sum(low, s * 2.0)
    total, lost = _two_sum(high, low_exact)
    total, lost_too = _two_sum(total, third)
    tail = (lost + lost_too) + (low_error + (s_low * 2.0 + third_low))
    result = total + tail
    return result, (total - result) + tail


def _two_sum(a: Value, b: Value) -> tuple[Value, Value]:
    """Return a sum and its rounding error."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def power(x: Value, y: Value) -> Value:
    """Return x to the power of y."""
    if x.kind == "f32":
        return power(x.cast("fpext", "f64"), y.cast("fpext", "f64")).cast("fptrunc", "f32")
    a = x.abs()
    log_a, log_low = _log_pair(a)
    # Beyond these bounds the result is 0 or inf whatever a is; within, products do not overflow.
    limited = _limit(y, 1e300)
    product, error = exact_product(log_a, limited)
    error = error + log_low * limited
    inside = product.abs().lt(760.0)
    argument = inside.where(product, product.gt(0.0).where(product.like(760.0), product.like(-760.0)))
    result = exp_of_sum(argument, inside.where(error, 0.0))
    # Zero, inf and NaN have no logarithm; their powers are known by the signs.
    grows = y.gt(0.0)
    result = a.eq(0.0).where(grows.where(a.like(0.0), a.like(INFINITY)), result)
    result = a.eq(INFINITY).where(grows.where(a.like(INFINITY), a.like(0.0)), result)
    endless = y.abs().eq(INFINITY)
    beyond = (a.gt(1.0) ^ grows).where(a.like(0.0), a.like(INFINITY))
    result = endless.where(a.eq(1.0).where(a.like(1.0), beyond), result)
    # A negative base: whole powers only, odd ones negative.
    half = y * 0.5
    whole = y.intrinsic("trunc").eq(y)
    odd = whole & half.intrinsic("trunc").ne(half)
    negative = x.bits().lt(0)
    result = (negative & odd).where(-result, result)
    bad = x.lt(0.0) & ~whole & ~endless & ~a.eq(INFINITY)
    result = bad.where(float("nan"), result)
    result = (x.is_nan() | y.is_nan()).where(x + y, result)
    return (y.eq(0.0) | x.eq(1.0)).where(1.0, result)


def _limit(y: Value, bound: float) -> Value:
    y = y.gt(bound).where(y.like(bound), y)
    return y.lt(-bound).where(y.like(-bound), y)


def cbrt(x: Value) -> Value:
    """Return the cube root."""
    kind = x.kind
    if kind == "f32":
        return cbrt(x.cast("fpext", "f64")).cast("fptrunc", "f32")
    a = x.abs()
    tiny = a.lt(2.2250738585072014e-308)
    scaled = tiny.where(a * 2.0**54, a)
    bits = scaled.bits()
    exponent = (bits >> FRACTION[kind]).cast("trunc", "i32").cast("sitofp", kind) - 1023.0
    m = ((bits & ((1 << 52) - 1)) | (1023 << 52)).bits()
    third = (exponent * (1.0 / 3.0)).intrinsic("floor")
    rest = exponent - third * 3.0  # 0, 1 or 2; the quotient of -1 or a multiple of 3 may be off by one
    low, high = rest.lt(0.0), rest.gt(2.0)
    third = low.where(third - 1.0, high.where(third + 1.0, third))
    rest = low.where(rest + 3.0, high.where(rest - 3.0, rest))
    # z goes to m^(-1/3): two steps of third order.
    z = m.poly(table.CBRT[kind])
    for _ in range(2):
        h = 1.0 - m * z * z * z
        z = (z * h).fma(h.fma(2.0 / 9.0, 1.0 / 3.0), z)
    factor = rest.eq(1.0).where(x.like(1.2599210498948732), rest.eq(2.0).where(x.like(1.5874010519681994), 1.0))
    base = rest.eq(1.0).where(m * 2.0, rest.eq(2.0).where(m * 4.0, m))
    y = m * z * z * factor
    square, square_low = exact_product(y, y)
    cubed, cubed_low = exact_product(square, y)
    wrong = (base - cubed) - (cubed_low + square_low * y)
    y = y + wrong / (square * 3.0)
    power = (((third.cast("fptosi", "i32").cast("sext", "i64")) + 1023) << 52).bits()
    result = y * power
    result = tiny.where(result * 2.0**-18, result)
    result = (a.eq(0.0) | a.compare("ueq", a.like(INFINITY))).where(x, result)
    return result.intrinsic("copysign", x)


def hypot(x: Value, y: Value) -> Value:
    """Return the square root of x^2 + y^2 without overflow on the way."""
    if x.kind == "f32":
        return hypot(x.cast("fpext", "f64"), y.cast("fpext", "f64")).cast("fptrunc", "f32")
    a, b = x.abs(), y.abs()
    first = a.gt(b)
    large, small = first.where(a, b), first.where(b, a)
    huge, tiny = large.gt(2.0**500), large.lt(2.0**-450)
    up = tiny.where(x.like(2.0**600), x.like(1.0))
    factor = huge.where(x.like(2.0**-600), up)
    back = huge.where(x.like(2.0**600), tiny.where(x.like(2.0**-600), x.like(1.0)))
    large, small = large * factor, small * factor
    result = large.fma(large, small * small).sqrt() * back
    return (a.eq(INFINITY) | b.eq(INFINITY)).where(INFINITY, result)

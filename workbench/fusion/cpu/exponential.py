"""Exponentials, logarithms and the hyperbolic functions that are made of them."""

from __future__ import annotations

import math
from collections.abc import Callable

from workbench.fusion.cpu import coefficients as table
from workbench.fusion.cpu.ir import BITS, Value, joined, pieces

__all__ = [
    "acosh",
    "asinh",
    "atanh",
    "cosh",
    "exp",
    "exp2",
    "exp_of_sum",
    "expm1",
    "log",
    "log1p",
    "log2",
    "log10",
    "power_of_two",
    "quotient",
    "reciprocal",
    "scale",
    "sinh",
    "split_exponent",
    "tanh",
]

LOG2E = 1.4426950408889634
#: ln 2 in two parts: the first has so few digits that its product with an exponent is exact
LN2 = {"f64": (0.693147180369123816490, 1.90821492927058770002e-10), "f32": (0.693359375, -2.12194440e-4)}
#: below, exp is 0; above, it is inf
EXP_RANGE = {"f64": (-746.0, 710.0), "f32": (-104.0, 89.0)}
EXP2_RANGE = {"f64": (-1076.0, 1025.0), "f32": (-151.0, 129.0)}
#: bits of the fraction, and bias of the exponent
FRACTION = {"f64": 52, "f32": 23}
BIAS = {"f64": 1023, "f32": 127}
#: adding and taking this away again rounds to a whole number
MAGIC = {"f64": 6755399441055744.0, "f32": 12582912.0}
TINY = {"f64": 2.2250738585072014e-308, "f32": 1.1754943508222875e-38}
INFINITY = math.inf
NAN = math.nan


def clamp(x: Value, low: float, high: float) -> Value:
    """Return x within [low, high]; NaN stays."""
    x = x.like(high).lt(x).where(x.like(high), x)
    return x.like(low).gt(x).where(x.like(low), x)


def power_of_two(k: Value) -> Value:
    """Return 2^k of integers within the range of normal numbers, as floating point."""
    kind = "f64" if k.kind == "i64" else "f32"
    return ((k + BIAS[kind]) << FRACTION[kind]).bits()


def _whole_registers(x: Value) -> bool:
    """Whether a vector fills AVX-512's registers, one or several."""
    return x.code.scalef and x.lanes > 0 and BITS[x.kind] * x.lanes % 512 == 0


def _by_register(function: Callable[..., Value], *args: Value) -> Value:
    """Return what a function of single registers gives for vectors of several."""
    lanes = 512 // BITS[args[0].kind]
    return joined([function(*each) for each in zip(*[pieces(x, lanes) for x in args], strict=True)])


def scale(x: Value, k: Value) -> Value:
    """Return x * 2^k for a floating whole number k, with gradual underflow, rounded once."""
    if _whole_registers(x):
        return _by_register(_scalef, x, k)
    if x.code.scalef:
        return x.code.call(x.kind, x.lanes, f"llvm.ldexp.v{x.lanes}{x.kind}.v{x.lanes}i32", x, k.cast("fptosi", "i32"))
    whole = k.cast("fptosi", "i64" if x.kind == "f64" else "i32")
    half = whole >> 1
    return x * power_of_two(half) * power_of_two(whole - half)


def _scalef(x: Value, k: Value) -> Value:
    name, mask = ("pd", "i8") if x.kind == "f64" else ("ps", "i16")
    every, rounding = Value(x.code, "-1", mask, 0), Value(x.code, "4", "i32", 0)
    call = f"llvm.x86.avx512.mask.scalef.{name}.512"
    return x.code.call(x.kind, x.lanes, call, x, k, x.like(0.0), every, rounding)


def _rcp14(x: Value) -> Value:
    name, mask = ("pd", "i8") if x.kind == "f64" else ("ps", "i16")
    every = Value(x.code, "-1", mask, 0)
    return x.code.call(x.kind, x.lanes, f"llvm.x86.avx512.rcp14.{name}.512", x, x.like(0.0), every)


def reciprocal(x: Value) -> Value:
    """Return 1 / x within 1.5 ulp for x neither tiny nor huge: by Newton's steps where a division would take longer."""
    if not _whole_registers(x):
        return 1.0 / x
    y = _by_register(_rcp14, x)
    for _ in range(2 if x.kind == "f64" else 1):
        y = y.fma((-x).fma(y, 1.0), y)
    return y


def quotient(a: Value, b: Value) -> Value:
    """Return a / b within an ulp, for b neither tiny nor huge."""
    if not _whole_registers(a):
        return a / b
    inverse = reciprocal(b)
    q = a * inverse
    return (-b).fma(q, a).fma(inverse, q)


def exp_of_sum(x: Value, low: Value | None = None, halvings: int = 0, normal: bool = False) -> Value:
    """Return exp(x + low) / 2^halvings, where `low` is far smaller than x; x is within range or NaN.

    With `normal` the result is known to be a normal number, or x is NaN: the power of two is added to its exponent.
    """
    kind = x.kind
    whole = x.fma(LOG2E, MAGIC[kind])
    k = whole - MAGIC[kind]
    high, rest = LN2[kind]
    r = k.fma(-rest, k.fma(-high, x))
    if low is not None:
        r = r + low
    p = r.poly(table.EXP[kind], 2)
    p = (r * r).fma(p, r) + 1.0
    if normal and not (halvings or p.code.scalef):
        # the last bits of `whole` are k; those above are shifted out
        return (p.bits() + (whole.bits() << FRACTION[kind])).bits()
    return scale(p, k - float(halvings) if halvings else k)


def exp(x: Value) -> Value:
    """Return e^x."""
    low, high = EXP_RANGE[x.kind]
    gone = x.like(low).gt(
        x
    )  # as where a mask has added -inf: on the way to 0 are numbers that processors are slow with
    x = x.like(high).lt(x).where(x.like(high), x)
    return gone.where(x.like(0.0), exp_of_sum(gone.where(x.like(0.0), x)))


def exp2(x: Value) -> Value:
    """Return 2^x; whole numbers give powers of two exactly."""
    x = clamp(x, *EXP2_RANGE[x.kind])
    k = x.intrinsic("rint")
    r = x - k
    return scale(r.fma(r.poly(table.EXP2[x.kind], 2), 1.0), k)


def expm1(x: Value) -> Value:
    """Return e^x - 1."""
    kind = x.kind
    bounded = clamp(x, -FRACTION[kind] - 3.0, EXP_RANGE[kind][1])
    k = (bounded * LOG2E).intrinsic("rint")
    high, rest = LN2[kind]
    r = k.fma(-rest, k.fma(-high, bounded))
    p = (r * r).fma(r.poly(table.EXP[kind], 2), r)
    # 2^k is out of range where the result is not yet: half of it is not.
    one = scale(x.like(1.0), k - 1.0)
    result = (one.fma(p, one - 0.5)) * 2.0
    small = x.abs().lt(1e-20)
    return small.where(x, result)  # keeps the sign of zero


def split_exponent(x: Value) -> tuple[Value, Value]:
    """Return m in [sqrt(1/2), sqrt(2)) and the floating whole number k with x = m * 2^k, for x > 0."""
    kind = x.kind
    fraction = FRACTION[kind]
    subnormal = x.lt(TINY[kind])
    x = subnormal.where(x * 2.0 ** (fraction + 2), x)
    # Subtracting the bits of sqrt(1/2) makes its exponent the zero of k.
    root = {"f64": 0x3FE6A09E667F3BCD, "f32": 0x3F3504F3}[kind]
    bits = x.bits()
    offset = bits - root
    k = offset >> fraction
    m = (bits - (k << fraction)).bits()
    if kind == "f64":
        # 64-bit integers convert fast on few targets; these fit 32 bits.
        k = k.cast("trunc", "i32")
    exponent = k.cast("sitofp", kind)
    return m, subnormal.where(exponent - float(fraction + 2), exponent)


def log_special(x: Value, result: Value) -> Value:
    """Return what a logarithm gives at 0, below, at inf and NaN, elsewhere `result`."""
    result = x.lt(INFINITY).where(result, x)
    # 0 gives -inf; below it, NaN.
    bad = x.eq(0.0).where(x.like(-INFINITY), x.like(NAN))
    return x.le(0.0).where(bad, result)


def _log_parts(m: Value) -> tuple[Value, Value]:
    """Return f = m - 1 and g with log(m) = f - g, for m in [sqrt(1/2), sqrt(2))."""
    f = m - 1.0
    s = f * reciprocal(f + 2.0)
    z = s * s
    half = f * f * 0.5
    # z * R(z) is log(m)/s - 2: its coefficients are those of the series in s^2.
    return f, half - s * (half + z * z.poly(table.LOG[m.kind], 2))


def log(x: Value) -> Value:
    """Return the natural logarithm."""
    m, k = split_exponent(x)
    f, g = _log_parts(m)
    high, rest = LN2[x.kind]
    return log_special(x, k.fma(high, f - (g - k * rest)))


def _scaled_log(x: Value, factor: tuple[float, float], unit: tuple[float, float]) -> Value:
    """Return log(x) times a factor in two parts; `unit` is that of 2, in two parts."""
    if x.kind == "f32":
        return _scaled_log(x.cast("fpext", "f64"), factor, unit).cast("fptrunc", "f32")
    m, k = split_exponent(x)
    f, g = _log_parts(m)
    # log(m) as a sum whose first part has few digits, so that its product with the factor's first part is exact.
    first = ((f - g).bits() & -(1 << 32)).bits()
    rest = (f - first) - g
    high = first * factor[0]
    low = rest.fma(factor[0] + factor[1], first * factor[1])
    base = k * unit[0]
    total = base + high
    low = low + k.fma(unit[1], (base - total) + high)
    return log_special(x, total + low)


def log2(x: Value) -> Value:
    """Return the logarithm to base 2; powers of two are exact."""
    return _scaled_log(x, (1.44269504072144627571, 1.67517131648865118353e-10), (1.0, 0.0))


def log10(x: Value) -> Value:
    """Return the logarithm to base 10."""
    return _scaled_log(
        x,
        (4.34294481878168880939e-01, 2.50829467116452752298e-11),
        (3.01029995663611771306e-01, 3.69423907715893078616e-13),
    )


def log1p(x: Value) -> Value:
    """Return log(1 + x)."""
    u = x + 1.0
    m, k = split_exponent(u)
    # What the sum 1 + x lost, on the scale of m.
    lost = u.gt(2.0).where(1.0 - (u - x), x - (u - 1.0)) / u
    f, g = _log_parts(m)
    high, rest = LN2[x.kind]
    result = k.fma(high, f - (g - (k.fma(rest, lost))))
    result = log_special(u, result)
    # Below half an ulp of 1 it is x; this also keeps the sign of zero.
    return x.abs().lt({"f64": 2.0**-54, "f32": 2.0**-25}[x.kind]).where(x, result)


def _sign_of(result: Value, x: Value) -> Value:
    return result.intrinsic("copysign", x)


def sinh(x: Value) -> Value:
    """Return the hyperbolic sine."""
    a = x.abs()
    t = expm1(a)
    small = (t + quotient(t, t + 1.0)) * 0.5
    large = exp_of_sum(clamp(a, 0.0, EXP_RANGE[x.kind][1] + 1.0), halvings=1)
    return _sign_of(a.gt(22.0).where(large, small), x)


def cosh(x: Value) -> Value:
    """Return the hyperbolic cosine."""
    e = exp_of_sum(clamp(x.abs(), 0.0, EXP_RANGE[x.kind][1] + 1.0), halvings=1)
    return e + 0.25 / e


def tanh(x: Value) -> Value:
    """Return the hyperbolic tangent."""
    a = clamp(x.abs(), 0.0, 22.0)
    t = expm1(a * 2.0)
    return _sign_of(quotient(t, t + 2.0), x)


def asinh(x: Value) -> Value:
    """Return the inverse hyperbolic sine."""
    a = x.abs()
    square = a * a
    near = log1p(a + square / ((square + 1.0).sqrt() + 1.0))
    far = log(a) + 0.6931471805599453
    return _sign_of(a.gt({"f64": 2.0**28, "f32": 2.0**14}[x.kind]).where(far, near), x)


def acosh(x: Value) -> Value:
    """Return the inverse hyperbolic cosine, NaN below 1."""
    t = x - 1.0
    near = log1p(t + (t * (t + 2.0)).sqrt())
    far = log(x) + 0.6931471805599453
    result = x.gt({"f64": 2.0**28, "f32": 2.0**14}[x.kind]).where(far, near)
    return x.lt(1.0).where(x.like(NAN), result)


def atanh(x: Value) -> Value:
    """Return the inverse hyperbolic tangent, NaN beyond 1."""
    a = x.abs()
    twice = a + a
    rest = 1.0 - a
    argument = a.lt(0.5).where(twice + twice * a / rest, twice / rest)
    result = log1p(argument) * 0.5
    return _sign_of(a.gt(1.0).where(x.like(NAN), result), x)

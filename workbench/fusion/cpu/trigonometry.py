"""Sine, cosine, tangent and their inverses."""

from __future__ import annotations

from workbench.fusion.cpu import coefficients as table
from workbench.fusion.cpu.ir import Value

__all__ = ["LARGE", "acos", "asin", "atan", "atan2", "cos", "sin", "tan"]

#: from here on the argument's reduction needs more digits of pi than the vector code has
LARGE = {"f64": 2.0**26, "f32": 2.0**24}
PI, PI_LOW = 3.141592653589793, 1.2246467991473532e-16
#: pi/2 in three parts
HALF_PI = (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33)
TWO_OVER_PI = 0.6366197723675814
TAN_EIGHTH, COT_EIGHTH = 0.41421356237309503, 2.414213562373095


def _split(a: Value) -> tuple[Value, Value]:
    """Return a as a sum of two halves of its digits."""
    big = a * 134217729.0
    high = big - (big - a)
    return high, a - high


def exact_product(a: Value, b: Value) -> tuple[Value, Value]:
    """Return a product and its rounding error."""
    product = a.op("fmul", b)
    if a.code.fma:
        return product, a.fma(b, -product)
    (ah, al), (bh, bl) = _split(a), _split(b)
    return product, ((ah * bh - product) + ah * bl + al * bh) + al * bl


#: adding and taking this away again rounds to a whole number, whose last digits are then the last bits of the sum
MAGIC = 6755399441055744.0


def _turns(x: Value) -> tuple[Value, Value]:
    """Return how many quarter turns an angle has, as a floating number, and with it in its last bits. Double only."""
    moved = x.fma(TWO_OVER_PI, MAGIC)
    return moved - MAGIC, moved.bits()


def _reduce(x: Value) -> tuple[Value, Value, Value]:
    """Return n, r, s with x = n * pi/2 + r + s, |r| <= pi/4, s far smaller; n modulo 4 in its last bits.

    Infinities and NaN give NaN; beyond LARGE, where scalar code answers, it is a number without meaning.
    """
    if x.kind == "f32":
        wide = x.cast("fpext", "f64")
        k, n = _turns(wide)
        r = k.fma(-HALF_PI[1], k.fma(-HALF_PI[0], wide)) if x.code.fma else _whole(_parts(wide, k))
        return n.cast("trunc", "i32"), r.cast("fptrunc", "f32"), x.like(0.0)
    k, n = _turns(x)
    return n, *_parts(x, k)


def _parts(x: Value, k: Value) -> tuple[Value, Value]:
    """Return x - k * pi/2 as a sum of two parts."""
    # Exact: x and k * pi/2 rounded are both whole multiples of the last digit of x.
    if x.code.fma:
        first = k.fma(-HALF_PI[0], x)
    else:
        high, error = exact_product(k, x.like(HALF_PI[0]))
        first = (x - high) - error
    step, lost = exact_product(k, x.like(HALF_PI[1]))
    r = first - step
    return r, ((first - r) - step) - k.fma(HALF_PI[2], lost)


def _whole(parts: tuple[Value, Value]) -> Value:
    return parts[0] + parts[1]


def _turned(result: Value, n: Value) -> Value:
    """Return the result, negated where the second bit of n is set."""
    top = 62 if result.kind == "f64" else 30
    return (result.bits() ^ ((n & 2) << top)).bits()


def _sine(r: Value, s: Value) -> Value:
    z = r * r
    p = z.poly(table.SIN[r.kind], 2)
    # sin(r + s) is sin(r) + s, as s is smaller than the last digit of r.
    return r + ((z * r).fma(p, s) if r.kind == "f64" else (z * r) * p)


def _cosine(r: Value, s: Value) -> Value:
    z = r * r
    p = (z * z) * z.poly(table.COS[r.kind], 2)
    if r.kind == "f64":
        p = (-r).fma(s, p)
    return z.fma(-0.5, p + 1.0)


def sin(x: Value) -> Value:
    """Return the sine, for |x| < LARGE."""
    n, r, s = _reduce(x)
    odd = (n & 1).ne(0)
    result = odd.where(_cosine(r, s), _sine(r, s))
    return x.eq(0.0).where(x, _turned(result, n))


def cos(x: Value) -> Value:
    """Return the cosine, for |x| < LARGE."""
    n, r, s = _reduce(x)
    odd = (n & 1).ne(0)
    result = odd.where(_sine(r, s), _cosine(r, s))
    return _turned(result, n + 1)


def tan(x: Value) -> Value:
    """Return the tangent, for |x| < LARGE."""
    n, r, s = _reduce(x)
    sine, cosine = _sine(r, s), _cosine(r, s)
    odd = (n & 1).ne(0)
    result = odd.where(-cosine, sine) / odd.where(sine, cosine)
    return x.eq(0.0).where(x, result)


def asin(x: Value) -> Value:
    """Return the arc sine, NaN beyond 1."""
    a = x.abs()
    low = a.lt(0.5)
    z = low.where(a * a, (1.0 - a) * 0.5)
    root = z.sqrt()
    y = low.where(a, root)
    p = (y * z).fma(z.poly(table.ASIN[x.kind], 2), y)
    result = low.where(p, PI / 2 - (p * 2.0 - PI_LOW / 2))
    return result.intrinsic("copysign", x)


def acos(x: Value) -> Value:
    """Return the arc cosine, NaN beyond 1."""
    a = x.abs()
    low = a.lt(0.5)
    z = low.where(a * a, (1.0 - a) * 0.5)
    root = z.sqrt()
    y = low.where(x, root)
    p = (y * z).fma(z.poly(table.ASIN[x.kind], 2), y)
    far = p * 2.0
    far = x.lt(0.0).where(PI - (far - PI_LOW), far)
    return low.where(PI / 2 - (p - PI_LOW / 2), far)


def _arc(num: Value, den: Value) -> Value:
    """Return atan(num / den) of magnitudes, not both zero or both infinite."""
    low = num.le(den * TAN_EIGHTH)
    high = num.gt(den * COT_EIGHTH)
    top = low.where(num, high.where(-den, num - den))
    bottom = low.where(den, high.where(num, num + den))
    y = top / bottom
    z = y * y
    base = low.where(num.like(0.0), high.where(num.like(PI / 2), num.like(PI / 4)))
    rest = low.where(num.like(0.0), high.where(num.like(PI_LOW / 2), num.like(PI_LOW / 4)))
    if num.kind == "f32":
        # In single precision what rounding takes from pi/2 is larger.
        rest = low.where(num.like(0.0), high.where(num.like(-4.371139e-08), num.like(-2.1855695e-08)))
    p = (y * z).fma(z.poly(table.ATAN[num.kind], 2), rest)
    return base + (y + p)


def atan(x: Value) -> Value:
    """Return the arc tangent."""
    return _arc(x.abs(), x.like(1.0)).intrinsic("copysign", x)


def atan2(y: Value, x: Value) -> Value:
    """Return the angle of the point (x, y)."""
    if x.kind == "f32":
        return atan2(y.cast("fpext", "f64"), x.cast("fpext", "f64")).cast("fptrunc", "f32")
    a, b = y.abs(), x.abs()
    # A quarter of both, as the sum of two large numbers overflows; both infinite make the diagonal.
    large = a.gt(b).where(a, b).gt(2.0**1021)
    both = (a.eq(float("inf"))) & (b.eq(float("inf")))
    a = both.where(1.0, large.where(a * 0.25, a))
    b = both.where(1.0, large.where(b * 0.25, b))
    nothing = a.eq(0.0) & b.compare("ord", b)
    result = nothing.where(0.0, _arc(a, b))
    left = x.bits().lt(0)
    result = left.where(PI - (result - PI_LOW), result)
    return result.intrinsic("copysign", y)

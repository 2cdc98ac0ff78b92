"""Elementwise operations as vector code: for each name of the op table, with NumPy's values at the edges."""

from __future__ import annotations

import math
from collections.abc import Callable

from workbench.fusion.cpu import division, vmath
from workbench.fusion.cpu.ir import BITS, Code, Value
from workbench.fusion.cpu.module import Module

__all__ = ["apply", "cast", "kind_of", "maximum", "minimum", "signed"]

#: dtype -> what LLVM holds it in
_KINDS = {
    "bool": "i1", "int8": "i8", "uint8": "i8", "int16": "i16", "uint16": "i16", "int32": "i32", "uint32": "i32",
    "int64": "i64", "uint64": "i64", "float32": "f32", "float64": "f64",
}  # fmt: skip


def kind_of(dtype: str) -> str:
    """Return the kind of value that holds a dtype; bool is one bit."""
    return _KINDS[dtype]


def signed(dtype: str) -> bool:
    """Return whether a dtype is a signed integer."""
    return dtype.startswith("int")


def minimum(a: Value, b: Value, sign: bool = True) -> Value:
    """Return the lesser; NaN if one is."""
    if a.kind == "i1":
        return a & b
    if a.floating:
        return (a.lt(b) | a.is_nan()).where(a, b)
    return a.intrinsic("smin" if sign else "umin", b)


def maximum(a: Value, b: Value, sign: bool = True) -> Value:
    """Return the greater; NaN if one is."""
    if a.kind == "i1":
        return a | b
    if a.floating:
        return (a.gt(b) | a.is_nan()).where(a, b)
    return a.intrinsic("smax" if sign else "umax", b)


def truth(x: Value) -> Value:
    """Return where a value is not zero."""
    return x if x.kind == "i1" else x.ne(0)


def cast(x: Value, source: str, target: str) -> Value:
    """Return x converted as NumPy does, out of range too."""
    kind = kind_of(target)
    if target == "bool":
        return truth(x)
    if source == target or (x.kind == kind and not x.floating):
        return x
    if x.kind == "i1":
        return x.cast("uitofp" if kind[0] == "f" else "zext", kind)
    if x.floating:
        if kind[0] == "f":
            return x.cast("fpext" if kind == "f64" else "fptrunc", kind)
        return _to_integer(x, target)
    if kind[0] == "f":
        return x.cast("sitofp" if signed(source) else "uitofp", kind)
    if BITS[kind] < BITS[x.kind]:
        return x.cast("trunc", kind)
    return x.cast("sext" if signed(source) else "zext", kind)


def _to_integer(x: Value, target: str) -> Value:
    kind = kind_of(target)
    if BITS[kind] < 32:  # by way of int32, as NumPy's C code does
        return _in_range(x, "i32").cast("trunc", kind)
    if signed(target):
        return _in_range(x, kind)
    # The upper half of an unsigned range: less its middle, then the highest bit set.
    middle = 2.0 ** (BITS[kind] - 1)
    upper = x.ge(middle)
    found = _in_range(upper.where(x - middle, x), kind)
    return upper.where(found ^ -(1 << (BITS[kind] - 1)), found)


def _in_range(x: Value, kind: str) -> Value:
    bound = 2.0 ** (BITS[kind] - 1)
    if BITS[kind] == 32 and x.kind == "f64":
        inside = x.gt(-bound - 1.0) & x.lt(bound)
    else:
        inside = x.ge(-bound) & x.lt(bound)
    found = inside.where(x, 0.0).cast("fptosi", kind)
    return inside.where(found, -(1 << (BITS[kind] - 1)))


def apply(module: Module, code: Code, op: str, dtypes: list[str], result: str, args: list[Value]) -> Value:
    """Return an operation of the op table.

    Parameters
    ----------
    module : Module
    code : Code
        Where it is written.
    op : str
        Its name.
    dtypes : list of str
        Those of the inputs.
    result : str
        That of the result.
    args : list of Value
    """
    if op in vmath.ARITY and args[0].floating:
        return module.elementary(code, op, args)
    found = _SIMPLE.get(op)
    if found is not None:
        return found(*args)
    return _SPECIAL[op](module, code, dtypes, result, args)


def _sign(x: Value) -> Value:
    if x.floating:
        positive = x.gt(0.0).where(x.like(1.0), x.lt(0.0).where(x.like(-1.0), x.like(0.0)))
        return x.is_nan().where(x, positive)
    return x.gt(0).where(x.like(1), x.lt(0).where(x.like(-1), x.like(0)))


def _add(a: Value, b: Value) -> Value:
    return a | b if a.kind == "i1" else a + b


def _multiply(a: Value, b: Value) -> Value:
    return a & b if a.kind == "i1" else a * b


def _xor(a: Value, b: Value) -> Value:
    return truth(a) ^ truth(b)


def _fmin(a: Value, b: Value) -> Value:
    return (a.lt(b) | b.is_nan()).where(a, b)


def _fmax(a: Value, b: Value) -> Value:
    return (a.gt(b) | b.is_nan()).where(a, b)


def _round(name: str) -> Callable[[Value], Value]:
    return lambda x: x.intrinsic(name) if x.floating else x


#: NumPy divides in the precision of its argument
_PI = {"f64": math.pi, "f32": 3.1415927410125732}


def _radians(x: Value) -> Value:
    return x * (_PI[x.kind] / 180.0)


def _degrees(x: Value) -> Value:
    return x * (180.0 / _PI[x.kind])


_SIMPLE: dict[str, Callable[..., Value]] = {
    "add": _add,
    "subtract": lambda a, b: a - b,
    "multiply": _multiply,
    "divide": lambda a, b: a / b,
    "square": lambda a: _multiply(a, a),
    "sqrt": lambda a: a.sqrt(),
    "negative": lambda a: -a,
    "positive": lambda a: a,
    "fabs": lambda a: a.abs(),
    "deg2rad": _radians,
    "radians": _radians,
    "rad2deg": _degrees,
    "degrees": _degrees,
    "floor": _round("floor"),
    "ceil": _round("ceil"),
    "trunc": _round("trunc"),
    "rint": _round("rint"),
    "copysign": lambda a, b: a.intrinsic("copysign", b),
    "logical_and": lambda a, b: truth(a) & truth(b),
    "logical_or": lambda a, b: truth(a) | truth(b),
    "logical_xor": _xor,
    "logical_not": lambda a: ~truth(a),
    "bitwise_and": lambda a, b: a & b,
    "bitwise_or": lambda a, b: a | b,
    "bitwise_xor": lambda a, b: a ^ b,
    "invert": lambda a: ~a,
    "isnan": lambda a: a.is_nan() if a.floating else a.ne(a),
    "isinf": lambda a: a.abs().eq(math.inf) if a.floating else a.ne(a),
    "isfinite": lambda a: a.abs().lt(math.inf) if a.floating else a.eq(a),
    "signbit": lambda a: a.bits().lt(0),
}

Special = Callable[[Module, Code, list[str], str, list[Value]], Value]


def _comparison(ordered: str, signed_: str, unsigned: str) -> Special:
    def build(module: Module, code: Code, dtypes: list[str], result: str, args: list[Value]) -> Value:
        a, b = args
        if a.floating:
            return a.compare(ordered, b)
        if a.kind == "i1":
            return a.compare(unsigned, b)
        first, second = signed(dtypes[0]), signed(dtypes[1])
        if first == second:
            return a.compare(signed_ if first else unsigned, b)
        # int64 with uint64: what is below zero is below all of the other.
        below = a.lt(0) if first else b.lt(0)
        found = a.compare(unsigned, b)
        negative = {"ult": first, "ule": first, "ugt": not first, "uge": not first, "eq": False, "ne": True}[unsigned]
        return below.where(found.like(negative), found)

    return build


def _extreme(find: Callable[[Value, Value, bool], Value]) -> Special:
    def build(module: Module, code: Code, dtypes: list[str], result: str, args: list[Value]) -> Value:
        return find(args[0], args[1], signed(result))

    return build


def _f_extreme(quiet: Callable[[Value, Value], Value], find: Callable[[Value, Value, bool], Value]) -> Special:
    def build(module: Module, code: Code, dtypes: list[str], result: str, args: list[Value]) -> Value:
        return quiet(*args) if args[0].floating else find(args[0], args[1], signed(result))

    return build


def _clip(module: Module, code: Code, dtypes: list[str], result: str, args: list[Value]) -> Value:
    sign = signed(result)
    return minimum(maximum(args[0], args[1], sign), args[2], sign)


def _absolute(module: Module, code: Code, dtypes: list[str], result: str, args: list[Value]) -> Value:
    x = args[0]
    if x.floating:
        return x.abs()
    return x.lt(0).where(-x, x) if signed(result) else x


def _reciprocal(module: Module, code: Code, dtypes: list[str], result: str, args: list[Value]) -> Value:
    x = args[0]
    if x.floating:
        return 1.0 / x
    one = x.like(1)
    least = -(1 << (BITS[x.kind] - 1)) if signed(result) and BITS[x.kind] >= 32 else 0
    found = x.eq(1).where(one, x.like(0))
    if signed(result):
        found = x.eq(-1).where(x.like(-1), found)
    return x.eq(0).where(x.like(least), found)


def _sign_any(module: Module, code: Code, dtypes: list[str], result: str, args: list[Value]) -> Value:
    x = args[0]
    if x.floating or signed(result):
        return _sign(x)
    return x.ne(0).where(x.like(1), x.like(0))


def _shift(module: Module, code: Code, dtypes: list[str], result: str, args: list[Value], left: bool) -> Value:
    x, by = args
    inside = by.compare("ult", BITS[x.kind])
    safe = inside.where(by, 0)
    if left:
        return inside.where(x << safe, 0)
    if not signed(result):
        return inside.where(x.op("lshr", safe), 0)
    return x >> inside.where(by, BITS[x.kind] - 1)


def _left(module: Module, code: Code, dtypes: list[str], result: str, args: list[Value]) -> Value:
    return _shift(module, code, dtypes, result, args, True)


def _right(module: Module, code: Code, dtypes: list[str], result: str, args: list[Value]) -> Value:
    return _shift(module, code, dtypes, result, args, False)


def _power(module: Module, code: Code, dtypes: list[str], result: str, args: list[Value]) -> Value:
    """Return an integer power, modulo the width: NumPy raises before, if an exponent is negative."""
    x, y = args
    symbol = f"ipow.{x.kind}.{x.lanes}"
    if symbol not in module.definitions:
        vector, mask = x.type, f"<{x.lanes} x i1>"
        module.declared.add(f"declare i1 @llvm.vector.reduce.or.v{x.lanes}i1({mask})")
        scalar = x.kind
        module.definitions[symbol] = f"""define internal {vector} @{symbol}({vector} %x, {vector} %y) nounwind {{
entry:
  br label %loop
loop:
  %result = phi {vector} [ splat ({scalar} 1), %entry ], [ %next, %loop ]
  %base = phi {vector} [ %x, %entry ], [ %square, %loop ]
  %left = phi {vector} [ %y, %entry ], [ %rest, %loop ]
  %low = and {vector} %left, splat ({scalar} 1)
  %odd = icmp ne {vector} %low, zeroinitializer
  %product = mul {vector} %result, %base
  %next = select {mask} %odd, {vector} %product, {vector} %result
  %square = mul {vector} %base, %base
  %rest = lshr {vector} %left, splat ({scalar} 1)
  %some = icmp ne {vector} %rest, zeroinitializer
  %more = call i1 @llvm.vector.reduce.or.v{x.lanes}i1({mask} %some)
  br i1 %more, label %loop, label %end
end:
  ret {vector} %next
}}
"""
    return code.call(x.kind, x.lanes, symbol, x, y)


_SPECIAL: dict[str, Special] = {
    "less": _comparison("olt", "slt", "ult"),
    "less_equal": _comparison("ole", "sle", "ule"),
    "greater": _comparison("ogt", "sgt", "ugt"),
    "greater_equal": _comparison("oge", "sge", "uge"),
    "equal": _comparison("oeq", "eq", "eq"),
    "not_equal": _comparison("une", "ne", "ne"),
    "minimum": _extreme(minimum),
    "maximum": _extreme(maximum),
    "fmin": _f_extreme(_fmin, minimum),
    "fmax": _f_extreme(_fmax, maximum),
    "clip": _clip,
    "absolute": _absolute,
    "reciprocal": _reciprocal,
    "sign": _sign_any,
    "left_shift": _left,
    "right_shift": _right,
    "floor_divide": division.floor_divide,
    "remainder": division.remainder,
    "fmod": division.fmod,
    "power": _power,
}

"""Divisions and remainders as vector code: towards minus infinity as in Python, towards zero as in C."""

from __future__ import annotations

from workbench.fusion.cpu.ir import Code, Value
from workbench.fusion.cpu.module import Module

__all__ = ["floor_divide", "fmod", "remainder"]


def fmod(module: Module, code: Code, dtypes: list[str], result: str, args: list[Value]) -> Value:
    """Return C's remainder: exact, with the sign of the first."""
    a, b = args
    if a.floating:
        return module.scalar(code, "fmod", [a, b])
    if not result.startswith("int"):
        return _divide_integers(a, b, False)[1]
    bad = b.eq(0) | b.eq(-1)
    safe = bad.where(1, b)
    return bad.where(0, a.op("srem", safe))


def floor_divide(module: Module, code: Code, dtypes: list[str], result: str, args: list[Value]) -> Value:
    """Return the quotient towards minus infinity."""
    if args[0].floating:
        return _float_divmod(module, code, *args)[0]
    return _divide_integers(args[0], args[1], result.startswith("int"))[0]


def remainder(module: Module, code: Code, dtypes: list[str], result: str, args: list[Value]) -> Value:
    """Return what is left then, with the sign of the second."""
    if args[0].floating:
        return _float_divmod(module, code, *args)[1]
    return _divide_integers(args[0], args[1], result.startswith("int"))[1]


def _divide_integers(a: Value, b: Value, sign: bool) -> tuple[Value, Value]:
    """Return quotient and remainder towards minus infinity; both 0 where b is 0."""
    zero = b.eq(0)
    if not sign:
        safe = zero.where(1, b)
        q = a.op("udiv", safe)
        return zero.where(0, q), zero.where(0, a - q * safe)
    # The least integer by -1 would trap: its quotient wraps to itself.
    minus = b.eq(-1)
    safe = (zero | minus).where(1, b)
    q = a.op("sdiv", safe)
    r = a - q * safe
    off = r.ne(0) & (r ^ safe).lt(0)
    q, r = off.where(q - 1, q), off.where(r + safe, r)
    q = minus.where(-a, q)
    return zero.where(0, q), (zero | minus).where(0, r)


def _float_divmod(module: Module, code: Code, a: Value, b: Value) -> tuple[Value, Value]:
    """Return floor division and remainder as NumPy computes them."""
    mod = module.scalar(code, "fmod", [a, b])
    div = (a - mod) / b
    off = mod.ne(0.0) & mod.ne(mod.like(0.0)) & (b.lt(0.0) ^ mod.lt(0.0))
    whole = mod.eq(0.0)
    mod = whole.where(mod.like(0.0).intrinsic("copysign", b), off.where(mod + b, mod))
    div = off.where(div - 1.0, div)
    floor = div.intrinsic("floor")
    floor = (div - floor).gt(0.5).where(floor + 1.0, floor)
    quotient = a / b
    floor = div.eq(0.0).where(quotient.like(0.0).intrinsic("copysign", quotient), floor)
    return b.eq(0.0).where(quotient, floor), mod

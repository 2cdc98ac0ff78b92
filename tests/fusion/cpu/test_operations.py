"""Every operation of the op table, for each dtype that NumPy has it for, against NumPy and SciPy."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from tests.fusion.cpu.programs import Maker
from workbench.fusion import cpu
from workbench.fusion.cpu import vmath
from workbench.fusion.ops import DTYPES, OPS, loop_dtypes

NAMES = sorted(d.name for d in DTYPES)
LENGTHS = [0, 1, 3, 7, 8, 9, 31, 33, 255]
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.0, 7.0, np.inf, -np.inf, np.nan, 1e-310, 1e300, -1e300, 255.7, -129.3]


def values(dtype: str, count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return rng.integers(0, 2, count).astype(bool)
    if kind.kind == "f":
        found = rng.normal(0, 3, count)
        found[rng.random(count) < 0.4] = 0
        where = rng.random(count) < 0.5
        found[where] = rng.choice(SPECIAL, where.sum())
        with np.errstate(over="ignore"):
            return found.astype(kind)
    info = np.iinfo(kind)
    found = rng.integers(info.min, info.max, count, dtype=kind, endpoint=True)
    small = rng.random(count) < 0.6
    found[small] = rng.integers(max(info.min, -9), 10, small.sum()).astype(kind)
    found[rng.random(count) < 0.1] = info.min
    found[rng.random(count) < 0.1] = info.max
    return found


def loops_of(name: str, dtype: str) -> tuple[Any, ...] | None:
    """Return NumPy's dtypes for a call on arguments of this dtype; None where it has none, or converts."""
    arity = OPS[name].arity
    try:
        found = loop_dtypes(name, (np.dtype(dtype),) * arity)
    except TypeError:
        return None
    return found if all(d == np.dtype(dtype) for d in found[:arity]) and found[-1] in DTYPES else None


@cache
def compiled(dtype: str, bits: int | None) -> tuple[Any, list[str]]:
    """Return one program with all operations on a dtype."""
    maker = Maker()
    n = maker.size("n")
    for name in "abc":
        maker.buffer(name, dtype, (n,))
    body = maker.body()
    args = [body.load(name, "i") for name in "abc"]
    done = []
    for name in sorted(OPS):
        found = loops_of(name, dtype)
        if found is None:
            continue
        done.append(name)
        maker.buffer(f"o_{name}", found[-1].name, (n,), "out")
        body.store(f"o_{name}", ("i",), body.add(name, tuple(args[: OPS[name].arity]), found[-1].name))
    maker.loop([("i", n)], body)
    return cpu.compile(maker.program(), bits=bits), done


def close(name: str, got: np.ndarray, want: np.ndarray, dtype: str) -> None:
    loose = (name in vmath.NAMES or name in ("floor_divide", "remainder")) and want.dtype.kind == "f"
    if not loose:
        np.testing.assert_array_equal(got, want, err_msg=f"{name} of {dtype}")
        return
    eps = np.finfo(want.dtype).eps
    tiny = float(np.finfo(want.dtype).smallest_subnormal)
    bound = (
        1e-5 if eps > 1e-10 and name in ("erfc", "ndtr", "expit") else 2e-12 if name in ("erfc", "ndtr") else 8 * eps
    )
    np.testing.assert_allclose(got, want, rtol=bound, atol=4 * tiny, err_msg=f"{name} of {dtype}")


@pytest.mark.parametrize("bits", [None, 256, 128])
@pytest.mark.parametrize("dtype", NAMES)
def test_operation_table(dtype: str, bits: int | None) -> None:
    kernel, names = compiled(dtype, bits)
    for length in LENGTHS:
        a, b, c = [values(dtype, length, seed) for seed in (1, 2, 3)]
        if "power" in names and np.dtype(dtype).kind in "iu":
            b = np.abs(b // 2) if np.dtype(dtype).kind == "i" else b
            b[b < 0] = 0
        got = kernel.run({"a": a, "b": b, "c": c}, {"n": length})
        for name in names:
            with np.errstate(all="ignore"):
                if name == "clip":
                    want = np.minimum(np.maximum(a, b), c)
                else:
                    want = OPS[name].function(*(a, b)[: OPS[name].arity])
            if name == "reciprocal" and np.dtype(dtype).kind in "iu":
                keep = a != 0
                np.testing.assert_array_equal(got["o_reciprocal"][keep], want[keep])
                continue
            close(name, got[f"o_{name}"], want, dtype)


@pytest.mark.parametrize("first", ["int64", "uint64"])
def test_comparing_signed_with_unsigned_is_by_value(first: str) -> None:
    second = "uint64" if first == "int64" else "int64"
    maker = Maker()
    n = maker.size("n")
    maker.buffer("a", first, (n,))
    maker.buffer("b", second, (n,))
    body = maker.body()
    x, y = body.load("a", "i"), body.load("b", "i")
    names = ["less", "less_equal", "greater", "greater_equal", "equal", "not_equal"]
    for name in names:
        maker.buffer(name, "bool", (n,), "out")
        body.store(name, ("i",), body.add(name, (x, y), "bool"))
    maker.loop([("i", n)], body)
    a, b = values(first, 200, 5), values(second, 200, 6)
    b[:50] = a[:50].astype(second)
    got = cpu.compile(maker.program()).run({"a": a, "b": b}, {"n": 200})
    for name in names:
        np.testing.assert_array_equal(got[name], getattr(np, name)(a, b), err_msg=name)


@pytest.mark.parametrize("source", NAMES)
def test_casts_are_numpys(source: str) -> None:
    maker = Maker()
    n = maker.size("n")
    maker.buffer("a", source, (n,))
    body = maker.body()
    x = body.load("a", "i")
    for target in NAMES:
        if target != source:
            maker.buffer(target, target, (n,), "out")
            body.store(target, ("i",), body.add("cast", (x,), target))
    maker.loop([("i", n)], body)
    kernel = cpu.compile(maker.program())
    a = values(source, 333, 9)
    if np.dtype(source).kind == "f":
        extra = [2.0**31, -(2.0**31) - 1, 2.0**32, 2.0**63, -(2.0**63), 2.0**64, 1e20, -1e20, 300, -300, 4e9, 1e10]
        a[: len(extra)] = extra
    got = kernel.run({"a": a}, {"n": len(a)})
    for target in NAMES:
        if target == source:
            continue
        with np.errstate(all="ignore"):
            want = a.astype(target)
        if np.dtype(source).kind == "f" and target.startswith("uint"):
            # Out of an unsigned range, NumPy's own value depends on the processor.
            bits = np.iinfo(target).bits
            inside = np.isfinite(a) & (a > -1) & (a < 2.0**bits)
            np.testing.assert_array_equal(got[target][inside], want[inside], err_msg=target)
            continue
        np.testing.assert_array_equal(got[target], want, err_msg=target)


def test_exact_contracts_nothing() -> None:
    maker = Maker()
    n = maker.size("n")
    for name in "abc":
        maker.buffer(name, "float64", (n,))
    maker.buffer("o", "float64", (n,), "out")
    body = maker.body()
    x, y, z = [body.v(body.load(name, "i")) for name in "abc"]
    body.store("o", ("i",), (x * y + z).id)
    maker.loop([("i", n)], body)
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 1000))
    c = -a * b
    got = cpu.compile(maker.program(exact=True)).run({"a": a, "b": b, "c": c}, {"n": 1000})["o"]
    np.testing.assert_array_equal(got, a * b + c)
    assert not got.any()

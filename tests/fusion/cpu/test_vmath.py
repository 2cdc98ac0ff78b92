"""The elementary functions against higher precision, NumPy's special values, and libm."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.special

from tests.fusion.cpu.vectors import FLOATS, function
from workbench.fusion.cpu import machine, vmath

SCIPY = ("erf", "erfc", "expit", "ndtr")
VARIANTS = [{}, {"bits": 256}, {"bits": 128}, {"bits": 128, "fma": False}]
SPECIAL = [
    0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, -3.0, 10.0, 100.0, 1000.0, -1000.0, np.inf, -np.inf, np.nan,
    1e-300, -1e-300, 5e-324, -5e-324, 1e300, -1e300, 709.0, 710.0, -745.0, -746.0, 89.0, -104.0, 1e-20, -1e-20, 1e-45,
    0.1, 7.5, -7.5, 1.7976931348623157e308, 3.4e38, 1.2e-38,
]  # fmt: skip


def reference(name: str) -> Any:
    return getattr(scipy.special if name in SCIPY else np, name)


def spread(name: str, kind: str, count: int, seed: int = 7) -> list[np.ndarray]:
    """Return arguments over the whole range where the result is finite, many of them small."""
    rng = np.random.default_rng(seed)
    wide = kind == "f64"
    most = 1000.0 if wide else 120.0

    def log_uniform(low: float, high: float, n: int) -> np.ndarray:
        return np.exp2(rng.uniform(low, high, n))

    def sign(n: int) -> np.ndarray:
        return rng.choice([-1.0, 1.0], n)

    half = count // 2
    ends = {"exp": 709, "exp2": 1023, "expm1": 709, "sinh": 710, "cosh": 710, "ndtr": 37, "erfc": 26, "expit": 700}
    if not wide:
        ends = {"exp": 88, "exp2": 126, "expm1": 88, "sinh": 89, "cosh": 89, "ndtr": 12, "erfc": 9, "expit": 86}
    if name in ("log", "log2", "log10"):
        x = np.concatenate([log_uniform(-most, most, half), 1 + sign(half) * log_uniform(-40, -1, half)])
    elif name == "log1p":
        x = np.concatenate([sign(half) * log_uniform(-60, -1, half), log_uniform(-3, 60, half)])
    elif name in ("arcsin", "arccos", "arctanh"):
        x = np.concatenate([rng.uniform(-1, 1, half), sign(half) * log_uniform(-50, 0, half)])
    elif name == "arccosh":
        x = 1 + np.concatenate([log_uniform(-30, 4, half), log_uniform(0, 80, half)])
    elif name in ends:
        x = np.concatenate([rng.uniform(-ends[name], ends[name], half), sign(half) * log_uniform(-50, 2, half)])
    elif name in ("sin", "cos", "tan"):
        near = rng.integers(-100_000, 100_000, half) * (np.pi / 2)
        x = np.concatenate([rng.uniform(-10, 10, half), near, sign(half) * log_uniform(-10, 40, half)])
    elif name == "power":
        x = np.concatenate([log_uniform(-20, 20, half), log_uniform(-1, 1, half)])
        y = np.concatenate([rng.uniform(-30, 30, half), rng.uniform(-600, 600, half)]) * (1.0 if wide else 0.15)
        return [x.astype(FLOATS[kind]), y.astype(FLOATS[kind])]
    elif name in ("arctan2", "hypot"):
        return [(sign(count) * log_uniform(-30, 30, count)).astype(FLOATS[kind]) for _ in range(2)]
    elif name == "cbrt":
        x = sign(count) * log_uniform(-most, most, count)
    else:
        x = np.concatenate([rng.uniform(-6, 6, half), sign(half) * log_uniform(-50, 10, half)])
    return [x.astype(FLOATS[kind])]


def ulps(got: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return errors in units of the last place of the true values, which are of higher precision."""
    rounded = true.astype(got.dtype)
    inside = np.isfinite(rounded) & (rounded != 0)
    unit = np.spacing(np.abs(rounded[inside])).astype(true.dtype)
    return np.abs((got[inside].astype(true.dtype) - true[inside]) / unit)


def close(name: str, got: np.ndarray, true: np.ndarray) -> None:
    """Check the bounds of 3.2."""
    if name not in SCIPY[1:]:
        assert ulps(got, true).max() <= 4
        return
    large = np.abs(true) >= 0.1
    assert ulps(got[large], true[large]).max() <= 8
    tiny = np.finfo(got.dtype).tiny
    small = ~large & (np.abs(true) > tiny)
    if small.any():
        error = np.abs((got[small].astype(true.dtype) - true[small]) / true[small])
        assert error.max() <= (1e-12 if got.dtype == np.float64 else 1e-5)


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="no wider floating type here")
@pytest.mark.parametrize("kind", ["f64", "f32"])
@pytest.mark.parametrize("name", [n for n in vmath.NAMES if n not in SCIPY])
def test_c53_is_within_4_ulp_of_long_doubles(name: str, kind: str) -> None:
    arguments = spread(name, kind, 100_000)
    with np.errstate(all="ignore"):
        true = reference(name)(*[x.astype(np.longdouble) for x in arguments])
    close(name, function(name, kind)(*arguments), true)


@pytest.mark.parametrize("variant", VARIANTS[1:], ids=str)
@pytest.mark.parametrize("kind", ["f64", "f32"])
@pytest.mark.parametrize("name", vmath.NAMES)
def test_other_widths_are_as_good(name: str, kind: str, variant: dict[str, Any]) -> None:
    arguments = spread(name, kind, 4_000)
    wide = np.longdouble if name not in SCIPY else np.float64
    with np.errstate(all="ignore"):
        true = reference(name)(*[x.astype(wide) for x in arguments])
    got = function(name, kind, **variant)(*arguments)
    if name in SCIPY and kind == "f64":  # SciPy's own error is of the same size
        np.testing.assert_allclose(got, true, rtol=2e-12, atol=1e-300)
    else:
        close(name, got, true)


MPMATH = {
    "exp": mpmath.exp,
    "log": mpmath.log,
    "sin": mpmath.sin,
    "tan": mpmath.tan,
    "arctan2": mpmath.atan2,
    "power": mpmath.power,
    "erf": mpmath.erf,
    "erfc": mpmath.erfc,
    "expit": lambda x: 1 / (1 + mpmath.exp(-x)),
    "ndtr": lambda x: mpmath.erfc(-x / mpmath.sqrt(2)) / 2,
}


@pytest.mark.parametrize("kind", ["f64", "f32"])
@pytest.mark.parametrize("name", sorted(MPMATH))
def test_is_within_its_bound_of_mpmath(name: str, kind: str) -> None:
    arguments = spread(name, kind, 2_000, seed=3)
    got = function(name, kind)(*arguments)
    high = np.float64 if np.finfo(np.longdouble).nmant < 63 else np.longdouble
    with mpmath.workprec(120):
        exact = [MPMATH[name](*[mpmath.mpf(float(v)) for v in point]) for point in zip(*arguments, strict=True)]
        # As a sum of two doubles: the true value in the precision that there is.
        first = [float(v) for v in exact]
        rest = [float(v - mpmath.mpf(f)) if np.isfinite(f) else 0.0 for v, f in zip(exact, first, strict=True)]
    close(name, got, np.array(first, high) + np.array(rest, high))


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("kind", ["f64", "f32"])
@pytest.mark.parametrize("name", vmath.NAMES)
def test_special_values_are_numpys(name: str, kind: str, variant: dict[str, Any]) -> None:
    with np.errstate(all="ignore"):
        one = np.array(SPECIAL).astype(FLOATS[kind])
        arguments = [one] if vmath.ARITY[name] == 1 else [g.ravel() for g in np.meshgrid(one, one)]
        want = reference(name)(*arguments)
    got = function(name, kind, **variant)(*arguments)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    subnormal = np.finfo(want.dtype).smallest_subnormal
    fixed = np.isinf(want) | ((want == 0) & (np.abs(got) > subnormal)) | ((got == 0) & (want == 0))
    fixed |= (got == 0) & (np.abs(want) > 4 * subnormal)
    np.testing.assert_array_equal(got[fixed], want[fixed])
    np.testing.assert_array_equal(np.signbit(got[fixed]), np.signbit(want[fixed]))
    rest = ~fixed & ~np.isnan(want)
    bound = 4e-13 if name in SCIPY else 8 * np.finfo(want.dtype).eps
    if kind == "f32" and name in SCIPY:
        bound = 1e-5
    np.testing.assert_allclose(got[rest], want[rest], rtol=bound, atol=4 * subnormal)


@pytest.mark.parametrize("kind", ["f64", "f32"])
def test_what_people_expect_to_be_exact_is(kind: str) -> None:
    def of(name: str, *xs: float) -> list[float]:
        return [float(v) for v in function(name, kind)(*[[x] for x in xs])]

    assert of("exp", 0.0) == of("cos", 0.0) == of("exp2", -0.0) == of("expit", 1000.0) == of("erfc", 0.0) == [1.0]
    assert of("ndtr", 0.0) == of("expit", 0.0) == [0.5]
    assert of("ndtr", 40.0) == [1.0] and of("erf", 7.0) == [1.0] and of("tanh", 30.0) == [1.0]
    assert function("log2", kind)(2.0 ** np.arange(-120, 120)).tolist() == list(range(-120, 120))
    assert function("exp2", kind)(np.arange(-120.0, 120.0)).tolist() == [2.0**i for i in range(-120, 120)]
    assert function("log10", kind)([1.0, 10.0, 100.0, 1000.0, 1e4, 1e10]).tolist() == [0, 1, 2, 3, 4, 10]
    assert function("power", kind)([2.0, 3.0, -3.0, 10.0], [10.0, 4.0, 3.0, 2.0]).tolist() == [1024, 81, -27, 100]
    assert function("cbrt", kind)([1.0, 8.0, -27.0, 1000.0]).tolist() == [1, 2, -3, 10]
    assert function("hypot", kind)([3.0, 5.0], [4.0, 12.0]).tolist() == [5, 13]


@pytest.mark.parametrize("name", ["erf", "exp", "expit", "tanh"])
@pytest.mark.parametrize("kind", ["f64", "f32"])
def test_nan_with_any_bits_stays_nan(name: str, kind: str) -> None:
    whole, nan = {"f64": (np.uint64, 0x7FF8 << 48), "f32": (np.uint32, 0x7FC0 << 16)}[kind]
    bits = np.arange(4096).astype(whole) | whole(nan)
    sign = whole(1 << (8 * bits.itemsize - 1))
    for some in (bits, bits | sign):
        assert np.isnan(function(name, kind)(some.view(FLOATS[kind]))).all()


@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
@pytest.mark.parametrize("kind", ["f64", "f32"])
def test_large_angles_are_reduced_with_all_digits_of_pi(name: str, kind: str) -> None:
    x = np.array([1e22, -1e22, 2.0**26, 2.0**26 - 1, 6381956970095103 * 2.0**97, 1e300, 0.5, np.inf, np.nan])
    with np.errstate(all="ignore"):
        x = x.astype(FLOATS[kind])
        want = getattr(np, name)(x.astype(np.longdouble))
    got = function(name, kind)(x)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    assert ulps(got, want).max() <= 4


@pytest.mark.parametrize("kind", ["f64", "f32"])
@pytest.mark.parametrize("name", ["exp", "log", "sin", "arctan2", "power", "erfc", "expit", "ndtr", "arcsinh"])
def test_exact_calls_libm(name: str, kind: str) -> None:
    arguments = spread(name, kind, 1_000)
    got = function(name, kind, exact=True)(*arguments)
    with np.errstate(all="ignore"):
        want = reference(name)(*[x.astype(np.float64) for x in arguments])
    np.testing.assert_allclose(got, want, rtol=1e-12 if kind == "f64" else 1e-6, atol=0 if kind == "f64" else 1e-38)


def test_a_vector_of_any_width_is_one_function() -> None:
    text, declared = vmath.define("exp", "f64", 4, vmath.Target())
    assert text.startswith("define internal <4 x double> @vm.exp.f64.4(<4 x double> %a0)")
    assert "declare <4 x double> @llvm.fma.v4f64(<4 x double>, <4 x double>, <4 x double>)" in declared
    assert machine.host(128).bits == 128

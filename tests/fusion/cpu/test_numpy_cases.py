"""NumPy's own test cases of its ufuncs, taken from the installed NumPy and run through our math.

`numpy/_core/tests/data` holds arguments and correctly rounded values of the elementary functions, `test_umath.py` the
special values: its classes are run here, and in them `np.exp` and the like go by way of lazy arrays.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_max_ulp

import workbench as wb
from workbench.fusion.capture.ndufuncs import name_of
from workbench.fusion.ops import OPS, supported

umath = pytest.importorskip("numpy._core.tests.test_umath", reason="this NumPy was installed without its tests")

pytestmark = pytest.mark.slow  # a thousand cases, each on two devices
DEVICES = ["cpu", "interpreter"]
FLOATS = ["float32", "float64"]
#: units in the last place: the bound of every elementary function
ULP = 4


# correctly rounded values


def sets() -> list[str]:
    """Return the names of the functions that NumPy ships values of."""
    data = resources.files("numpy._core.tests") / "data"
    if not data.is_dir():
        return []
    prefix, suffix = "umath-validation-set-", ".csv"
    names = [each.name for each in data.iterdir() if each.name.startswith(prefix) and each.name.endswith(suffix)]
    return sorted(each.removeprefix(prefix).removesuffix(suffix) for each in names)


@cache
def rows(name: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return arguments and values of a function for each dtype, from their bits in hexadecimal."""
    text = (resources.files("numpy._core.tests") / "data" / f"umath-validation-set-{name}.csv").read_text()
    lines = [line.split(",") for line in text.splitlines()[1:] if line.strip() and line[0] not in "#$"]
    found = {}
    for dtype, bits in (("float32", np.uint32), ("float64", np.uint64)):
        of = [(int(x, 16), int(y, 16)) for kind, x, y, *_ in lines if kind == f"np.{dtype}"]
        pairs = np.array(of, np.uint64).reshape(-1, 2)
        x, y = [np.ascontiguousarray(pairs[:, k].astype(bits)).view(dtype) for k in (0, 1)]
        found[dtype] = (x, y)
    return found


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", sets())
def test_c53_values_that_numpy_ships(name: str, dtype: str, device: str) -> None:
    if name not in OPS:
        pytest.skip(f"{name} is not compiled")
    x, wanted = rows(name)[dtype]
    assert len(x) > 100
    found = getattr(np, name)(wb.fusion.array(x)).compute(device=device)
    with np.errstate(all="ignore"):
        assert_array_max_ulp(found, wanted, ULP)


# its special values


SPECIAL = [0.0, 1.0, 0.5, 2.0, 3.0, 7.5, 1e-30, 1e30, np.inf, np.nan]
EDGES = [sign * x for x in SPECIAL for sign in (1, -1)]
#: of two zeros NumPy gives either, by the width of its vectors
EITHER_ZERO = ("maximum", "minimum", "fmax", "fmin")


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", FLOATS)
def test_pairs_of_special_values_have_numpys_signs_and_zeros(dtype: str, device: str) -> None:
    pairs = np.array(list(itertools.product(EDGES, EDGES)), dtype)
    names = ["floor_divide", "remainder", "fmod", "power", "arctan2", "hypot", "copysign", "divide", *EITHER_ZERO]
    lazies = [wb.fusion.array(np.ascontiguousarray(pairs[:, k])) for k in (0, 1)]
    values = wb.fusion.compute(*[getattr(np, name)(*lazies) for name in names], device=device)
    for name, found in zip(names, values, strict=True):
        with np.errstate(all="ignore"):
            wanted = getattr(np, name)(pairs[:, 0], pairs[:, 1])
            _same_value(name, found, wanted)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", FLOATS)
def test_special_values_have_numpys_signs_and_zeros(dtype: str, device: str) -> None:
    x = np.array(EDGES, dtype)
    names = [name for name, op in OPS.items() if op.arity == 1 and op.module == "numpy" and name not in ("invert",)]
    lazy = wb.fusion.array(x)
    values = wb.fusion.compute(*[getattr(np, name)(lazy) for name in names], device=device)
    for name, found in zip(names, values, strict=True):
        with np.errstate(all="ignore"):
            _same_value(name, found, getattr(np, name)(x))


def _same_value(name: str, found: np.ndarray, wanted: np.ndarray) -> None:
    assert found.dtype == wanted.dtype, name
    if wanted.dtype.kind != "f":
        np.testing.assert_array_equal(found, wanted, err_msg=name)
        return
    fixed = ~np.isfinite(wanted) | (wanted == 0)
    np.testing.assert_array_equal(found[fixed], wanted[fixed], err_msg=name)
    zero = wanted == 0
    if name not in EITHER_ZERO:
        np.testing.assert_array_equal(np.signbit(found[zero]), np.signbit(wanted[zero]), err_msg=name)
    assert_array_max_ulp(found[~fixed], wanted[~fixed], ULP)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"])
def test_integers_at_the_ends_of_their_range(dtype: str, device: str) -> None:
    facts = np.iinfo(dtype)
    ends = {0, 1, 2, 3, 7, facts.max, facts.max - 1, facts.min, facts.min + 1, *([-1, -2, -7] if facts.min else [])}
    pairs = np.array(list(itertools.product(sorted(ends), sorted(ends))), dtype)
    a, b = [np.ascontiguousarray(pairs[:, k]) for k in (0, 1)]
    by = np.abs(b.astype(np.int64) % 70).astype(dtype)  # shifts by the width and more, too

    def work(x: Any, y: Any, z: Any) -> list[Any]:
        sums = [x + y, x - y, x * y, -x, abs(x), np.sign(x), np.square(x)]
        quotients = [x // y, x % y, np.fmod(x, y), x / y]
        orders = [x < y, x >= y, x == y, np.maximum(x, y), np.minimum(x, y)]
        return [*sums, *quotients, *orders, x << z, x >> z, x & y, x | y, x ^ y, ~x]

    with np.errstate(all="ignore"):
        wanted = work(a, b, by)
    found = wb.fusion.compute(*work(wb.fusion.array(a), wb.fusion.array(b), wb.fusion.array(by)), device=device)
    for k, (value, want) in enumerate(zip(found, wanted, strict=True)):
        assert value.dtype == want.dtype, k
        np.testing.assert_array_equal(value, want, err_msg=str(k))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", FLOATS)
def test_floats_out_of_an_integers_range_become_its_least_value(dtype: str, device: str) -> None:
    x = np.array([*EDGES, 2.0**31, -(2.0**31), 2.0**63, -(2.0**63), 2.0**64, 255.9, -128.9, 300.0], dtype)
    lazy = wb.fusion.array(x)
    for target in ("int32", "int64"):
        with np.errstate(all="ignore"):
            wanted = x.astype(target)
            inside = (np.trunc(x) >= np.iinfo(target).min) & (np.trunc(x) <= np.iinfo(target).max)
        found = lazy.astype(target).compute(device=device)
        np.testing.assert_array_equal(found[inside], wanted[inside])
        wide, ends = x.astype(np.longdouble), np.iinfo(target)
        outside = ~((wide > np.longdouble(ends.min) - 1) & (wide < np.longdouble(ends.max) + 1))
        assert outside.sum() > 5
        np.testing.assert_array_equal(found[outside], np.iinfo(target).min)


# NumPy's tests


#: NumPy's classes, and which of their tests are about values that kernels compute: not about the operators of ndarrays,
#: dtypes that kernels have not, warnings, or floating-point flags
CASES = {
    "TestCbrt": "cbrt_scalar cbrt",
    "TestDivision": "floor_division_corner_cases",
    "TestRemainder": "remainder_basic float_remainder_exact float_remainder_roundoff float_remainder_overflow "
    "float_divmod_corner_cases float_remainder_corner_cases",
    "TestPower": "power_float integer_power_with_integer_zero_exponent integer_power_of_1 "
    "integer_power_of_zero float_to_inf_power power_fast_paths",
    "TestLog2": "log2_values log2_ints",
    "TestExp2": "exp2_values",
    "TestLog": "log_values log_strides",
    "TestExp": "exp_values exp_strides",
    "TestSpecialFloats": "log_values sincos_values sqrt_values abs_values square_values reciprocal_values "
    "tan arcsincos arctan sinh cosh tanh arcsinh arccosh arctanh exp2 expm1",
    "TestFPClass": "fpclass fp_noncontiguous",
    "TestAVXUfuncs": "avx_based_ufunc",
    "TestAVXFloat32Transcendental": "exp_float32 log_float32 sincos_float32 strided_float32",
    "TestLog1p": "log1p special",
    "TestExpm1": "expm1 special complex",
    "TestHypot": "simple",
    "TestHypotSpecialValues": "nan_outputs nan_outputs2 no_fpe",
    "TestArctan2SpecialValues": "one_one zero_nzero zero_pzero zero_negative zero_positive positive_zero negative_zero "
    "any_ninf any_pinf inf_any inf_ninf inf_pinf nan_any",
    "TestMaximum": "reduce float_nans strided_array precision",
    "TestMinimum": "reduce float_nans strided_array precision",
    "TestFmax": "float_nans precision",
    "TestFmin": "float_nans precision",
    "TestBool": "truth_table_logical truth_table_bitwise reduce",
    "TestBitwiseUFuncs": "values types",
    "TestInt": "logical_not",
    "TestDegrees": "degrees",
    "TestRadians": "radians",
    "TestSign": "sign",
    "TestMinMax": "minmax_blocked minimize_no_warns",
    "TestAbsoluteNegative": "abs_neg_blocked lower_align noncontiguous",
    "TestPositive": "valid",
}
#: those that call thousands of times
LONG = (
    "avx_based_ufunc",
    "minmax_blocked",
    "strided_float32",
    "log_strides",
    "exp_strides",
    "remainder_basic",
    "abs_neg_blocked",
)


def _chosen(name: str) -> type:
    """Return a class of NumPy's tests with those that are listed."""
    whole = getattr(umath, name)
    listed = [f"test_{each}" for each in CASES[name].split()]
    assert all(hasattr(whole, each) for each in listed)
    members: dict[str, Any] = {each: None for each in dir(whole) if each.startswith("test_") and each not in listed}
    members |= {each: pytest.mark.slow(getattr(whole, each)) for each in listed if each.removeprefix("test_") in LONG}
    return type(name, (whole,), members)


globals().update({name: _chosen(name) for name in CASES if hasattr(umath, name)})


class _Ufunc:
    """A ufunc that takes its arrays by way of lazy ones."""

    def __init__(self, function: np.ufunc, routed: _Routed) -> None:
        self._function, self._routed = function, routed

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._routed.call(self._function, args, kwargs)

    def reduce(self, *args: Any, **kwargs: Any) -> Any:
        return self._routed.call(self._function.reduce, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function, name)


class _Routed:
    """NumPy's name space with its compiled ufuncs exchanged."""

    def __init__(self, module: Any, device: str, ran: list[str]) -> None:
        self._module, self._device, self._ran = module, device, ran

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._module, name)
        if isinstance(found, np.ufunc) and name_of(found) is not None:
            return _Ufunc(found, self)
        return found

    def call(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        out = kwargs.get("out", args[function.nin] if len(args) > getattr(function, "nin", len(args)) else None)
        taken = _taken(args if out is None or "out" in kwargs else args[:-1])
        if taken is None or set(kwargs) - {"out", "axis"}:
            return function(*args, **kwargs)
        found = function(*taken, **{name: value for name, value in kwargs.items() if name != "out"})
        if not isinstance(found, wb.fusion.LazyArray):  # it has no loop for these dtypes
            return function(*args, **kwargs)
        value = found.compute(device=self._device)
        if found.plan is None or found.plan.reason_rows:
            return function(*args, **kwargs)
        self._ran.append(function.__name__)
        if out is None:
            return value
        np.copyto(out, value, casting="same_kind")
        return out


def _taken(args: tuple[Any, ...]) -> list[Any] | None:
    """Return arguments with arrays, lists and NumPy's numbers lazy; None if there is a dtype that kernels have not."""
    alone = all(type(each) in (int, float, bool) for each in args)
    found: list[Any] = []
    for each in args:
        if type(each) in (int, float, bool) and not alone:
            found.append(each)  # it has the dtype of the others
            continue
        try:
            array = np.asarray(each)
        except ValueError:
            return None
        if not supported(array.dtype):
            return None
        found.append(wb.fusion.array(array))
    return found


@pytest.fixture(autouse=True, params=["cpu", pytest.param("interpreter", marks=pytest.mark.slow)])
def ran(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let NumPy's tests see our ufuncs, on a device, and see to it that they called one."""
    if request.cls is None:
        yield
        return
    params = request.node.callspec.params
    dtype = params.get("dtype", params.get("dt"))
    if dtype is not None and not supported(np.dtype(dtype)):
        pytest.skip(f"kernels do not compute {np.dtype(dtype)}")
    found: list[str] = []
    monkeypatch.setattr(umath, "np", _Routed(umath.np, request.param, found))
    monkeypatch.setattr(umath, "ncu", _Routed(umath.ncu, request.param, found))
    yield
    assert found, "no ufunc of this test was compiled"

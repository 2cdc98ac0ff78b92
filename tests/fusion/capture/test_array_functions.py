"""Functions of NumPy that compile, against NumPy: dtypes, axes, lengths, strides and threads vary."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import workbench as wb

NUMBERS = ["bool", "int8", "int32", "int64", "uint8", "uint16", "float32", "float64"]
LENGTHS = [0, 1, 7, 130]


def array(seed: int, shape: tuple[int, ...], dtype: str, step: int = 1) -> np.ndarray:
    """Return an array with NaN and repeated values; `step` 2 and -1 give strides."""
    rng = np.random.default_rng(seed)
    wide = (*shape[:-1], shape[-1] * abs(step)) if shape else shape
    if np.dtype(dtype).kind == "f":
        x = np.round(rng.normal(size=wide) * 4, 1)
        x[rng.random(wide) < 0.1] = np.nan
        x = x.astype(dtype)
    else:
        x = rng.integers(0 if dtype[0] in "ub" else -20, 2 if dtype == "bool" else 100, size=wide).astype(dtype)
    return x[..., ::step] if shape else x


def hold(function: Callable[..., Any], *inputs: np.ndarray, compiled: bool = True, slack: float = 1e-9) -> None:
    """Hold a function on lazy arrays to NumPy: with 1 and 2 threads, and in the interpreter; no library may run."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            wanted = function(*inputs)
        except Exception as error:
            with pytest.raises(type(error)):
                _values(function(*[wb.fusion.array(x) for x in inputs]), "cpu", 1)
            return
        for device, threads in (("cpu", 1), ("cpu", 2), ("interpreter", 1)):
            found = function(*[wb.fusion.array(x) for x in inputs])
            many, plain = (found, wanted) if isinstance(wanted, tuple) else ((found,), (wanted,))
            for lazy, value in zip(many, plain, strict=True):
                if compiled:
                    assert isinstance(lazy, wb.fusion.LazyArray)
                    assert not {each.kind for each in wb.fusion.explain(lazy).kernels} & {"extern", "fallback"}
                got, value = np.asarray(_values(lazy, device, threads)), np.asarray(value)
                assert got.dtype == value.dtype and got.shape == value.shape
                if value.dtype.kind == "f":
                    near = 1e-4 if value.dtype == np.float32 else slack
                    np.testing.assert_allclose(got, value, rtol=near, atol=near)
                else:
                    np.testing.assert_array_equal(got, value)


def _values(lazy: Any, device: str, threads: int) -> Any:
    return lazy.compute(device=device, threads=threads) if isinstance(lazy, wb.fusion.LazyArray) else lazy


seeds = st.integers(0, 1 << 16)
steps = st.sampled_from([1, 2, -1])
few = settings(max_examples=8, deadline=None)


@few
@given(seeds, st.sampled_from(LENGTHS), st.sampled_from(["bool", "int8", "uint8", "int64"]), steps, st.integers(0, 130))
def test_bincount(seed: int, n: int, dtype: str, step: int, least: int) -> None:
    x = array(seed, (n,), dtype, step)
    x = np.abs(x) if dtype.startswith("int") else x
    hold(lambda a: np.bincount(a, minlength=least), x, compiled=n > 0)
    hold(np.bincount, x, array(seed + 1, (n,), "float64"), compiled=n > 0)
    hold(np.bincount, x, array(seed + 1, (n,), "int32", step), compiled=n > 0)


@pytest.mark.parametrize("wrong", [np.array([-1, 2]), np.array([0.5]), np.array([[1]]), np.array([1], np.uint64)])
def test_bincount_of_what_it_does_not_take(wrong: np.ndarray) -> None:
    hold(np.bincount, wrong, compiled=False)
    hold(lambda a: np.bincount(a, minlength=-1), np.array([1]), compiled=False)
    hold(np.bincount, np.array([1, 2]), np.ones(3), compiled=False)


def test_bincount_of_rows_that_are_kept() -> None:
    x = np.random.default_rng(0).integers(0, 50, size=65_537)
    hold(lambda a: np.bincount(a[a > 20]), x)
    hold(lambda a: np.bincount(a) / len(a) + 1, x)


@few
@given(
    seeds,
    st.sampled_from([1, 7, 130]),
    st.sampled_from(["int8", "int64", "uint16", "float32", "float64"]),
    st.sampled_from([None, (-2, 3), (0.25, 2.5), (-1000.0, 1000.0)]),
    st.integers(1, 12),
    st.booleans(),
)
def test_histogram(seed: int, n: int, dtype: str, span: Any, bins: int, density: bool) -> None:
    x = np.nan_to_num(array(seed, (3, n), dtype, 2)) if span is None else array(seed, (3, n), dtype, 2)
    hold(lambda a: np.histogram(a, bins, range=span), x)
    hold(lambda a: np.histogram(a, bins, range=span, density=density), x)
    hold(lambda a, w: np.histogram(a, bins, range=span, weights=w), x, array(seed + 1, (3, n), "int32"))


def test_histogram_of_what_has_no_range() -> None:
    hold(lambda a: np.histogram(a, 3), np.array([1.0, np.nan]), compiled=False)
    hold(lambda a: np.histogram(a, 0), np.array([1.0, 2.0]), compiled=False)
    hold(lambda a: np.histogram(a, 4), np.full(5, 2.5))
    hold(lambda a: np.histogram(a, 200), np.linspace(-3, 3, 65_537))


@few
@given(seeds, st.sampled_from(NUMBERS), st.sampled_from([(7,), (130,), (4, 5), (2, 3, 4), (1,)]), steps, st.data())
def test_take(seed: int, dtype: str, shape: tuple[int, ...], step: int, data: Any) -> None:
    x = array(seed, shape, dtype, step)
    axis = data.draw(st.sampled_from([None, *range(-len(shape), len(shape))]))
    size = x.size if axis is None else shape[axis]
    picks = np.random.default_rng(seed).integers(-size, size, size=data.draw(st.sampled_from([(3,), (2, 3), (0,)])))
    hold(lambda a, i: np.take(a, i, axis=axis), x, picks)
    hold(lambda a, i: np.take(a, i * 3, axis=axis, mode="wrap"), x, picks)
    hold(lambda a, i: np.take(a, i * 3, axis=axis, mode="clip"), x, picks)
    hold(lambda a, i: np.take(a, i * 3 + size, axis=axis), x, picks)
    hold(lambda a, i: (a + a)[i], x, picks % shape[0])


@few
@given(seeds, st.sampled_from(NUMBERS), st.sampled_from([(7,), (130,), (4, 5), (3, 4, 2)]), st.data())
def test_compress_and_masks_of_rows(seed: int, dtype: str, shape: tuple[int, ...], data: Any) -> None:
    x = array(seed, shape, dtype)
    axis = data.draw(st.sampled_from([None, *range(len(shape))]))
    keep = np.random.default_rng(seed).random(x.size if axis is None else shape[axis]) < 0.5
    hold(lambda a, m: np.compress(m, a, axis=axis), x, keep)
    hold(lambda a, m: a[m], x, keep[: shape[0]] if len(keep) >= shape[0] else np.resize(keep, shape[0]))


@few
@given(seeds, st.sampled_from(NUMBERS), st.sampled_from(NUMBERS), st.integers(1, 70), st.sampled_from([0, 1, 7, 130]))
def test_searches(seed: int, dtype: str, edges: str, many: int, n: int) -> None:
    x, bins = array(seed, (n,), dtype, -1), np.sort(array(seed + 1, (many,), edges))
    plain = not np.isnan(bins.astype(float)).any()
    for right in (False, True):
        hold(lambda v, e, s="right" if right else "left": np.searchsorted(e, v, side=s), x, bins, compiled=plain)
        hold(lambda v, e, r=right: np.digitize(v, e, right=r), x, bins, compiled=plain)
        hold(lambda v, e, r=right: np.digitize(v, e[::-1], right=r), x, bins, compiled=plain)
        hold(lambda v, e, r=right: np.isin(v, e, invert=r), x, bins)
    hold(lambda v: np.isin(v, []), x)


def test_searches_in_what_is_not_sorted() -> None:
    x = np.arange(10.0)
    hold(lambda v: np.searchsorted([3.0, 1.0, 2.0], v), x, compiled=False)
    hold(lambda v: np.digitize(v, [3.0, 1.0, 2.0]), x, compiled=False)
    hold(lambda v: np.searchsorted([1.0, 2.0, np.nan], v), np.array([0.0, 1.5, np.nan]), compiled=False)
    hold(lambda v: np.searchsorted(np.linspace(0, 9, 3000), v), np.linspace(-1, 10, 65_537))


SCANS = ["cumsum", "cumprod"]


@few
@given(
    seeds,
    st.sampled_from(NUMBERS),
    st.sampled_from([(7,), (0,), (4, 5), (1, 9), (9, 1), (2, 3, 4), (3, 0)]),
    steps,
    st.data(),
)
def test_running_values(seed: int, dtype: str, shape: tuple[int, ...], step: int, data: Any) -> None:
    x = array(seed, shape, dtype, step)
    axis = data.draw(st.sampled_from([None, *range(-len(shape), len(shape))]))
    for name in SCANS:
        hold(lambda a, f=name: getattr(np, f)(a, axis=axis), x)
        hold(lambda a, f=name: getattr(np, f)(a + a, axis=axis) * 2 - 1, x)
        if x.size:
            hold(lambda a, f=name: getattr(np, f)(a, axis=axis).max(), x)


@pytest.mark.parametrize("axis", [0, 1])
def test_running_values_of_many_rows(axis: int) -> None:
    x = np.random.default_rng(1).normal(size=(701, 97))
    hold(lambda a: np.cumsum(a, axis=axis), x)
    hold(lambda a: np.cumsum(a, axis=axis) / 3, x)
    hold(lambda a: np.cumsum(a.ravel() ** 2) + 1, x)


REDUCTIONS = ["sum", "mean", "var", "std", "min", "max", "argmin", "argmax", "any", "all", "prod", "count_nonzero"]


@few
@given(
    seeds,
    st.sampled_from(["int8", "uint16", "int64", "float32", "float64"]),
    st.sampled_from([(4, 5), (1, 9), (9, 1), (2, 3, 4), (130, 3), (3, 0), (0, 3)]),
    steps,
    st.data(),
)
def test_reductions_of_any_axis(seed: int, dtype: str, shape: tuple[int, ...], step: int, data: Any) -> None:
    x = array(seed, shape, dtype, step)
    axis = data.draw(st.sampled_from(range(-len(shape), len(shape))))
    name = data.draw(st.sampled_from(REDUCTIONS))
    options = {"ddof": data.draw(st.sampled_from([0, 1, 2]))} if name in ("var", "std") else {}
    there = bool(x.size) or name not in ("min", "max", "argmin", "argmax")
    hold(lambda a: getattr(np, name)(a, axis=axis, **options), x, compiled=there)
    if np.dtype(dtype).kind == "f" and name in ("sum", "mean", "var", "std", "min", "max"):
        hold(lambda a: getattr(np, f"nan{name}")(a, axis=axis, **options), x, compiled=there)


@pytest.mark.parametrize("name", ["nanmean", "nanvar", "nanstd", "nanmin", "nanmax", "argmin", "std"])
def test_columns_of_many_rows(name: str) -> None:
    x = array(3, (6000, 23), "float64")
    x[:, 4] = np.nan
    hold(lambda a: getattr(np, name)(a, axis=0), x)
    hold(lambda a: getattr(np, name)(a.reshape(60, 100, 23), axis=1), x)


@few
@given(
    seeds,
    st.sampled_from(NUMBERS),
    st.sampled_from(NUMBERS),
    st.integers(1, 16),
    st.sampled_from([1, 7, 130]),
    st.integers(1, 16),
)
def test_products_with_something_small(seed: int, left: str, right: str, shared: int, n: int, m: int) -> None:
    x, w = np.nan_to_num(array(seed, (n, shared), left)), np.nan_to_num(array(seed + 1, (shared, m), right))
    compiled = left != "bool" or right != "bool"
    hold(lambda a, b: a @ b, x, w, compiled=compiled)
    hold(lambda a, b: np.dot(b.T, a.T) * 1, x, w, compiled=compiled)
    hold(lambda a, b: a @ b, x, w[:, 0].copy(), compiled=compiled)
    hold(lambda a, b: np.dot(a, b) + 0, w[:, 0].copy(), w, compiled=right != "bool")
    hold(np.dot, w[:, 0].copy(), x[0].copy(), compiled=compiled)
    hold(lambda a, b: (a[None] @ b).sum(), x, w, compiled=compiled)


@few
@given(
    seeds,
    st.sampled_from(NUMBERS),
    st.sampled_from([(7,), (1,), (4, 5), (2, 3, 4)]),
    steps,
    st.integers(0, 3),
    st.data(),
)
def test_diff(seed: int, dtype: str, shape: tuple[int, ...], step: int, n: int, data: Any) -> None:
    x = array(seed, shape, dtype, step)
    axis = data.draw(st.sampled_from(range(-len(shape), len(shape))))
    hold(lambda a: np.diff(a, n, axis=axis), x)
    hold(lambda a: np.diff(a, axis=axis, prepend=1, append=a), x, compiled=False)


@few
@given(
    seeds,
    st.sampled_from([(7,), (1,), (0,), (20,), (4, 5), (20, 3), (2, 3, 4)]),
    st.lists(st.tuples(st.sampled_from(NUMBERS), st.sampled_from([0, 1, 3, 40])), min_size=1, max_size=4),
    steps,
    st.data(),
)
def test_joined(seed: int, shape: tuple[int, ...], parts: list[tuple[str, int]], step: int, data: Any) -> None:
    axis = data.draw(st.sampled_from(range(-len(shape), len(shape))))
    arrays = []
    for k, (dtype, length) in enumerate(parts):
        own = list(shape)
        own[axis] = length
        arrays.append(array(seed + k, tuple(own), dtype, step))
    hold(lambda *xs: np.concatenate(xs, axis=axis), *arrays)
    hold(lambda *xs: np.concatenate([x + x for x in xs], axis=axis) * 2, *arrays)
    hold(lambda x: np.stack([x, x * 2, x], axis=axis), array(seed, shape, parts[0][0], step))


def test_joined_over_chunks() -> None:
    x, y = np.arange(65_537.0), np.arange(200_000)
    hold(lambda a, b: np.concatenate([a, b, a[::-1] * 2]), x, y)
    hold(lambda a, b: np.concatenate([a / a.sum(), b[b > 9]]), x, y)
    hold(lambda a: np.stack([a, a + 1], axis=1).reshape(-1), x)


@pytest.mark.filterwarnings("ignore:.*unfused")
def test_parts_of_complex_numbers_which_numpy_makes() -> None:
    x = np.random.default_rng(0).normal(size=(4, 6))
    for call in (
        lambda a: np.fft.fft(a).real * 2,
        lambda a: np.real(np.fft.fft(a)),
        lambda a: np.fft.fft(a).imag.sum(0),
    ):
        found, wanted = np.asarray(call(wb.fusion.array(x))), call(x)
        assert found.dtype == wanted.dtype == np.float64
        np.testing.assert_allclose(found, wanted, atol=1e-12)
    assert np.asarray(wb.fusion.array(x).real).dtype == np.float64

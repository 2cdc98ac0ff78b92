"""Sums that are rounded once, against math.fsum and exact fractions."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import workbench as wb
from workbench.fusion import cache
from workbench.fusion.cpu import exact
from workbench.fusion.cpu.layout import WORDS

HARD = [0.0, -0.0, 5e-324, -5e-324, 2.2e-308, 1e308, -1e308, 1.7e308, 1.0, -1.0, 1e16, -1e16, 2.0**-53, 2.0**53, 1e-300]
NUMBERS = st.one_of(
    st.sampled_from(HARD),
    st.floats(allow_nan=False, allow_infinity=False),
    st.builds(math.ldexp, st.floats(-1, 1), st.integers(-1074, 1000)),
)


def nearest(numbers: Any) -> float:
    """Return the float nearest to the exact sum."""
    total = sum(map(Fraction, np.asarray(numbers, float).tolist()), Fraction(0))
    try:
        return float(total)
    except OverflowError:
        return math.inf if total > 0 else -math.inf


def hold(function: Callable[..., Any], wanted: Any, *inputs: np.ndarray) -> None:
    """Hold what is computed by 1 and 2 threads, and by the interpreter, to the very bits that are wanted."""
    lazy = function(*[wb.fusion.array(x) for x in inputs])
    for device, threads in (("cpu", 1), ("cpu", 2), ("interpreter", 1)):
        found = np.asarray(lazy.compute(device=device, threads=threads, exact=True))
        assert np.array_equal(found, np.asarray(wanted), equal_nan=True), (device, threads)


def words_of(numbers: list[float]) -> np.ndarray:
    """Return numbers as one long sum, made by Python's integers."""
    found = np.zeros(WORDS, np.int64)
    for each in numbers:
        value = Fraction(each) * 2**1074
        assert value.denominator == 1
        sign, rest, at = (1 if value >= 0 else -1), abs(value.numerator), 3
        while rest:
            found[at] += sign * (rest & 0xFFFFFFFF)
            rest, at = rest >> 32, at + 1
    return found


@given(st.lists(NUMBERS, max_size=12))
@settings(max_examples=300, deadline=None)
def test_long_sums_round_to_the_nearest(numbers: list[float]) -> None:
    half = len(numbers) // 2
    both = np.array([words_of(numbers[:half]), words_of(numbers[half:])])
    assert exact.rounded(exact.merged(both)[None])[0] == nearest(numbers)


@given(st.lists(NUMBERS, min_size=1, max_size=60), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_a_sum_is_fsum(numbers: list[float], order: Any) -> None:
    numbers = [*numbers, *[-each for each in numbers[::2]]]  # most of it cancels
    order.shuffle(numbers)
    hold(lambda x: x.sum(), nearest(numbers), np.array(numbers))


@given(st.lists(st.lists(NUMBERS, min_size=5, max_size=5), min_size=2, max_size=9))
@settings(max_examples=40, deadline=None)
def test_sums_of_rows_and_columns_are_fsum(rows: list[list[float]]) -> None:
    x = np.array(rows)
    hold(lambda a: a.sum(1), [nearest(row) for row in x], x)
    hold(lambda a: a.sum(0), [nearest(column) for column in x.T], x)


@pytest.mark.parametrize("n", [0, 1, 7, 8193, 65_537, 200_001])
def test_sums_over_chunks_are_fsum(n: int) -> None:
    rng = np.random.default_rng(n)
    x = rng.normal(size=n) * 10.0 ** rng.integers(-200, 200, size=n)
    hold(lambda a: a.sum(), math.fsum(x), x)
    hold(lambda a: (a * 3).sum(), math.fsum(x * 3), x)
    if n:
        hold(lambda a: a.mean(), math.fsum(x) / n, x)


@pytest.mark.parametrize(
    ("numbers", "wanted"),
    [
        ([1e308, 1e308, -1e308], 1e308),
        ([1e308] * 20, math.inf),
        ([-1e308] * 20, -math.inf),
        ([1.0, math.inf, 2.0], math.inf),
        ([-math.inf, 1e308, 1e308], -math.inf),
        ([math.inf, 1.0, -math.inf], math.nan),
        ([1.0, math.nan, math.inf], math.nan),
        ([-0.0], 0.0),
    ],
)
def test_what_is_not_finite(numbers: list[float], wanted: float) -> None:
    hold(lambda a: a.sum(), wanted, np.array(numbers))
    hold(lambda a: a.sum(1), [wanted] * 3, np.array([numbers] * 3))


def test_float32_sums_are_fsum_rounded() -> None:
    x = np.random.default_rng(0).normal(size=(40, 3000)).astype(np.float32) * np.float32(1e30)
    hold(lambda a: a.sum(1), [np.float32(math.fsum(row)) for row in x], x)


def test_sums_at_places_are_fsum() -> None:
    rng = np.random.default_rng(5)
    keys = rng.integers(0, 40, size=70_000)
    x = rng.normal(size=70_000) * 10.0 ** rng.integers(-30, 30, size=70_000)
    hold(lambda k, w: np.bincount(k, weights=w), [math.fsum(x[keys == k]) for k in range(40)], keys, x)


def test_sums_of_groups_are_fsum() -> None:
    rng = np.random.default_rng(6)
    frame = pd.DataFrame({"key": rng.integers(-3, 40, size=70_000), "x": rng.normal(size=70_000)})
    frame["x"] *= 10.0 ** rng.integers(-30, 30, size=70_000)
    wanted = frame.groupby("key").x.agg(math.fsum)
    lazy = wb.fusion.frame(frame).groupby("key").x.sum()
    for threads in (1, 2):
        pd.testing.assert_series_equal(
            lazy.compute(device="cpu", threads=threads, exact=True), wanted, check_exact=True
        )


def test_running_values_are_added_one_by_one() -> None:
    rng = np.random.default_rng(7)
    x = rng.normal(size=70_001) * 10.0 ** rng.integers(-9, 9, size=70_001)
    hold(np.cumsum, np.cumsum(x), x)
    hold(lambda a: np.cumprod(a[:100]), np.cumprod(x[:100]), x)


def test_it_runs_compiled() -> None:
    cache.clear(disk=False)
    x = np.random.default_rng(9).normal(size=(30, 40))
    for lazy in (wb.fusion.array(x).sum(), wb.fusion.array(x).mean(0), wb.fusion.array(x).var(1)):
        lazy.compute(exact=True)
    assert all(hasattr(each, "layout") for each in cache.kernels.values())

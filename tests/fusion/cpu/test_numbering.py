"""Numbers by first appearance against pandas.factorize."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from workbench.fusion.cpu.numbering import number


@pytest.mark.parametrize("dtype", ["int64", "int8", "uint64", "bool", "float64", "float32"])
@pytest.mark.parametrize("span", [1, 50, 100_000])
def test_numbers_are_those_of_factorize(dtype: str, span: int) -> None:
    rng = np.random.default_rng(span)
    keys = rng.integers(0, span, 70_000).astype(dtype)
    if dtype.startswith("float"):
        keys[keys == 0] *= rng.choice([-1, 1], (keys == 0).sum())
        keys[rng.random(len(keys)) < 0.1] = np.nan
    for drop in (True, False):
        codes, firsts = number(keys, drop=drop)
        want, uniques = pd.factorize(keys, use_na_sentinel=drop)
        np.testing.assert_array_equal(codes, want)
        np.testing.assert_array_equal(keys[firsts], uniques)


def test_tables_grow_past_any_estimate() -> None:
    keys = np.random.default_rng(0).permutation(2_000_000) * 7919
    codes, firsts = number(keys)
    np.testing.assert_array_equal(codes, np.arange(len(keys)))
    np.testing.assert_array_equal(firsts, np.arange(len(keys)))


@pytest.mark.parametrize("span", [3, 5_000, 10**12])
@pytest.mark.parametrize("drop", [True, False])
def test_threads_number_as_one(span: int, drop: bool) -> None:
    rng = np.random.default_rng(span)
    keys = rng.integers(0, span, 300_001).astype(np.float64)
    keys[rng.random(len(keys)) < 0.05] = np.nan
    one = number(keys, drop=drop)
    for threads in (2, 3):
        for found, wanted in zip(number(keys, drop=drop, threads=threads), one, strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_no_rows() -> None:
    codes, firsts = number(np.empty(0, np.int64))
    assert len(codes) == len(firsts) == 0

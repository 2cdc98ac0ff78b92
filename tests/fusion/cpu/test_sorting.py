"""Stable order against pandas and NumPy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from workbench.fusion.cpu.sorting import FEW, argsort, occurrences

RNG = np.random.default_rng(8)
ROWS = 6_000
BIG = np.iinfo(np.int64)


def _floats(dtype: type) -> np.ndarray:
    found = RNG.normal(size=ROWS).astype(dtype)
    special = np.array([0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf, 1e-310, -1e-310, 3.5, -3.5])
    return np.where(RNG.random(ROWS) < 0.4, RNG.choice(special, ROWS), found).astype(dtype)


KEYS = {
    "few": RNG.integers(0, 7, ROWS),
    "narrow": RNG.integers(-100, 100, ROWS).astype(np.int8),
    "bits_33": RNG.integers(0, 1 << 33, ROWS),
    "whole_range": RNG.choice(np.array([BIG.min, BIG.min + 1, -1, 0, 1, BIG.max]), ROWS),
    "unsigned": RNG.integers(0, np.iinfo(np.uint64).max, ROWS, dtype=np.uint64),
    "bool": RNG.random(ROWS) < 0.5,
    "float64": _floats(np.float64),
    "float32": _floats(np.float32),
    "nan": np.full(ROWS, np.nan),
    "one": np.full(ROWS, 5),
}


def _order(keys: list[np.ndarray], up: list[bool]) -> np.ndarray:
    frame = pd.DataFrame(dict(enumerate(keys)))
    return frame.sort_values(list(frame), ascending=up, kind="stable").index.to_numpy()


@pytest.mark.parametrize("up", [True, False])
@pytest.mark.parametrize("name", KEYS)
def test_one_key(name: str, up: bool) -> None:
    found = argsort([KEYS[name]], [up])
    assert found is not None
    np.testing.assert_array_equal(found, _order([KEYS[name]], [up]))


@pytest.mark.parametrize("names", [("few", "float64"), ("float32", "few", "bool"), ("bits_33", "narrow")])
def test_several_keys(names: tuple[str, ...]) -> None:
    keys = [KEYS[name][:: 1 if name != "bits_33" else -1] % 50 if name == "bits_33" else KEYS[name] for name in names]
    for up in ([True] * len(keys), [k % 2 == 0 for k in range(len(keys))]):
        found = argsort(keys, up)
        assert found is not None
        np.testing.assert_array_equal(found, _order(keys, up))


def test_left_to_others() -> None:
    assert argsort([np.arange(FEW - 1)], [True]) is None
    assert argsort([np.zeros(FEW, np.complex128)], [True]) is None
    assert argsort([np.zeros(FEW, ">i8")], [True]) is None


def test_occurrences() -> None:
    codes = KEYS["few"]
    wanted = pd.Series(codes).groupby(codes).cumcount().to_numpy()
    np.testing.assert_array_equal(occurrences(codes, 7), wanted)
    assert len(occurrences(np.empty(0, np.int64), 0)) == 0

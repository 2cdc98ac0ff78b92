"""Group-by on arrays against pandas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from workbench.fusion.cpu import group as module
from workbench.fusion.cpu.group import group
from workbench.fusion.expr import group_dtype

OPS = ["sum", "prod", "mean", "var", "std", "min", "max", "count", "first", "last", "any", "all"]
ROWS = 30_000


def values(dtype: str, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        return rng.random(ROWS) < 0.5
    if dtype.startswith("float"):
        found = rng.normal(size=ROWS).astype(dtype)
        found[rng.random(ROWS) < 0.1] = np.nan
        return found
    return rng.integers(0, 50, ROWS).astype(dtype)


def expected(
    keys: list[np.ndarray], ops: list[str], data: list[np.ndarray], sort: bool, dropna: bool
) -> list[np.ndarray]:
    frame = pd.DataFrame({f"k{k}": key for k, key in enumerate(keys)})
    groups = frame.groupby(list(frame), sort=sort, dropna=dropna)
    found = [level.to_numpy() for level in groups.size().index.to_frame().items() for level in [level[1]]]
    for op, x in zip(ops, data, strict=True):
        part = pd.Series(x).groupby([frame[name] for name in frame], sort=sort, dropna=dropna)
        found.append(getattr(part, op)().to_numpy())
    return found


def check(keys: list[np.ndarray], dtype: str, *, sort: bool = True, dropna: bool = True, threads: int = 1) -> None:
    x = values(dtype, 1)
    ops = OPS if dtype != "bool" else ["sum", "mean", "min", "max", "count", "first", "last", "any", "all"]
    if dtype != "float64":
        ops = [op for op in ops if op != "prod"]
    want = expected(keys, ops, [x] * len(ops), sort, dropna)
    got = group(keys, ops, [x] * len(ops), sort=sort, dropna=dropna, threads=threads)
    assert got is not None
    for name, a, b in zip([*["key"] * len(keys), *ops], got, want, strict=True):
        assert len(a) == len(b), name
        if name != "key":
            assert a.dtype == group_dtype(name, np.dtype(dtype)), name
        tolerance = 1e-3 if dtype == "float32" else 1e-9
        if a.dtype.kind == "f":
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=1e-5 if dtype == "float32" else 1e-9, err_msg=name)
        else:
            np.testing.assert_array_equal(a, b, err_msg=name)


def key(dtype: str, seed: int = 5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        return rng.random(ROWS) < 0.3
    if dtype.startswith("float"):
        found = rng.integers(0, 40, ROWS).astype(dtype) / 4
        found[found == 0] *= rng.choice([-1, 1], (found == 0).sum())
        found[rng.random(ROWS) < 0.05] = np.nan
        return found
    low = 0 if dtype.startswith("u") else -20
    return rng.integers(low, 60, ROWS).astype(dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "int8", "uint16", "bool"])
def test_c11_dictmerger_dense(dtype: str) -> None:
    check([key("int64")], dtype)
    check([key("int64")], dtype, sort=False, threads=2)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int32", "uint32", "uint64", "float64", "float32"])
@pytest.mark.parametrize("sort", [True, False])
def test_c11_dictmerger_keys(dtype: str, sort: bool) -> None:
    check([key(dtype)], "float64", sort=sort)


@pytest.mark.parametrize("dropna", [True, False])
@pytest.mark.parametrize("sort", [True, False])
def test_nan_keys_drop_or_go_last(dropna: bool, sort: bool) -> None:
    if sort or dropna:
        check([key("float64")], "float64", sort=sort, dropna=dropna)
    check([key("float64"), key("int64", 6)], "float64", sort=True, dropna=dropna)


def test_c11_dictmerger_hash() -> None:
    far = key("int64") * 10**15
    check([far], "float64")
    check([far, key("int64", 7)], "int64", sort=False)
    check([np.random.default_rng(1).integers(0, 1 << 62, ROWS)], "float64")
    check([key("uint64") + np.uint64(2**63 + 5)], "float64")


def test_sizes_and_codes() -> None:
    keys = [key("float64"), key("int64", 9)]
    got = group(keys, ["size", "codes"], [])
    assert got is not None
    frame = pd.DataFrame({"a": keys[0], "b": keys[1]}).groupby(["a", "b"])
    np.testing.assert_array_equal(got[2], frame.size().to_numpy())
    np.testing.assert_array_equal(got[3], frame.ngroup().fillna(-1).to_numpy(np.int64))
    dense: Any = group(keys[1:], ["codes"], [])
    np.testing.assert_array_equal(dense[1], pd.Series(keys[1]).groupby(keys[1]).ngroup())


def test_c11_threads_do_not_change_bits() -> None:
    rng = np.random.default_rng(0)
    rows = 500_000
    at, x = rng.integers(0, 1000, rows), rng.normal(size=rows)
    found = [group([at], ["sum", "var"], [x, x], threads=threads) for threads in (1, 2, 3)]
    for each in found[1:]:
        assert each is not None and found[0] is not None
        for a, b in zip(each, found[0], strict=True):
            np.testing.assert_array_equal(a, b)


def test_what_pandas_does_better_is_left_to_it() -> None:
    few = np.arange(10)
    assert group([few], ["sum"], [few]) is None
    many = np.arange(module.SMALL)
    assert group([many], ["nunique"], [many]) is None
    assert group([many.astype(str)], ["size"], []) is None


@pytest.mark.parametrize("drop", [True, False])
def test_keys_that_are_far_apart_missing_and_near(drop: bool) -> None:
    rng = np.random.default_rng(12)
    far = rng.integers(0, 10**9, 30)[rng.integers(0, 30, 40_000)]
    keys = [far, rng.choice([1.5, np.nan, -0.0, 2.0], len(far)), rng.integers(0, 5, len(far))]
    x = rng.normal(size=len(far))
    found = group(keys, ["sum"], [x], dropna=drop)
    frame = pd.DataFrame({"a": keys[0], "b": keys[1], "c": keys[2], "x": x})
    wanted = frame.groupby(["a", "b", "c"], dropna=drop).x.sum().reset_index()
    assert found is not None
    for value, name in zip(found, wanted, strict=True):
        np.testing.assert_allclose(value, wanted[name], rtol=1e-9, atol=1e-12)

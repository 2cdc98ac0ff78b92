"""What each emitter writes computes what the captured calls compute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import erf, expit, ndtr

import workbench as wb
from workbench.fusion.check import difference
from workbench.fusion.eager import evaluate
from workbench.fusion.peers import numba, polars, tensors
from workbench.fusion.peers import numpy as plain
from workbench.fusion.peers import pandas as tables
from workbench.fusion.peers.graph import NotExpressible

RNG = np.random.default_rng(11)
N = 700
A, B = RNG.normal(size=N), RNG.uniform(0.1, 2, size=N)
A[::50] = np.nan
K = RNG.integers(-3, 9, N)


def arrays() -> tuple[Any, Any]:
    return wb.fusion.array(A), wb.fusion.array(B)


def frame() -> Any:
    return wb.fusion.frame(pd.DataFrame({"a": A, "b": B, "k": K}))


def _math() -> list[Any]:
    a, b = arrays()
    y = np.exp(-b * b) + np.log(b) * np.sqrt(b) - np.sin(a) / np.cos(b)
    return [np.where(a > 0, y, -y), np.hypot(a, b), np.floor(a) + np.abs(a)]


def _special() -> list[Any]:
    a, b = arrays()
    return [erf(b) + expit(b) * ndtr(a)]


def _reductions() -> list[Any]:
    a, b = arrays()
    return [b.sum(), b.mean(), b.min(), b.max(), a.sum(), b.std(), np.nansum(a), np.nanmax(a)]


def _two_levels() -> list[Any]:
    _, b = arrays()
    return [((b - b.mean()) / b.std()).max()]


def _filtered() -> list[Any]:
    f = frame()
    few = f[f.a > 0.2]
    return [(few.a * few.b).sum(), few.b.mean(), few.a.count(), few.b.max()]


def _kept_rows() -> list[Any]:
    _, b = arrays()
    return [b[b > 1.0] * 2]


def _filtered_twice() -> list[Any]:
    f = frame()
    few = f[f.a > 0.2]
    fewer = few[few.b < 1]
    return [(fewer.a + fewer.b).sum()]


def _filtered_frame_and_sum() -> list[Any]:
    f = frame()[["b", "k"]]
    few = f[f.b > 0.2]
    return [few, few.b * 2, (few.b - few.k).clip(0.01, 0.02).sum(), f.b + 1]


def _groups() -> list[Any]:
    f = frame()
    few = f[f.b > 0.3]
    return [(few.a * (1 - few.b)).groupby(few.k).sum()]


def _group_means() -> list[Any]:
    return [frame().groupby("k").a.mean()]


CASES = [
    _math, _special, _reductions, _two_levels, _filtered, _kept_rows, _filtered_twice, _groups, _group_means,
]  # fmt: skip


def exprs_of(make: Callable[[], list[Any]]) -> list[Any]:
    return [part for each in make() for part in (each._needs() if hasattr(each, "_needs") else each._parts())]


def assert_same(found: list[Any], wanted: list[Any]) -> None:
    assert len(found) == len(wanted)
    for value, eager in zip(found, wanted, strict=True):
        value, eager = np.asarray(value), np.asarray(eager)
        error, _, fits = difference(value.astype(eager.dtype), eager, 1e-10)
        assert fits, (error, value, eager)


@pytest.mark.parametrize("make", CASES)
@pytest.mark.parametrize("build", [plain.build, tables.build, numba.build], ids=["numpy", "pandas", "numba"])
def test_replays_and_loops(make: Any, build: Any) -> None:
    exprs = exprs_of(make)
    assert_same(build(exprs, 1)(), evaluate(exprs))


@pytest.mark.parametrize("make", [_filtered_twice, _filtered_frame_and_sum, _groups, _group_means, _two_levels])
def test_polars_queries(make: Any) -> None:
    import polars as pl

    exprs = exprs_of(make)
    assert_same(polars.build(exprs, pl.thread_pool_size())(), evaluate(exprs))


@pytest.mark.parametrize("make", CASES)
def test_functions_for_torch(make: Any) -> None:
    import torch

    exprs = exprs_of(make)
    traced = tensors.Traced(exprs, torch=True)
    scope: dict[str, Any] = {"torch": torch}
    exec(traced.source, scope)
    found = scope["traced"](*[torch.from_numpy(np.asarray(each.data)) for each in traced.leaves])
    assert_same(traced.finish([each.numpy() for each in found]), evaluate(exprs))


@pytest.mark.parametrize("make", [_math, _reductions, _two_levels, _filtered, _kept_rows, _filtered_twice])
def test_functions_for_jax_in_numpy(make: Any) -> None:
    exprs = exprs_of(make)
    traced = tensors.Traced(exprs, torch=False)
    scope: dict[str, Any] = {"jnp": np}
    exec(traced.source, scope)
    with np.errstate(all="ignore"):
        found = scope["traced"](*[each.data for each in traced.leaves])
    assert_same(traced.finish([np.asarray(each) for each in found]), evaluate(exprs))


def test_jax_itself() -> None:
    pytest.importorskip("jax")
    from workbench.fusion.peers import jax

    exprs = exprs_of(_groups)
    assert_same(jax.build(exprs, 1)(), evaluate(exprs))


def test_a_loop_is_one_loop() -> None:
    text = numba.source(exprs_of(_filtered))
    assert text.count("for i in range(n)") == 1
    assert text.count("if ") >= 1


def test_strings_have_no_loop() -> None:
    words = wb.fusion.frame(pd.DataFrame({"w": list("abcabc"), "x": np.arange(6.0)}))
    with pytest.raises(NotExpressible):
        numba.build(exprs_of(lambda: [words.groupby("w").x.sum()]), 1)

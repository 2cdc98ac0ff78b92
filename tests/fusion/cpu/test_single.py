from __future__ import annotations

import numpy as np
import pytest

import workbench as wb
from workbench.fusion import cache
from workbench.fusion.cpu.address import address

X = np.random.default_rng(3).normal(size=500)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int8, bool])
def test_addresses_are_those_that_numpy_tells(dtype: type) -> None:
    base: np.ndarray = np.ones((6, 8)).astype(dtype)
    frozen = base.copy()
    frozen.flags.writeable = False
    for each in (
        base,
        base[2:],
        base[::-1, 1],
        base.T,
        base[3, 4, ...],
        np.zeros(0, dtype),
        frozen,
        np.broadcast_to(base, (2, 6, 8)),
    ):
        assert address(each) == each.__array_interface__["data"][0]


def test_runs_after_the_first_see_their_own_data() -> None:
    wb.fusion.cache_clear(disk=False)
    kept = []
    for k in range(4):
        a = X + k
        x = wb.fusion.array(a)
        found = wb.fusion.compute(x * 2 + 1, x.sum(), (x - x.mean()).max())
        kept.append((a, found))
    for a, (y, total, most) in kept:  # none has the memory of a later one
        np.testing.assert_array_equal(y, a * 2 + 1)
        assert total == pytest.approx(a.sum(), rel=1e-12) and most == pytest.approx((a - a.mean()).max(), rel=1e-12)
    [code] = cache.kernels.values()
    assert code._single is not None


@pytest.mark.parametrize(
    "other",
    [X[:100], X[::-2], X[::2].copy(), X.astype(np.float32), X[:1], X[:0], np.r_[X, X]],
    ids=["shorter", "reversed", "half", "float32", "one", "none", "longer"],
)
def test_another_form_is_seen(other: np.ndarray) -> None:
    def work(x: np.ndarray) -> np.ndarray:
        return np.sqrt(x * x + 2)

    fused = wb.fusion.fuse(work)
    for each in (X, X, other, X, other, other):
        np.testing.assert_allclose(fused(each), work(each), rtol=1e-6)


def test_a_single_value_may_be_a_scalar_or_an_array() -> None:
    total = wb.fusion.array(X).sum()
    one = wb.fusion.array(np.array(2.5))
    for x in (one, wb.fusion.array(np.float64(2.5)), total.compute() and total, one):
        for view in (x[None] * 3 + 1, x.reshape(1) * 3 + 1):
            assert view.compute().tolist() == [pytest.approx(float(x) * 3 + 1, rel=1e-15)]


def test_tiles_have_their_own_memory_in_each_run() -> None:
    m = X.reshape(50, 10)

    def softmax(m: np.ndarray) -> np.ndarray:
        e = np.exp(m - m.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    fused = wb.fusion.fuse(softmax)
    for k in range(3):
        np.testing.assert_allclose(fused(m * k), softmax(m * k), rtol=1e-12)

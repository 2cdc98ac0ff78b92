import numpy as np
import pytest

import workbench as wb


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
@pytest.mark.parametrize("shape", [(3, 5, 40), (2, 33, 1), (17, 4, 300), (1, 2, 17), (30, 3, 3000)])
def test_columns_that_are_whole_rows_are_merged_row_by_row(shape, dtype):
    a = (np.random.default_rng(0).normal(size=shape) * 100).astype(dtype)
    x = wb.fusion.array(a)
    lazies = [x.sum(axis=(0, 2)), x.max(axis=(0, 2)), (x > 3).all(axis=(0, 2)), (x * 2).mean(axis=(0, 2))]
    found = wb.fusion.compute(*lazies)
    wanted = [a.sum(axis=(0, 2)), a.max(axis=(0, 2)), (a > 3).all(axis=(0, 2)), (a * dtype(2)).mean(axis=(0, 2))]
    for one, two in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4 if dtype == np.float32 else 1e-11, atol=1e-3)
    for lazy, one in zip(lazies, found, strict=True):
        np.testing.assert_allclose(lazy.compute(device="interpreter"), one, rtol=1e-5, atol=1e-3)


def test_the_loop_over_a_row_stands_inside():
    a = np.ones((6, 20, 50))
    plan = wb.fusion.explain(wb.fusion.array(a).sum(axis=(0, 2)))
    (kernel,) = plan.kernels
    assert kernel.ir.count("for (") == 2
    assert "    builder" in kernel.ir and "result b" in kernel.ir

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import workbench as wb
from workbench.fusion import cache

A = np.random.default_rng(1).normal(size=1000)


def plan_of(*lazies: Any, **options: Any) -> Any:
    wb.fusion.compute(*lazies, **options)
    return wb.fusion.plans()[-1]


def test_c15_the_example_of_the_design() -> None:
    n = len(A)
    x = wb.fusion.array(A)
    plan = plan_of((x * 2 + 1).sum())
    assert (plan.kernels_before, plan.launches) == (3, 1)
    assert (plan.bytes_before, plan.bytes_after) == (40 * n + 8, 8 * n + 8)
    [kernel] = plan.kernels
    assert (kernel.name, kernel.kind, kernel.scheme) == ("k0_sum", "reduce", "local")
    assert kernel.ops == ("multiply", "add", "sum")
    assert plan.ops.op.tolist() == ["multiply", "add", "sum"]
    assert plan.ops["where"].str.match(r"test_run\.py:\d+").all()


def test_c06_filter_arithmetic_and_sum_are_one_loop() -> None:
    x, y = wb.fusion.array(A), wb.fusion.array(A[::-1].copy())
    keep = x > 0.2
    total = (x[keep] + 2 * y[keep]).clip(0.01, 2).sum()
    assert np.isclose(total.compute(), (A[A > 0.2] + 2 * A[::-1][A > 0.2]).clip(0.01, 2).sum(), rtol=1e-12)
    assert total.plan.launches == 1
    assert total.plan.bytes_after == 16 * len(A) + 8


def test_c14_c16_several_results_in_one_pass() -> None:
    x = wb.fusion.array(A)
    y = np.exp(-x * x)
    plan = plan_of(y, y.sum(), y.max(), x.mean(), x > 0)
    assert plan.launches == 1
    assert plan.kernels[0].bytes_read == 8 * len(A)


def test_what_depends_on_a_whole_sum_is_a_second_loop_of_the_same_kernel() -> None:
    x = wb.fusion.array(A)
    z = (x - x.mean()) / x.std()
    assert np.allclose(z, (A - A.mean()) / A.std(), rtol=1e-12)
    plan = plan_of((x - x.mean()) / x.std())
    assert [(k.kind, k.scheme) for k in plan.kernels] == [("reduce", "global")]


def test_c28_rows_stay_in_cache() -> None:
    m = wb.fusion.array(A.reshape(50, 20))
    e = np.exp(m - m.max(axis=1, keepdims=True))
    plan = plan_of(e / e.sum(axis=1, keepdims=True))
    assert [(k.kind, k.scheme) for k in plan.kernels] == [("reduce", "regional")]
    assert plan.kernels[0].bytes_read == plan.kernels[0].bytes_written == 8 * len(A)


def test_c32_columns_and_what_follows() -> None:
    m = wb.fusion.array(A.reshape(50, 20))
    found = (m.sum(axis=0) / 50).compute()
    assert np.allclose(found, A.reshape(50, 20).mean(0), rtol=1e-12)


def test_c33_a_scan_and_what_uses_it() -> None:
    x = wb.fusion.array(A)
    assert np.allclose(np.cumsum(x * 2) + 1, np.cumsum(A * 2) + 1, rtol=1e-12)


def test_c11_groups_with_filter_and_value_in_one_loop() -> None:
    from workbench.fusion import expr as ir
    from workbench.fusion.run import force

    keys = np.random.default_rng(0).integers(-3, 20, len(A))
    k, x = ir.leaf(keys), ir.leaf(A)
    mask = ir.map_("greater", x, ir.const(0.0))
    size = ir.Size("rows", mask, len(A))
    value = ir.map_("multiply", ir.filter_(x, mask, size), ir.const(2.0))
    for sort in (True, False):
        found = ir.group_reduce([ir.filter_(k, mask, size)], [("sum", value), ("size", None)], sort=sort)
        (names, sums, sizes), plan = force(found)
        assert [each.kind for each in plan.kernels] == ["group"]
        wanted = (
            __import__("pandas")
            .DataFrame({"k": keys, "v": A * 2})[A > 0]
            .groupby("k", sort=sort)
            .v.agg(["sum", "size"])
        )
        assert np.array_equal(names, wanted.index) and np.array_equal(sizes, wanted["size"])
        np.testing.assert_allclose(sums, wanted["sum"], rtol=1e-12)


def test_keys_outside_the_sampled_range_are_found() -> None:
    from workbench.fusion import expr as ir
    from workbench.fusion.run import force

    keys = np.zeros(100_000, np.int64)
    keys[77_777], keys[5] = 900, -900
    for far in (900, 10**12):
        keys[77_777] = far
        names, sizes = force(ir.group_reduce([ir.leaf(keys)], [("size", None)]))[0]
        assert names.tolist() == [-900, 0, far] and sizes.tolist() == [1, 99_998, 1]


def test_c38_one_plan_for_all_lengths() -> None:
    wb.fusion.cache_clear(disk=False)
    for k, n in enumerate((100, 1000, 37, 50_000)):
        x = wb.fusion.array(np.ones(n))
        total = (x[1:] * 3 - x[:-1]).sum()
        assert total.compute() == 2 * (n - 1)
        assert total.plan.cache == ("hit" if k else total.plan.cache)
    assert len(cache.plans) == 1 and len(cache.kernels) == 1


def test_lengths_that_are_equal_by_chance_make_another_plan() -> None:
    for n, m in ((100, 100), (100, 50), (30, 30)):
        x, y = wb.fusion.array(np.ones(n)), wb.fusion.array(np.ones(m))
        assert [each.tolist() for each in wb.fusion.compute((x * 2).sum(), (y * 3).sum())] == [2 * n, 3 * m]


def test_c17_equal_work_is_done_once_and_counted_as_often_as_it_was_asked_for() -> None:
    x = wb.fusion.array(A)
    plan = plan_of(np.exp(x) + np.exp(x))
    assert plan.kernels_before == 3
    assert plan.ir.count("exp(") == 1


@pytest.mark.parametrize("device", ["auto", "cpu", "interpreter", "eager"])
def test_devices_agree(device: str) -> None:
    x = wb.fusion.array(A)
    assert np.allclose(wb.fusion.compute(np.sin(x) ** 2 + np.cos(x) ** 2, device=device)[0], 1, rtol=1e-12)


def test_devices_that_are_not_there_say_so() -> None:
    x = wb.fusion.array(A) + 1
    for device, options, first in (
        ("cuda", {}, "No CUDA device is available."),
        ("cuda", {"exact": True}, "exact=True runs on the CPU only."),
        ("triton-interpreter", {}, "The Triton interpreter is off."),
        ("gpu", {}, 'Unknown device "gpu".'),
    ):
        with pytest.raises(wb.fusion.FusionError) as caught:
            x.compute(device=device, **options)
        assert caught.value.message == first


def test_c66_plans_are_plain_and_equal_plans_equal() -> None:
    import json

    first, second = (plan_of(np.exp(wb.fusion.array(A)).sum()) for _ in range(2))
    assert first == second and first != plan_of(np.log(wb.fusion.array(A)).sum())
    json.dumps(first.to_dict())
    frame = first.to_pandas()
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == {
        "name": "str", "kind": "str", "scheme": "str", "ops": "int64", "bytes_read": "int64", "bytes_written": "int64",
        "predicted_ms": "float64", "measured_ms": "float64", "gbps": "float64", "bandwidth_pct": "float64",
        "compile_ms": "float64", "cache": "str",
    }  # fmt: skip
    assert list(first.ops) == ["op", "shape", "dtype", "kernel", "where"]
    assert list(first.reasons) == ["op", "reason", "where"]


def test_explain_runs_nothing() -> None:
    x = wb.fusion.array(A)
    many = len(wb.fusion.plans())
    plan = wb.fusion.explain((x * 2).sum(), x[x > 0].mean())
    assert len(wb.fusion.plans()) == many
    assert plan.launches == 1 and plan.to_pandas().measured_ms.isna().all()


def test_plans_are_kept_and_caches_cleared() -> None:
    plan = plan_of(wb.fusion.array(A) + 1)
    assert wb.fusion.plans()[-1] is plan and len(wb.fusion.plans()) <= 64
    wb.fusion.cache_clear(disk=False)
    assert not len(cache.plans) and not len(cache.kernels)


def test_a_long_expression_is_several_kernels() -> None:
    y = wb.fusion.array(A)
    for k in range(600):
        y = y * 0.5 + k
    plan = plan_of(y)
    assert 2 < plan.launches < 10


def test_c51_exact_sums_are_correctly_rounded() -> None:
    import math

    x = A * 10.0 ** np.random.default_rng(3).integers(-12, 12, len(A))
    for threads in (1, 2):
        [total] = wb.fusion.compute(wb.fusion.array(x).sum(), exact=True, threads=threads)
        assert total == math.fsum(x)


def test_threads_are_asked_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_FUSION_THREADS", "1")
    assert (wb.fusion.array(A) + 1).compute(threads=7).shape == A.shape

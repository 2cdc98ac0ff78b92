from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from workbench.fusion import expr as ir
from workbench.fusion.loop import text
from workbench.fusion.plan import branch, model, sample
from workbench.fusion.run import force, plan_of

N = 4_100


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(branch, "FEWEST", 1_000)
    wb.fusion.cache_clear(disk=False)
    yield
    wb.fusion.cache_clear(disk=False)


def jumps(plan: wb.fusion.FusionPlan) -> bool:
    return re.search(r"^ *if %", plan.ir, re.MULTILINE) is not None


def seldom(part: float, kind: str) -> tuple[list[ir.Expr], np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x, y = rng.random(N), rng.random(N)
    size = ir.Size("rows")
    a, b = ir.leaf(x), ir.leaf(y)
    mask = ir.map_("less", a, ir.const(part))
    size.mask, size.parent = mask, N
    kept = ir.map_("exp", ir.map_("sin", ir.filter_(b, mask, size)))
    roots = {
        "reduce": [ir.reduce_("sum", kept), ir.reduce_("max", kept), ir.reduce_("mean", kept)],
        "append": [kept, ir.filter_(a, mask, size)],
        "both": [ir.map_("sqrt", kept), ir.reduce_("argmax", kept), ir.reduce_("var", kept)],
    }[kind]
    return roots, x, y


@pytest.mark.parametrize("kind", ["reduce", "append", "both"])
@pytest.mark.parametrize("part", [0.0005, 0.01, 0.5, 1.0])
def test_c18_rows_are_jumped_over_where_few_pass_and_the_bits_are_the_same(part: float, kind: str) -> None:
    values, plan = force(seldom(part, kind)[0])
    assert jumps(plan) == (part <= 0.01)
    branch.FEWEST = 10**9  # the other form
    again, other = force(seldom(part, kind)[0])
    assert not jumps(other)
    for a, b in zip(values, again, strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes() and np.asarray(a).dtype == np.asarray(b).dtype


@pytest.mark.parametrize("part", [0.002, 0.6])
def test_c18_groups_jump_too(part: float) -> None:
    rng = np.random.default_rng(1)
    df = pd.DataFrame({"k": rng.integers(0, 9, N), "x": rng.random(N), "y": rng.normal(size=N)})

    def asked() -> Any:
        frame = wb.fusion.frame(df)
        found = frame[frame.x < part].groupby("k").y.agg(["sum", "mean", "var", "min", "first", "count", "size"])
        return found.compute(), found._plan

    values, plan = asked()
    assert jumps(plan) == (part < 0.01) and [each.kind for each in plan.kernels] == ["group"]
    branch.FEWEST = 10**9
    again, other = asked()
    assert not jumps(other)
    pd.testing.assert_frame_equal(values, again, check_exact=True)
    eager = df[df.x < part].groupby("k").y.agg(["sum", "mean", "var", "min", "first", "count", "size"])
    pd.testing.assert_frame_equal(values, eager, rtol=1e-9)


def test_the_same_arrays_are_looked_at_once_and_others_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    roots, x, y = seldom(0.01, "reduce")
    from workbench.fusion import interpret

    looked = []
    run = interpret.run

    def spy(*args: Any) -> Any:
        looked.append(1)
        return run(*args)

    monkeypatch.setattr(interpret, "run", spy)
    force(roots)
    force(roots)
    assert len(looked) == 1
    x[:] = x[::-1].copy()  # the same memory; a guess may be old, an answer may not
    assert np.allclose(force(roots)[0][0], np.exp(np.sin(y[x < 0.01])).sum())
    other, _, _ = seldom(0.6, "reduce")
    force(other)
    assert len(looked) == 2


def test_cheap_work_and_other_rows_have_no_second_form() -> None:
    a = ir.leaf(np.arange(10.0))
    mask = ir.map_("greater", a, ir.const(3.0))
    size = ir.Size("rows", mask, 10)
    found = force([ir.reduce_("count_nonzero", mask)])[1]
    assert not jumps(found)
    both = [ir.reduce_("sum", ir.map_("exp", ir.filter_(a, mask, size))), ir.reduce_("sum", a)]
    assert not jumps(force(both)[1])


@pytest.mark.parametrize("passing", [0.0, 0.001, 0.1, 0.5, 1.0])
def test_the_choice_follows_the_formula(passing: float) -> None:
    device = model.DeviceModel("cpu", {"memory": 10.0}, 8.0, {"mispredict": 8.0})
    some = 1 - (1 - passing) ** 8
    for body in (0.1, 1.0, 5.0, 50.0):
        wanted = body > 1 / 8 + some * body + 2 * min(some, 1 - some) * 1.0
        assert branch.pays(body, passing, device) == wanted


def test_the_test_of_a_form_counts_what_passes() -> None:
    x, y = np.arange(100.0), np.arange(100.0)[::-1].copy()
    a, b = ir.leaf(x), ir.leaf(y)
    mask = ir.map_("logical_and", ir.map_("less", a, ir.const(30.0)), ir.map_("greater", b, ir.const(80.0)))
    roots = [ir.reduce_("sum", ir.map_("exp", ir.filter_(a, mask, ir.Size("rows", mask, 100))))]
    from workbench.fusion.lower import like, lower
    from workbench.fusion.plan.partition import partition

    parts = partition(roots)
    program = lower(parts.groups[0], parts, lambda node: like(node.dtype, (3,)), "k").program
    found = branch.branch_of(program, model.device_model())
    assert found is not None and "\n  if %" in text(found.program) and set(found.sampled) == {"a0", "a1"}
    from workbench.fusion import interpret

    out = interpret.run(found.test, {"a0": x, "a1": y}, {found.rows: 100})
    assert int(out["passed"]) == int(((x < 30) & (y > 80)).sum())


def test_unknown_rows_are_told_from_4096_evenly_spaced_ones() -> None:
    x = np.arange(100_000.0)
    frame = wb.fusion.frame(pd.DataFrame({"x": x, "y": x}))
    plan = wb.fusion.explain(frame[frame.x < 20_000].y * 2)
    [rows] = [int(row.shape.strip("(),")) for row in plan.op_rows if row.op == "multiply"]
    assert abs(rows - 20_000) < 100 and rows != 20_000
    lazy = frame[frame.x < 20_000].y * 2
    lazy.compute()
    assert lazy._plan is not None
    assert [row.shape for row in lazy._plan.op_rows if row.op == "multiply"] == ["(20000,)"]


def test_rows_of_rows_and_masks_of_means_are_told_too() -> None:
    x = np.arange(50_000.0)
    a = ir.leaf(x)
    first = ir.map_("less", a, ir.const(10_000.0))
    size = ir.Size("first", first, 50_000)
    kept = ir.filter_(a, first, size)
    second = ir.map_("less", kept, ir.reduce_("mean", kept))
    found = sample.Rows().of(ir.Size("second", second, size))
    assert abs(found - 5_000) < 50
    assert sample.passing(ir.map_("less", ir.scan("cumsum", a), ir.const(1.0))) == 0.5
    assert sample.passing(ir.map_("less", ir.leaf(np.zeros(0)), ir.const(1.0))) == 0.0


def test_the_example_of_a_sum() -> None:
    n = 1_000
    x = wb.fusion.array(np.ones(n))
    plan = plan_of([(x * 2 + 1).sum()._expr])
    assert (plan.kernels_before, plan.launches, plan.bytes_before, plan.bytes_after) == (3, 1, 40 * n + 8, 8 * n + 8)
    assert [(k.kind, k.scheme) for k in plan.kernels] == [("reduce", "local")]

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from workbench.fusion import expr as ir
from workbench.fusion.plan.beam import candidates, largest_of, search
from workbench.fusion.plan.cost import gain, latency
from workbench.fusion.plan.inline import base_of
from workbench.fusion.plan.model import DeviceModel, device_model, predicted_ms
from workbench.fusion.plan.partition import partition
from workbench.fusion.run import force

M = ir.leaf(np.random.default_rng(0).normal(size=(40, 30)))


def dear(x: ir.Expr) -> ir.Expr:
    return ir.map_("exp", ir.map_("multiply", ir.map_("sin", x), ir.map_("tan", x)))


def test_c34_what_two_kernels_would_compute_is_stored_where_that_pays() -> None:
    e = dear(M)
    roots = [ir.reduce_("sum", e, [0]), ir.reduce_("sum", e, [1])]
    model = device_model()
    fused = partition(roots)
    assert [node is e for _, node in candidates(*largest_of(roots), model)] == [True]
    found = search(roots, model)
    assert id(e) in found.cuts and latency(found, model) < latency(fused, model)
    cheap = ir.map_("add", M, ir.const(1.0))
    roots = [ir.reduce_("sum", cheap, [0]), ir.reduce_("sum", cheap, [1])]
    assert search(roots, model).cuts == partition(roots).cuts


def test_dear_values_that_are_broadcast_are_computed_once() -> None:
    rng = np.random.default_rng(1)
    x, column, m = (ir.leaf(rng.normal(size=shape)) for shape in (30, (40, 1), (40, 30)))
    row = dear(x)
    model = device_model()
    assert id(row) in search([ir.map_("add", row, m)], model).cuts
    # what is the same along the last axis is moved out of the loop over it
    assert not search([ir.map_("add", dear(column), m)], model).cuts
    # and what is cheap is cheaper than another kernel
    assert not search([ir.map_("add", ir.map_("negative", x), m)], model).cuts
    # a few rows are not worth it either
    few = ir.leaf(rng.normal(size=(2, 30)))
    cheap = ir.map_("sqrt", x)
    assert not search([ir.map_("add", cheap, few)], model).cuts
    roots = [ir.map_("add", row, m), ir.reduce_("max", ir.map_("multiply", row, m), [1])]
    values, plan = force(roots)
    for value, wanted in zip(values, force(roots, device="eager")[0], strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-12)
    assert plan.bytes_after <= plan.bytes_before


def test_c35_the_two_evaluators_agree_on_what_is_better() -> None:
    model = device_model()
    assert gain(model, 5.0, 2, 8) > 0 > gain(model, 0.2, 2, 8)
    assert gain(model, 5.0, 3, 8) > gain(model, 5.0, 2, 8)


def test_the_same_graph_has_the_same_plan() -> None:
    e = dear(M)
    roots = [ir.reduce_("sum", e, [0]), ir.reduce_("sum", e, [1]), ir.reduce_("max", e)]
    assert force(roots)[1] == force(roots)[1]


def drawn(seed: int) -> list[ir.Expr]:
    """Return the roots of a random graph: rows, columns, broadcasts, filters, running values, library calls."""
    rng = np.random.default_rng(seed)
    flat = [ir.leaf(rng.normal(size=50)), ir.leaf(rng.normal(size=50))]
    wide = [M, ir.leaf(rng.normal(size=(40, 30))), ir.leaf(rng.normal(size=(40, 1))), ir.leaf(rng.normal(size=30))]
    kept: list[ir.Expr] = []
    for _ in range(14):
        nodes = flat if rng.random() < 0.4 else wide
        x, y = (nodes[int(rng.integers(len(nodes)))] for _ in range(2))
        how = rng.random()
        if how < 0.35:
            nodes.append(ir.map_(str(rng.choice(["add", "multiply", "maximum"])), x, y))
        elif how < 0.6:
            nodes.append(ir.map_(str(rng.choice(["tanh", "exp", "negative"])), ir.map_("sin", x)))
        elif x.ndim == 2 and x.shape == (40, 30):
            axis = int(rng.integers(2))
            nodes.append(ir.reduce_(str(rng.choice(["sum", "max", "mean"])), x, [axis], keepdims=True))
        elif nodes is flat and x.shape == (50,):
            if how < 0.75:
                mask = ir.map_("greater", x, ir.const(0.0))
                some = ir.filter_(y, mask, ir.Size(f"kept{len(kept)}", mask, 50)) if y.shape == (50,) else x
                kept.append(ir.reduce_("sum", ir.map_("square", some)))
                kept.append(some)
            elif how < 0.85:
                nodes.append(ir.scan("cumsum", x))
            else:
                nodes.append(ir.extern("sort", np.sort, (x,), "float64", (50,)))
    return [*wide[-3:], *flat[-2:], *kept[-3:]]


@pytest.mark.parametrize("seed", range(60))
def test_random_plans_have_no_cycle_and_move_no_more_than_before(seed: int) -> None:
    roots = drawn(seed)
    for parts in (partition(roots), search(roots, device_model())):
        for group in parts.groups:
            for root in group.roots:
                for need in parts.cone(root.node)[1]:
                    home, level = parts.where.get(id(need)), parts.levels.get(id(need), -1)
                    if home is group:
                        made = parts.roots[id(need)]
                        # a running value is there at once for what comes after it in the same loop
                        at_once = made.kind == "scan" and group.roots.index(made) < group.roots.index(root)
                        assert made.stage < root.stage or (made.stage == root.stage and at_once)
                    else:
                        assert level < group.level
        for level, node in parts.calls:
            assert all(parts.levels.get(id(base_of(each)), -1) < level for each in node.inputs)
    values, plan = force(roots, device="interpreter")
    eager, _ = force(roots, device="eager")
    for value, wanted in zip(values, eager, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-9, atol=1e-12)
    assert plan.bytes_after <= plan.bytes_before
    library = {"extern", "fallback", "inductor"}
    for kernel in plan.kernels:
        assert kernel.scheme in (("none",) if kernel.kind in library else ("local", "regional", "global", "packed"))
    assert len({kernel.name for kernel in plan.kernels}) == len(plan.kernels)


def test_a_thousand_nodes_are_planned_within_a_second() -> None:
    x = y = M
    for k in range(500):
        y = ir.map_("add", ir.map_("multiply", y, x), ir.const(float(k)))
    start = time.process_time()
    wb.fusion.explain(wb.fusion.LazyArray(y))
    assert time.process_time() - start < 10  # a quarter of a second where nobody else works


def test_c20_columns_that_nobody_asks_for_are_not_read() -> None:
    n = 5_000
    frame = wb.fusion.frame(pd.DataFrame({name: np.arange(float(n)) for name in "abcd"}))
    frame["e"] = np.exp(frame.c)
    total = frame[frame.a > 10.0].b.sum()
    total.compute()
    [kernel] = total._plan.kernels
    assert kernel.bytes_read == 2 * 8 * n and "exp" not in kernel.ops


def test_levels_of_memory_have_their_bandwidth() -> None:
    model = DeviceModel("cpu", {"L1": 80.0, "L2": 40.0, "L3": 20.0, "memory": 10.0}, launch_us=10.0)
    assert [model.bandwidth(size) for size in (1 << 10, 1 << 18, 1 << 22, 1 << 28)] == [80.0, 40.0, 20.0, 10.0]
    assert predicted_ms(model, 1e9, 0.0) == pytest.approx(100.01)
    assert predicted_ms(model, 1e9, 4e8, threads=1) == pytest.approx(400.01)
    assert predicted_ms(model, 1e9, 4e8, threads=8) == pytest.approx(100.01)


def test_more_threads_are_predicted_to_compute_faster() -> None:
    x = wb.fusion.array(np.linspace(0.1, 0.9, 400_000))

    def predicted(threads: int) -> float:
        found = np.tan(np.sin(np.exp(x) * 2.5)).sum()
        found.compute(threads=threads)
        assert found.plan is not None
        return found.plan.kernels[0].predicted_ms

    start = device_model().launch_us / 1e3
    assert (predicted(1) - start) / (predicted(2) - start) == pytest.approx(2.0)
    assert predicted(64) > start + (predicted(1) - start) / 7  # there are six chunks of rows


def test_a_machine_is_measured_by_itself_at_the_first_long_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workbench.fusion import run
    from workbench.fusion.plan import calibrate, model

    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path))
    monkeypatch.setattr(model, "_models", {})
    monkeypatch.setattr(run, "FEWEST", 1_000)
    measured = []

    def measure(until: float) -> dict[str, object]:
        measured.append(until)
        return {"bandwidth_gbps": dict.fromkeys(calibrate.LEVELS, 7.0), "launch_us": 3.0, "op_ns": {"exp": 9.0}}

    monkeypatch.setattr(calibrate, "_measure", measure)
    x = wb.fusion.array(np.ones(2_000))
    np.exp(x).compute()
    assert not measured and not model.calibrated()
    monkeypatch.setattr(run, "WORTH_MEASURING", 1e-4)
    np.exp(x).compute()
    np.exp(x).compute()
    assert len(measured) == 1 and device_model().op_ns["exp"] == 9.0 and device_model().memory == 7.0


def test_an_operation_is_measured_beside_what_loading_takes() -> None:
    from workbench.fusion import cpu
    from workbench.fusion.plan import calibrate

    x = np.linspace(0.1, 0.9, 100)
    for name in ("", "exp", "hypot"):
        wanted = {"": x, "exp": np.exp(x), "hypot": np.hypot(x, x)}[name].sum()
        found = cpu.compile(calibrate._summing(name)).run({"x": x}, {"n": 100})
        assert np.allclose(found["o"], wanted)
    mask = np.arange(100) % 3 == 0
    found = cpu.compile(calibrate._branching()).run({"x": x, "m": mask}, {"n": 100})
    assert np.allclose(found["o"], np.sqrt(x[mask]).sum())


def test_a_machine_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.fusion.plan import calibrate, model

    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path))
    monkeypatch.setattr(model, "_models", {})
    found = wb.fusion.calibrate()
    assert set(found.bandwidth_gbps) == {"L1", "L2", "L3", "memory"} and found.launch_us > 0
    assert list(found.to_pandas()) == ["what", "value", "unit"]
    monkeypatch.setattr(calibrate, "_measure", lambda until: pytest.fail("measured again"))
    assert wb.fusion.calibrate() == found == device_model()
    with pytest.raises(wb.fusion.FusionError, match="No CUDA device"):
        wb.fusion.calibrate("cuda")

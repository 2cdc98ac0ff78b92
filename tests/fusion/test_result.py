from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

import workbench as wb
from workbench.fusion.result import FusionPlan, Kernel, OpRow, ReasonRow, merged


def plan(name: str, kind: str = "map", **rest: object) -> FusionPlan:
    kernel = Kernel(f"k0_{name}", kind, "local", (name,), 80, 20, 0.5, 0.25)
    graph = {"nodes": [{"id": 0, "kernel": kernel.name}], "edges": []}
    rows = [OpRow(name, "(10,)", "float64", kernel.name, "a.py:1")]
    return FusionPlan([kernel], "cpu", 1, 160, op_rows=rows, graph=graph, **rest)  # type: ignore[arg-type]


def test_figures_of_a_kernel() -> None:
    kernel = plan("exp").kernels[0]
    assert kernel.gbps == pytest.approx(100 / 0.25 / 1e6)
    assert kernel.bandwidth_pct == pytest.approx(100 * kernel.gbps / kernel.bandwidth)
    kernel.measured_ms = None
    assert kernel.gbps == pytest.approx(100 / 0.5 / 1e6)
    assert json.dumps(Kernel("k0_a", "map", "local", (), 0, 0).to_dict())


def test_segments_make_one_plan() -> None:
    whole = merged([plan("exp"), plan("log", cache="hit", max_error=0.5), plan("tile", "fallback")])
    assert [kernel.name for kernel in whole.kernels] == ["k0_exp", "k1_log", "k2_tile"]
    assert (whole.segments, whole.launches, whole.kernels_before, whole.bytes_after) == (3, 2, 3, 300)
    assert whole.ops.kernel.tolist() == ["k0_exp", "k1_log", "k2_tile"]
    assert [node["id"] for node in whole.graph["nodes"]] == [0, 1, 2] and whole.cache == "miss"
    assert whole.max_error == 0.5 and merged([]).kernels == []


def test_equality_leaves_times_out() -> None:
    first, second = plan("exp"), plan("exp")
    second.kernels[0].measured_ms = 9.0
    assert first == second and first != plan("log") and first != 1
    second.reason_rows.append(ReasonRow("exp", "user function", ""))
    assert first != second


def test_the_summary_line() -> None:
    one = plan("exp", run_ms=1.234, compile_ms=20.0)
    assert one.summary() == "1 op → 1 kernel · 160 B → 100 B · 1.23 ms · compiled in 20 ms"
    assert plan("tile", "fallback").summary().endswith("cached · 1 op ran unfused")
    assert repr(one) == f"<FusionPlan: {one.summary()}>"


def test_a_plan_that_ran_can_be_pickled() -> None:
    x = wb.fusion.array(np.ones(5))
    (x + 1).compute()
    made = wb.fusion.plans()[-1]
    again = pickle.loads(pickle.dumps(made))
    assert again == made
    with pytest.raises(AttributeError):
        again.nonsense  # noqa: B018

"""Graphs of torch, planned and compiled for a GPU that is not there, and run by Triton's interpreter."""

from __future__ import annotations

import pytest

import workbench as wb
from tests.fusion.gpu.torch_graphs import GRAPHS
from tests.fusion.gpu.triton_runs import interpret
from workbench.fusion.errors import FusionError


@pytest.mark.parametrize("name", [pytest.param(each, marks=[pytest.mark.slow] * (each == "Adam")) for each in GRAPHS])
def test_a_graph_of_torch_takes_no_more_launches_than_the_design_says(name: str) -> None:
    make, most, externs = GRAPHS[name]
    function, inputs = make(False)
    plan = wb.fusion.plan_graph(function, inputs)
    assert plan.device == "cuda:sm_90"
    assert 0 < plan.launches <= most
    assert len(plan.kernels) - plan.launches == externs
    assert plan.launches == len(plan.sources)
    assert plan.bytes_after <= plan.bytes_before
    assert plan.kernels_before > len(plan.kernels)
    assert all(each.name in plan.triton for each in plan.sources)
    assert {row.kernel for row in plan.op_rows} <= {each.name for each in plan.kernels}


@pytest.mark.slow
def test_graphs_give_in_the_interpreter_what_torch_gives() -> None:
    found = interpret("tests.fusion.gpu.torch_graphs")
    assert set(found) == set(GRAPHS)
    assert {name: error for name, error in found.items() if not error <= 1e-5} == {}


def test_library_calls_are_named_and_left_out_of_what_is_compiled() -> None:
    pytest.importorskip("triton", reason="Triton is there for Linux on x86-64 only")
    function, inputs = GRAPHS["BERT block"][0](False)
    plan = wb.fusion.plan_graph(function, inputs)
    assert (plan.reasons.reason == "library call (matmul)").sum() == 6
    kernels = wb.fusion.aot(plan)
    assert [each.name for each in kernels] == [each.name for each in plan.kernels if each.kind != "extern"]
    assert all(each.spills == 0 and each.vector_bytes == 16 for each in kernels)


def test_a_plan_for_another_device_is_not_compiled() -> None:
    function, inputs = GRAPHS["global norm"][0](True)
    plan = wb.fusion.plan_graph(function, inputs, device="cuda:sm_80")
    with pytest.raises(FusionError, match="This plan is for cuda:sm_80, not sm_90a"):
        wb.fusion.aot(plan, "sm_90a")

import itertools

import pytest
import torch

import workbench as wb
from tests.fusion.capture.fx.models import BACKEND, Block, Transformer, mlp
from workbench.fusion.errors import FusionError


def test_a_function_of_meta_tensors_is_planned_as_the_design_says():
    n = 10_000
    plan = wb.fusion.plan_graph(
        lambda x: (x * 2 + 1).sum(), [torch.empty(n, device="meta", dtype=torch.float64)], "cpu"
    )
    assert (plan.kernels_before, plan.launches) == (3, 1)
    assert (plan.bytes_before, plan.bytes_after) == (40 * n + 8, 8 * n + 8)
    assert (plan.kernels[0].kind, plan.kernels[0].scheme) == ("reduce", "local")
    assert list(plan.ops.op) == ["multiply", "add", "sum"]


def test_a_module_and_its_graph_have_one_plan():
    model, inputs = Block(32), [torch.randn(2, 12, 32), torch.zeros(12, 12)]
    plan = wb.fusion.plan_graph(model, inputs, "cpu")
    assert sum(kernel.kind == "extern" for kernel in plan.kernels) == 6
    assert plan.bytes_after <= plan.bytes_before
    assert plan == wb.fusion.plan_graph(model, inputs, "cpu")


def test_each_boundary_of_a_trained_model_says_why_it_is_there():
    model = Transformer()
    compiled = torch.compile(model, backend=BACKEND)
    compiled(torch.randint(0, 50, (3, 12))).sum().backward()
    plan = wb.fusion.explain(compiled)
    assert plan.segments == 2
    reasons = set(plan.reasons.op)
    assert {"library call (matmul)", "library call (embedding)"} <= set(plan.reasons.reason)
    ops = plan.ops.groupby("kernel").op.apply(set).to_dict()
    shown = [kernel.name for kernel in plan.kernels if kernel.name in ops]
    for before, after in itertools.pairwise(shown):
        assert (ops[before] | ops[after]) & reasons, (before, after)
    assert all(kernel.measured_ms is not None for kernel in plan.kernels if kernel.kind != "extern")
    assert any("models.py" in where for where in plan.reasons["where"])
    assert "not fused: addmm: library call (matmul)" in plan.explain()
    assert plan.to_dict()["launches"] == plan.launches


def test_graph_breaks_are_segments_and_every_graph_is_among_the_plans():
    def function(x):
        y = x.sin()
        torch._dynamo.graph_break()
        return y.cos().softmax(0)

    compiled = torch.compile(function, backend=BACKEND)
    many = len(wb.fusion.plans())
    torch.testing.assert_close(compiled(torch.arange(8.0)), function(torch.arange(8.0)))
    assert wb.fusion.explain(compiled).segments == 2
    assert len(wb.fusion.plans()) == min(64, many + 2) or many == 64
    assert [kernel.kind for kernel in wb.fusion.plans()[-1].kernels] == ["reduce"]


def test_checking_compares_every_region_with_torch():
    compiled = torch.compile(mlp(), backend=BACKEND, options={"check": True, "exact": True})
    compiled(torch.randn(8, 16)).sum().backward()


def test_errors_say_the_fix():
    with pytest.raises(FusionError, match='Unknown device "gpu"'):
        wb.fusion.plan_graph(mlp(), [torch.randn(8, 16)], "gpu")
    with pytest.raises(FusionError, match="Nothing was compiled yet"):
        wb.fusion.explain(torch.compile(mlp(), backend=BACKEND))
    with pytest.raises(Exception, match='Unknown option "exakt"'):
        torch.compile(mlp(), backend=BACKEND, options={"exakt": True})(torch.randn(8, 16))

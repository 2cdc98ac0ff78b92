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


@pytest.mark.parametrize("function", [torch.nn.functional.dropout, lambda x: torch.dropout(x, 0.1, True) * 2])
def test_dropout_is_planned_as_part_of_its_region(function):
    plan = wb.fusion.plan_graph(function, [torch.randn(64, 32)], "cpu")
    assert [kernel.kind for kernel in plan.kernels] == ["map"]
    assert not len(plan.reasons)


def reasons_between(function, *inputs):
    plan = wb.fusion.plan_graph(function, inputs, "cpu")
    return len(plan.kernels), set(plan.reasons.reason)


def test_kernels_of_one_region_say_why_they_are_not_one():
    def whole(x):  # all of the sum is needed before the first difference
        y = x.exp().sum(0)
        return (y - y.mean()).cumsum(0)

    many, reasons = reasons_between(whole, torch.randn(300, 400))
    assert many > 1
    assert any("reduction (" in each and "consumed by" in each for each in reasons), reasons
    assert "library call between" not in reasons


def test_regions_of_a_gpu_go_to_its_kernels_and_to_torch_where_there_are_none(monkeypatch):
    from workbench.fusion.capture.fx import graphs
    from workbench.fusion.capture.fx.execution import RegionCall
    from workbench.fusion.gpu import launch

    asked = []

    def stand_in(region, example_inputs=()):
        asked.append(region)
        if len(region.nodes) < 3:
            raise RuntimeError("no form\nof this")
        return RegionCall(region)

    monkeypatch.setattr(graphs, "device_of", lambda region: "cuda")
    monkeypatch.setattr(launch, "compile_region", stand_in)

    def step(x, y):
        x.add_(y.sin() * 2)
        return x.exp().sum()

    compiled = torch.compile(step, backend=BACKEND)
    one, two = torch.randn(2, 40, 30).unbind(0)
    x, other = one.clone(), one.clone()
    torch.testing.assert_close(compiled(x, two), step(other, two))
    torch.testing.assert_close(x, other)
    assert asked and wb.fusion.explain(compiled).device == "cuda"
    small = torch.compile(lambda x: x + 1, backend=BACKEND)
    torch.testing.assert_close(small(one), one + 1)
    plan = wb.fusion.explain(small)
    assert [kernel.kind for kernel in plan.kernels] == ["fallback"]
    assert list(plan.reasons.reason) == ["no form"]


def test_tensors_in_lists_may_be_of_no_memory():
    def norms(tensors):
        return torch.stack([each.square().sum() for each in tensors]).sum()

    made = [torch.empty(64, 32, device=device) for device in ("cpu", "meta") for _ in range(4)]
    here, meta = (wb.fusion.plan_graph(norms, [made[k : k + 4]], device="cuda:sm_90") for k in (0, 4))
    assert meta.launches == here.launches > 0

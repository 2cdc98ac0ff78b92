import copy
import shutil
import subprocess
import sys

import pytest
import torch

import workbench as wb
from tests.fusion.capture.fx.models import assert_same, mlp


def test_a_model_by_name_forward_and_backward():
    assert_same(mlp(), torch.randn(32, 16))


def test_the_package_is_imported_without_torch():
    code = "import sys, workbench, workbench.fusion; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.skipif(shutil.which("g++") is None, reason="Inductor needs a C++ compiler")
def test_inductor_computes_regions_where_that_is_asked_for():
    model, x = mlp(), torch.randn(32, 16)
    compiled = torch.compile(copy.deepcopy(model), backend="workbench", options={"inductor": "always"})
    for each in (model, compiled):
        each(x).square().sum().backward()
    for one, other in zip(model.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad)
    plan = wb.fusion.explain(compiled)
    assert {kernel.kind for kernel in plan.kernels} == {"extern", "inductor"}
    assert plan.launches == 0


def test_a_single_small_operator_is_left_to_torch_and_listed_with_both_times():
    compiled = torch.compile(lambda x: x.sum(0), backend="workbench")
    x = torch.randn(5, 3)
    torch.testing.assert_close(compiled(x), x.sum(0))
    plan = wb.fusion.explain(compiled)
    assert [kernel.kind for kernel in plan.kernels] == ["fallback"]
    assert plan.launches == 0
    (reason,) = plan.reasons.reason
    assert reason.startswith("predicted slower fused (")
    never = torch.compile(lambda x: x.exp() + 1, backend="workbench", options={"inductor": "never"})
    never(x)
    assert wb.fusion.explain(never).launches == 1


def test_a_region_goes_to_inductor_where_it_is_predicted_faster_there(monkeypatch):
    from workbench.fusion.capture.fx import choosing, graphs

    made = []

    def made_up(region, reason="", predicted=None):
        made.append(reason)
        if len(made) > 1:
            raise RuntimeError("no compiler")
        return graphs.LeftCall(region, reason, predicted)

    monkeypatch.setattr(graphs, "InductorCall", made_up)
    monkeypatch.setattr(choosing, "CALL_MS", 100.0)
    monkeypatch.setattr(choosing, "DISPATCH_MS", 50.0)
    x = torch.randn(9, 9)
    for function in (lambda x: x.exp().sum(0) * 2, lambda x: x.exp().sum(1) * 3):
        compiled = torch.compile(function, backend="workbench")
        torch.testing.assert_close(compiled(x), function(x))
        kinds = [kernel.kind for kernel in wb.fusion.explain(compiled).kernels]
        assert kinds == (["fallback"] if len(made) == 1 else ["reduce"])
    assert all(each.startswith("predicted faster in Inductor (") for each in made)


def test_what_inductor_cannot_compile_goes_to_torch_where_that_is_faster_than_ours(monkeypatch):
    from workbench.fusion.capture.fx import choosing, graphs

    def none(*_):
        raise RuntimeError("no compiler")

    monkeypatch.setattr(graphs, "InductorCall", none)
    monkeypatch.setattr(choosing, "CALL_MS", 100.0)
    monkeypatch.setattr(choosing, "DISPATCH_MS", 10.0)
    x = torch.randn(9, 9)
    compiled = torch.compile(lambda x: x.exp().sum(0) * 2, backend="workbench")
    torch.testing.assert_close(compiled(x), x.exp().sum(0) * 2)
    plan = wb.fusion.explain(compiled)
    assert [kernel.kind for kernel in plan.kernels] == ["fallback"]
    assert all(each.startswith("predicted slower fused (") for each in plan.reasons.reason)


@pytest.mark.parametrize("function", [lambda x: x.sum(1), lambda x: x.sum(0), lambda x: x.mean(), lambda x: x.sum()])
def test_sums_in_single_precision_are_torchs_where_nothing_is_fused_with_them(function):
    from workbench.fusion.capture.fx.choosing import choose
    from workbench.fusion.capture.fx.graphs import Graph
    from workbench.fusion.capture.fx.plans import traced

    def who(function, x):
        [(region, call)] = Graph(traced(function, [x])).calls.items()
        return choose(region, call).who

    for shape in ((64, 512), (1024, 512), (4096, 1024)):
        assert who(function, torch.ones(shape)) == "eager"
    assert who(lambda x: function(x.exp() * 2), torch.ones(2000, 1000)) == "ours"

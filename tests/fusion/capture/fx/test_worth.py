"""Graphs that are too small for the way into compiled code are torch's as they were written; others are not."""

import copy

import pytest
import torch

import workbench as wb
from tests.fusion.capture.fx.models import BACKEND, assert_same, gradients, mlp

pytestmark = pytest.mark.usefixtures("small")


def test_a_small_model_is_left_as_it_was_written_and_its_plan_says_why():
    model = mlp()
    compiled = assert_same(model, torch.randn(32, 16), rtol=0, atol=0)  # the very operators of eager code
    plan = wb.fusion.explain(compiled)
    assert plan.segments == 2
    assert plan.launches == 0
    assert {kernel.kind for kernel in plan.kernels} == {"extern", "fallback"}
    told = [each for each in plan.reasons.reason if each.startswith("predicted slower fused (")]
    assert told
    assert all(each.endswith("us with the way into the graph)") for each in told)
    assert "not fused: " in plan.explain()


def test_what_is_left_can_be_differentiated_twice():
    compiled = torch.compile(lambda x: (x * x).tanh().sum(), backend=BACKEND)
    x = torch.randn(7, requires_grad=True)
    (once,) = torch.autograd.grad(compiled(x), x, create_graph=True)
    (found,) = torch.autograd.grad(once.sum(), x)
    (once,) = torch.autograd.grad((x * x).tanh().sum(), x, create_graph=True)
    (wanted,) = torch.autograd.grad(once.sum(), x)
    torch.testing.assert_close(found, wanted)


def test_a_large_graph_and_one_whose_lengths_change_are_compiled():
    def function(x):
        return torch.softmax(x.sin() * 2, -1)

    large = torch.compile(function, backend=BACKEND)
    torch.testing.assert_close(large(torch.ones(2000, 500)), function(torch.ones(2000, 500)))
    assert wb.fusion.explain(large).launches == 1
    torch._dynamo.reset()
    open_ = torch.compile(function, backend=BACKEND, dynamic=True)
    x = torch.randn(40, 30)
    torch.testing.assert_close(open_(x), function(x))
    assert all("way into the graph" not in each for each in wb.fusion.explain(open_).reasons.reason)


@pytest.mark.parametrize("options", [{"inductor": "never"}, {"exact": True}, {"check": True}])
def test_options_that_ask_for_our_kernels_are_heard(options):
    model = mlp()
    compiled = torch.compile(copy.deepcopy(model), backend=BACKEND, options=options)
    x = torch.randn(8, 16)
    torch.testing.assert_close(gradients(model, compiled, x)[0], gradients(model, model, x)[0])
    reasons = list(wb.fusion.explain(compiled).reasons.reason)
    assert not any("way into the graph" in each for each in reasons)


def test_a_step_of_an_optimizer_is_worth_it():
    many = [torch.nn.Parameter(torch.randn(8)) for _ in range(16)]
    step = torch.compile(torch.optim.SGD(many, lr=1e-2, momentum=0.9).step, backend=BACKEND)
    for each in many:
        each.grad = torch.ones_like(each)
    step()
    assert wb.fusion.explain(step).launches >= 1


def test_what_is_left_writes_into_its_inputs():
    def step(x):
        x.mul_(2).add_(1)

    compiled = torch.compile(step, backend=BACKEND)
    x = torch.ones(5)
    compiled(x)
    assert x.tolist() == [3.0] * 5
    assert wb.fusion.explain(compiled).launches == 0

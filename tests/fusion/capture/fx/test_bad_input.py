import pytest
import torch

import workbench as wb
from tests.fusion.capture.fx.models import BACKEND, gradients, mlp


def both(function, *inputs, rtol=1e-5, atol=1e-6, **options):
    """Compare a function with its compiled form on copies of inputs, and what it left in them."""
    compiled = torch.compile(function, backend=BACKEND, **options)
    one, two = ([each.clone() if isinstance(each, torch.Tensor) else each for each in inputs] for _ in range(2))
    found, wanted = compiled(*one), function(*two)
    torch.testing.assert_close(found, wanted, rtol=rtol, atol=atol, equal_nan=True)
    torch.testing.assert_close(one, two, rtol=rtol, atol=atol, equal_nan=True)
    return compiled


def test_tensors_without_elements():
    both(lambda x: (torch.exp(x) + 1, x.sum(0), x.mean(1), torch.cat([x, x])), torch.randn(0, 5))
    both(lambda x: torch.softmax(x, 1) * 2, torch.randn(4, 0))


def test_views_that_are_not_contiguous_or_overlap():
    base = torch.randn(6, 8)
    both(lambda x: x.sin() + x.sum(0), base.t())
    both(lambda x: x.cos().sum(1), base[::2, 1::3])
    compiled = torch.compile(lambda x: x * 2 + x.sum(1, keepdim=True), backend=BACKEND)
    overlapping = torch.arange(10.0).as_strided((4, 5), (1, 1))
    torch.testing.assert_close(compiled(overlapping), overlapping * 2 + overlapping.sum(1, keepdim=True))


def test_inputs_that_are_written_keep_their_memory_and_their_views():
    def step(x, y):
        x.add_(y.sin())
        x[1:3].mul_(2)
        return x.sum() + y.sum()

    both(step, torch.randn(5, 7), torch.randn(5, 7))

    def turned(x):  # what is written is read at other places: it may not be written over at once
        x.copy_(x.flip(0) + x.sum(0))

    both(turned, torch.randn(6, 4))
    both(lambda x: x.copy_(x.t() + 1).sum(), torch.randn(5, 5))


def test_not_a_number_and_infinity():
    x = torch.tensor([[0.0, -0.0, float("nan"), float("inf"), -float("inf"), 1e30, 1e-40]])
    both(lambda x: (torch.relu(x), x.amax(1), x.clamp(-1, 1), torch.exp(x), x.sign(), x > 0, x.argmax(1)), x)


def test_lengths_that_change_share_one_graph():
    def function(x):
        return torch.softmax(x.sin(), -1) / x.shape[0] + x.mean(0)

    compiled = torch.compile(function, backend=BACKEND, dynamic=True)
    for n, m in ((5, 40), (33, 40), (64, 21), (2, 17)):
        x = torch.randn(n, m)
        torch.testing.assert_close(compiled(x), function(x))
    assert wb.fusion.explain(compiled).segments == 1


def test_a_shape_that_depends_on_data():
    both(lambda x: x[x > 0].exp().sum() + x.cos(), torch.randn(20, 3))


def test_compiled_within_compiled():
    inner = torch.compile(lambda x: x.sin() * 2, backend=BACKEND)
    both(lambda x: inner(x).cos() + 1, torch.randn(30))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_floats_forward_and_backward(dtype):
    model = mlp().to(dtype)
    x = torch.randn(8, 16, dtype=dtype)
    found = gradients(model, torch.compile(model, backend=BACKEND), x)
    wanted = gradients(model.double(), model, x.double())
    allowed = 1e-7 if dtype == torch.float64 else 5e-2
    assert found[0].dtype == dtype
    for one, two in zip(found, wanted, strict=True):
        assert (one.double() - two).abs().max() <= allowed * max(1.0, float(two.abs().max()))


def test_whole_numbers_and_truths():
    x = torch.randint(-9, 9, (40, 3))
    both(lambda x: (x * 3 + 1, x // 4, x % 5, x & 6, x > 2, x.sum(), x.max(), (x > 0).any(1), ~x, x.float() / 2), x)


def test_unsupported_operations_are_left_to_torch_and_listed():
    compiled = both(lambda x: torch.linalg.inv(x.sin() + 3 * torch.eye(4)).exp(), torch.randn(4, 4), rtol=1e-3)
    reasons = wb.fusion.explain(compiled).reasons
    assert "unsupported operation" in set(reasons.reason)


def test_gradients_are_those_of_finite_differences():
    def function(x, w):
        return torch.softmax(x.tanh() @ w, -1).square().sum(0)

    compiled = torch.compile(function, backend=BACKEND)
    inputs = [torch.randn(3, 4, dtype=torch.float64, requires_grad=True) for _ in range(1)]
    inputs.append(torch.randn(4, 2, dtype=torch.float64, requires_grad=True))
    assert torch.autograd.gradcheck(compiled, inputs, atol=1e-4)


@pytest.mark.parametrize("device", ["cpu", "cuda:sm_90"])
def test_more_elements_than_32_bits_count_are_planned(device):
    n = 2**31 + 64
    plan = wb.fusion.plan_graph(lambda x: (x.exp() + 1).sum(), [torch.empty(n, device="meta")], device)
    assert plan.launches == 1
    assert plan.bytes_before == 4 * (5 * n + 1)
    assert plan.bytes_after == 4 * (n + 1)


def test_differentiating_twice_says_that_it_cannot_be_done_and_once_works():
    compiled = torch.compile(lambda x: (x.sin() * x).sum(), backend=BACKEND)
    x = torch.randn(9, requires_grad=True)
    (once,) = torch.autograd.grad(compiled(x), x, create_graph=True)
    torch.testing.assert_close(once, (x.sin() + x * x.cos()).detach(), check_stride=False)
    with pytest.raises(RuntimeError, match="double backward"):
        torch.autograd.grad(once.sum(), x)


def test_torch_computes_what_there_is_no_memory_for_and_it_is_listed(monkeypatch):
    from workbench.fusion.capture.fx import again
    from workbench.fusion.stepping import Running

    def short(*args):
        raise MemoryError

    def function(x):
        return x.exp().sum(0).cumsum(0) * 2

    x = torch.randn(40, 50)
    compiled = torch.compile(function, backend=BACKEND, options={"inductor": "never"})
    with monkeypatch.context() as patch:  # in a first run
        patch.setattr(Running, "kernel", short)
        torch.testing.assert_close(compiled(x), function(x))
    assert "out of memory" in set(wb.fusion.explain(compiled).reasons.reason)
    for _ in range(3):
        torch.testing.assert_close(compiled(x), function(x))
    with monkeypatch.context() as patch:  # and in a later one, which takes all its memory first
        patch.setattr(again.Again, "_run", short)
        torch.testing.assert_close(compiled(x), function(x))


def test_where_inputs_are_half_written_a_lack_of_memory_is_an_error(monkeypatch):
    from workbench.fusion.stepping import Running

    def short(*args):
        raise MemoryError

    def step(x):
        x.add_(1)

    monkeypatch.setattr(Running, "kernel", short)
    compiled = torch.compile(step, backend=BACKEND, options={"inductor": "never"})
    with pytest.raises(wb.fusion.FusionMemoryError, match="Not enough memory: the plan needs"):
        compiled(torch.ones(2000, 100))


def test_what_is_unsupported_is_computed_between_kernels_and_named_with_its_line():
    def function(x):
        y = x.sin() * 2
        y = torch.linalg.cholesky(y @ y.T + 9 * torch.eye(5))
        return y.exp() + 1

    compiled = both(function, torch.randn(5, 5), rtol=1e-3)
    reasons = wb.fusion.explain(compiled).reasons
    [where] = set(reasons[reasons.op == "linalg_cholesky_ex"]["where"])
    assert where.startswith("test_bad_input.py:")

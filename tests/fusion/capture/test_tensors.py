"""Lazy tensors against torch: values, dtypes, shapes, defaults, writes."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import workbench as wb
from workbench.fusion.errors import FusionTypeError

torch = pytest.importorskip("torch")
F = torch.nn.functional

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(5, 7, generator=GENERATOR)
D = torch.randn(5, 7, generator=GENERATOR, dtype=torch.float64)
I = torch.randint(-5, 9, (5, 7), generator=GENERATOR)  # noqa: E741
U = torch.randint(0, 200, (5, 7), generator=GENERATOR, dtype=torch.uint8)
B = X > 0
H = torch.randn(5, 7, generator=GENERATOR).bfloat16()
S = torch.randn(5, 7, generator=GENERATOR).half()

CASES: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "exp": (torch.exp, (X,)), "sigmoid_of_integers": (torch.sigmoid, (I,)), "erf": (torch.special.erf, (X,)),
    "tanh_method": (lambda a: a.tanh(), (H,)), "abs": (lambda a: -abs(a), (H,)), "round": (torch.round, (X,)),
    "isnan": (torch.isnan, (X,)), "invert": (lambda a: ~a, (B,)), "bits": (lambda a: (a & 6) ^ 1, (I,)),
    "add_promotes": (lambda a, c: a + c, (X, I)), "add_wide": (lambda a, c: a + c, (X, D)),
    "add_half": (lambda a, c: a + c, (H, X)), "add_alpha": (lambda a, c: torch.add(a, c, alpha=3), (X, I)),
    "numbers": (lambda a: 2 - a * 3, (I,)), "number_makes_float": (lambda a: a * 1.5, (I,)),
    "reflected": (lambda a: 1.5 / a, (X,)), "divide_integers": (lambda a: a / 2, (I,)),
    "tensor_on_the_left": (lambda a: torch.ones(5, 7) - a, (X,)),
    "single_on_the_right": (lambda a: a * torch.tensor(2.5, dtype=torch.float64), (X,)),
    "floor": (lambda a: a // 0.7, (X,)), "remainder": (lambda a: a % 0.7, (X,)), "compare": (lambda a: a > 2.5, (I,)),
    "logic": (lambda a, b: torch.logical_and(a, b), (I, B)), "maximum": (torch.maximum, (X, I)),
    "power": (lambda a: a**2 + a.pow(3), (I,)), "root": (lambda a: a.abs() ** 0.5, (X,)),
    "power_of_two": (lambda a: 2**a, (X,)),
    "sum": (lambda a: a.sum(dim=1), (X,)), "sum_all": (torch.sum, (U,)), "sum_half": (lambda a: a.sum(), (S,)),
    "sum_dims": (lambda a: a.sum((0, 1)), (X,)), "sum_bools": (lambda a: a.sum(0), (B,)),
    "prod": (lambda a: a.prod(1), (X,)),
    "mean": (lambda a: a.mean(0, keepdim=True), (X,)), "mean_half": (lambda a: a.mean(-1), (H,)),
    "var": (lambda a: a.var(dim=1), (X,)), "var_all": (torch.var, (D,)),
    "var_biased": (lambda a: a.var(0, unbiased=False), (X,)),
    "var_correction": (lambda a: torch.var(a, dim=0, correction=2), (X,)), "std": (torch.std, (X,)),
    "amax": (lambda a: a.amax(1), (H,)), "max": (lambda a: a.max(), (I,)), "argmax": (lambda a: a.argmax(1), (X,)),
    "argmin": (torch.argmin, (X,)), "any": (lambda a: (a > 1).any(1), (X,)),
    "count_nonzero": (torch.count_nonzero, (I,)),
    "cumsum": (lambda a: a.cumsum(1), (U,)), "cumprod": (lambda a: torch.cumprod(a, dim=0), (X,)),
    "softmax": (lambda a: torch.softmax(a, 1), (X,)), "log_softmax": (lambda a: F.log_softmax(a, dim=-1), (H,)),
    "gelu": (F.gelu, (H,)), "relu": (F.relu, (I,)), "silu": (F.silu, (X,)),
    "rsqrt": (lambda a: torch.rsqrt(a.abs()), (X,)),
    "where": (lambda a, c: torch.where(a > 0, a, c), (X, D)),
    "where_number": (lambda a: torch.where(a > 0, a, 0), (X,)),
    "clamp": (lambda a: a.clamp(-1, 1), (X,)), "clamp_low": (lambda a: torch.clamp(a, min=0), (I,)),
    "to_double": (lambda a: a.double() * 2, (X,)), "to_long": (lambda a: (a * 3).long(), (X,)),
    "from_half": (lambda a: a.float() + 1, (H,)),
    "reshape": (lambda a: a.reshape(7, 5).t() + 1, (X,)), "permute": (lambda a: a.permute(1, 0) * 2, (X,)),
    "transpose": (lambda a: torch.transpose(a, 0, 1) + 0, (X,)), "flat": (lambda a: a.view(-1) * 2, (X,)),
    "unsqueeze": (lambda a: a.unsqueeze(1) + a, (X,)), "expand": (lambda a: a[:, :1].expand(5, 9) + 0, (X,)),
    "slices": (lambda a: a[1:, ::2] * 1, (X,)), "mask": (lambda a: a[a > 0], (X,)),
    "rows": (lambda a: a[torch.tensor([2, 0])], (X,)),
    "single": (lambda a: a.sum() * a, (X,)),
    "ufunc": (lambda a: np.exp(a) if isinstance(a, wb.fusion.LazyArray) else torch.exp(a), (X,)),
    "layer_norm": (
        lambda a: (a - a.mean(-1, keepdim=True)) / a.var(-1, keepdim=True, unbiased=False).add(1e-5).sqrt(), (H,),
    ),
}  # fmt: skip


def agree(found: Any, wanted: Any) -> None:
    assert type(found) is torch.Tensor
    assert found.dtype == wanted.dtype and found.shape == wanted.shape
    slack = {torch.float32: 1e-5, torch.float64: 1e-11, torch.bfloat16: 2e-2, torch.float16: 2e-3}.get(
        wanted.dtype, 0.0
    )
    torch.testing.assert_close(found.double(), wanted.double(), rtol=slack, atol=slack, equal_nan=True)


@pytest.mark.parametrize("name", CASES)
def test_as_torch(name: str) -> None:
    function, inputs = CASES[name]
    wanted = function(*inputs)
    lazy = function(*[wb.fusion.array(each) for each in inputs])
    assert isinstance(lazy, wb.fusion.LazyArray)
    assert lazy.dtype == wanted.dtype and lazy.shape == wanted.shape and isinstance(lazy.shape, torch.Size)
    agree(lazy.compute(), wanted)
    assert lazy.compute() is lazy.compute()
    assert lazy.plan is not None
    assert not {kernel.kind for kernel in lazy.plan.kernels} & {"extern", "fallback"}
    agree(lazy.compute(device="interpreter"), wanted)


STEPS: list[Callable[..., Any]] = [
    lambda a, b: a + b, lambda a, b: a * b, lambda a, b: a - 2, lambda a, b: torch.maximum(a, b), lambda a, b: a.abs(),
    lambda a, b: torch.where(a > b, a, b), lambda a, b: a.clamp(1, 3), lambda a, b: (a > 0) & (b > 0),
    lambda a, b: a / 4,
    lambda a, b: a.sum(0, keepdim=True) + b, lambda a, b: torch.sigmoid(a), lambda a, b: a.float(), lambda a, b: a == b,
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:sign ran in torch")
@pytest.mark.parametrize("name", ["abs", "neg", "floor", "sign", "sqrt"])
def test_what_torch_refuses_for_bool_is_refused(name: str) -> None:
    plain = torch.tensor([True, False])
    lazy = wb.fusion.array(plain)
    try:
        wanted = getattr(plain, name)()
    except RuntimeError as error:
        with pytest.raises(type(error)):
            getattr(lazy, name)()
    else:
        agree(getattr(lazy, name)().compute(), wanted)


@pytest.mark.filterwarnings("ignore:.* ran in torch, unfused")  # what is bool halfway
@given(
    st.lists(st.sampled_from(STEPS), min_size=1, max_size=6),
    st.lists(st.sampled_from(["float32", "float64", "int64", "int32", "uint8"]), min_size=2, max_size=2),
    st.sampled_from([(1,), (7,), (3, 5), (0,)]),
    st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_random_steps(steps: list[Any], dtypes: list[str], shape: tuple[int, ...], seed: int) -> None:
    made = torch.Generator().manual_seed(seed)
    start = [(torch.rand(shape, generator=made) * 8).to(getattr(torch, dtype)) for dtype in dtypes]
    values: list[Any] = list(start)
    lazies: list[Any] = [wb.fusion.array(each) for each in start]
    for step in steps:
        try:
            values.append(step(values[-1], values[-2]))
        except RuntimeError:
            with pytest.raises(RuntimeError):
                step(lazies[-1], lazies[-2])
            return
        lazies.append(step(lazies[-1], lazies[-2]))
    for found, wanted in zip(wb.fusion.compute(*lazies), values, strict=True):
        agree(found, wanted)


def test_memory_is_shared_and_written_in_place() -> None:
    x = torch.arange(6.0)
    lazy = wb.fusion.array(x)
    before = lazy * 1
    lazy += 2
    lazy[1] = 9
    lazy.mul_(2)
    lazy[lazy > 13] = 0
    wanted = torch.tensor([4.0, 0.0, 8.0, 10.0, 12.0, 0.0])
    agree(lazy.compute(), wanted)
    agree(x, wanted)
    agree(before.compute(), torch.arange(6.0))


def test_writes_into_tensors_of_16_bits() -> None:
    x = torch.ones(4, dtype=torch.bfloat16)
    lazy = wb.fusion.array(x)
    five = lazy * 5
    lazy += 2
    lazy[0] = 7
    agree(x, torch.tensor([7, 3, 3, 3], dtype=torch.bfloat16))
    agree(lazy.compute(), x)
    agree(five.compute(), torch.full((4,), 5, dtype=torch.bfloat16))


def test_errors_are_those_of_torch() -> None:
    lazy = wb.fusion.array(X)
    for wrong in (
        lambda a: a + torch.ones(3),
        lambda a: a.sum(dim=4),
        lambda a: a.reshape(4, 4),
        lambda a: a.long().mean(),
    ):
        with pytest.raises((RuntimeError, IndexError)) as plain:
            wrong(X)
        with pytest.raises(plain.type):
            wrong(lazy)
    whole = wb.fusion.array(I.clone())
    with pytest.raises(RuntimeError, match="result type Float can't be cast to the desired output type Long"):
        whole += 1.5


def test_tensors_that_are_not_taken() -> None:
    with pytest.raises(FusionTypeError, match="This tensor requires grad"):
        wb.fusion.array(torch.ones(3, requires_grad=True))
    with pytest.raises(FusionTypeError, match="Cannot fuse dtype complex64"):
        wb.fusion.array(torch.ones(3, dtype=torch.complex64))


def test_what_is_not_known_runs_in_torch() -> None:
    with pytest.warns(match=r"kthvalue ran in torch, unfused \(line \d+\)"):
        values, places = torch.kthvalue(wb.fusion.array(X) * 2, 3)
    wanted = torch.kthvalue(X * 2, 3)
    result = values + 1
    agree(result.compute(), wanted.values + 1)
    agree(places.compute(), wanted.indices)
    assert list(result.plan.reasons.reason) == ["unsupported operation"]
    assert [kernel.kind for kernel in result.plan.kernels] == ["fallback", "map"]


def test_several_and_python_values() -> None:
    lazy = wb.fusion.array(X, copy=True)
    total, doubled = wb.fusion.compute(lazy.sum(), lazy * 2)
    agree(total, X.sum())
    agree(doubled, X * 2)
    assert float(lazy[0, 0]) == float(X[0, 0]) and len(lazy) == 5 and lazy.numel() == 35 and lazy.dim() == 2
    assert lazy.sum().item() == pytest.approx(X.sum().item(), rel=1e-6)
    assert repr(lazy) == repr(X) and lazy.tolist() == X.tolist()
    agree(pickle.loads(pickle.dumps(lazy * 2)).compute(), X * 2)
    np.testing.assert_array_equal(np.asarray(wb.fusion.array(I)), I.numpy())

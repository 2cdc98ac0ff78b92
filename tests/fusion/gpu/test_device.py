"""Kernels on a GPU, where there is one: every pattern against float64, and many launches with a barrier."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.fusion.gpu.compiling import compiled
from tests.fusion.gpu.torch_graphs import GRAPHS

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is here")

#: type -> largest error that is allowed, beside the largest value
ALLOWED = {torch.float32: 1e-5, torch.bfloat16: 2e-2}


def filled(inputs: list[torch.Tensor], dtype: torch.dtype) -> list[torch.Tensor]:
    """Return random tensors on the GPU, of the shapes of some without memory."""
    generator = torch.Generator("cuda").manual_seed(0)
    return [torch.randn(x.shape, generator=generator, device="cuda").to(dtype) for x in inputs]


def flat(value: Any) -> list[torch.Tensor]:
    return [value] if isinstance(value, torch.Tensor) else list(value)


@pytest.mark.parametrize("dtype", list(ALLOWED))
@pytest.mark.parametrize("name", list(GRAPHS))
def test_a_pattern_gives_what_torch_gives_in_float64(name: str, dtype: torch.dtype) -> None:
    function, shapes = GRAPHS[name][0](False)
    inputs = filled(shapes, dtype)
    made: list[Any] = []
    torch._dynamo.reset()
    with torch.no_grad():
        found, wanted = flat(compiled(function, made)(*inputs)), flat(function(*[x.double() for x in inputs]))
    assert made
    assert [row for call in made for row in call.reasons] == []
    for one, two in zip(found, wanted, strict=True):
        assert float((one.double() - two).abs().max()) <= ALLOWED[dtype] * max(1.0, float(two.abs().max()))


def test_ten_thousand_launches_with_a_barrier_end_with_the_same_bits() -> None:
    x = torch.randn(1 << 22, device="cuda")
    made: list[Any] = []
    run = compiled(lambda x: x * torch.clamp(1.0 / (x * x).sum().sqrt(), max=1.0), made)
    first, differ = run(x), torch.zeros((), dtype=torch.int64, device="cuda")
    for _ in range(10_000):
        differ += (run(x) != first).any()
    assert int(differ) == 0
    assert max(source.phases for call in made for source in call.last.program.sources) > 1


def test_a_barrier_is_passed_by_two_streams_at_a_time() -> None:
    x = torch.randn(1 << 20, device="cuda")
    run = compiled(lambda x: x / (x * x).sum().sqrt(), [])
    wanted = run(x)
    torch.cuda.synchronize()
    streams, found = [torch.cuda.Stream() for _ in range(2)], []
    for k in range(40):
        with torch.cuda.stream(streams[k % 2]):
            found.append(run(x))
    torch.cuda.synchronize()
    assert all(torch.equal(each, wanted) for each in found)


def test_a_barrier_and_a_table_are_in_one_launch() -> None:
    xs = [torch.randn(4096 * (1 + k % 3), device="cuda") for k in range(40)]
    run = compiled(lambda *xs: [x * 2 / (y * y).sum().sqrt() for x, y in zip(xs, xs[::-1], strict=True)], [])
    for one, two in zip(
        run(*xs), [x * 2 / (y * y).sum().sqrt() for x, y in zip(xs, xs[::-1], strict=True)], strict=True
    ):
        assert torch.allclose(one, two, rtol=1e-5, atol=1e-6)


def test_launches_recorded_as_a_graph_give_the_same() -> None:
    function, shapes = GRAPHS["DIEN-like"][0](False)
    inputs = filled(shapes, torch.float32)
    run, plain = compiled(function, [], graphs=True), compiled(function, [])
    wanted = flat(plain(*inputs))
    for _ in range(3):
        assert all(torch.equal(one, two) for one, two in zip(flat(run(*inputs)), wanted, strict=True))
    moved = [x + 1 for x in inputs]
    assert all(torch.equal(one, two) for one, two in zip(flat(run(*moved)), flat(plain(*moved)), strict=True))


def test_inputs_are_written_over_on_the_gpu() -> None:
    def step(p: Any, m: Any, g: Any) -> None:
        m.mul_(0.9).add_(g, alpha=0.1)
        p.sub_(m * 0.01)

    one, made = [torch.randn(1000, device="cuda") for _ in range(3)], []
    two = [x.clone() for x in one]
    with torch.no_grad():
        compiled(step, made)(*one)
        step(*two)
    assert sum(len(call.last.direct) for call in made) == 2
    for a, b in zip(one, two, strict=True):
        assert torch.allclose(a, b, rtol=1e-6, atol=1e-6)

"""The patterns of the design as functions of torch; run as a module, what Triton's interpreter makes of tiny ones."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

__all__ = ["GRAPHS"]

Made = tuple[Callable[..., Any], list[torch.Tensor]]


def tensors(tiny: bool, dtype: torch.dtype, *shapes: tuple[int, ...]) -> list[torch.Tensor]:
    """Return random float32 tensors, or ones that hold nothing."""
    if tiny:
        generator = torch.Generator().manual_seed(0)
        return [torch.randn(shape, generator=generator) for shape in shapes]
    return [torch.empty(shape, dtype=dtype, device="meta") for shape in shapes]


def layer_norm_chain(tiny: bool) -> Made:
    n, d = (6, 40) if tiny else (8192, 1024)

    def function(x: Any, residual: Any, weight: Any, bias: Any) -> Any:
        return F.gelu(F.layer_norm(x + residual, [d], weight, bias))

    return function, tensors(tiny, torch.bfloat16, (n, d), (n, d), (d,), (d,))


def masked_softmax(tiny: bool) -> Made:
    def function(x: Any, mask: Any) -> Any:
        return torch.softmax(x * 0.125 + mask, -1)

    shape = (2, 3, 5, 24) if tiny else (16, 12, 512, 512)
    return function, tensors(tiny, torch.bfloat16, shape, (shape[0], 1, 1, shape[3]))


def adam(tiny: bool) -> Made:
    many, n = (4, 64) if tiny else (200, 4096)

    def function(*values: Any) -> Any:
        results = []
        for k in range(many):
            p, g, m, v = values[4 * k : 4 * k + 4]
            m, v = m * 0.9 + g * 0.1, v.abs() * 0.999 + g * g * 0.001
            results += [p - 1e-3 * m / (v.sqrt() + 1e-8), m, v]
        return results

    return function, tensors(tiny, torch.float32, *[(n,)] * (4 * many))


def bert_block(tiny: bool) -> Made:
    batch, length, width, heads = (2, 5, 8, 2) if tiny else (32, 128, 768, 12)

    def function(x: Any, mask: Any, *weights: Any) -> Any:
        w, b, wo, bo, w1, b1, w2, b2, g1, c1, g2, c2 = weights
        parts = F.linear(x, w, b).view(batch, length, 3, heads, width // heads)
        q, k, v = (parts[:, :, each].transpose(1, 2) for each in range(3))
        scores = torch.softmax(q @ k.transpose(-1, -2) / (width // heads) ** 0.5 + mask, -1)
        mixed = F.linear((scores @ v).transpose(1, 2).reshape(batch, length, width), wo, bo)
        x = F.layer_norm(x + mixed, [width], g1, c1)
        return F.layer_norm(x + F.linear(F.gelu(F.linear(x, w1, b1)), w2, b2), [width], g2, c2)

    shapes = [
        (batch, length, width), (batch, 1, 1, length), (3 * width, width), (3 * width,), (width, width), (width,),
        (4 * width, width), (4 * width,), (width, 4 * width), (width,), (width,), (width,), (width,), (width,),
    ]  # fmt: skip
    return function, tensors(tiny, torch.bfloat16, *shapes)


def dien(tiny: bool) -> Made:
    batch, width, steps = (6, 20, 4) if tiny else (256, 36, 16)

    def function(t: Any, *xs: Any) -> Any:
        state, aux = t, []
        for x in xs:
            gate = torch.sigmoid(x) * torch.softmax(x * t, 1)
            state = (1 - gate) * state + gate * torch.tanh(x)
            aux.append((x * state).sum(1))
        return [state, *aux]

    return function, tensors(tiny, torch.float32, *[(batch, width)] * (1 + steps))


def global_norm(tiny: bool) -> Made:
    def function(g: Any) -> Any:
        norm = (g * g).sum().sqrt()
        return g * torch.clamp(1.0 / (norm + 1e-6), max=1.0), norm

    return function, tensors(tiny, torch.float32, (300,) if tiny else (1 << 24,))


def batch_norm(tiny: bool) -> Made:
    shape = (3, 4, 5, 6) if tiny else (32, 256, 56, 56)

    def function(x: Any, weight: Any, bias: Any) -> Any:
        return torch.relu(F.batch_norm(x, None, None, weight, bias, training=True))

    return function, tensors(tiny, torch.bfloat16, shape, (shape[1],), (shape[1],))


def softmax_columns(tiny: bool) -> Made:
    def function(x: Any) -> Any:
        y = torch.softmax(x, 1)
        return y, y.sum(0)

    return function, tensors(tiny, torch.bfloat16, (9, 24) if tiny else (8192, 1024))


def two_shapes(tiny: bool) -> Made:
    def function(x: Any) -> Any:
        return x.sum((1, 2)), x.amax(2)

    return function, tensors(tiny, torch.bfloat16, (3, 4, 16) if tiny else (512, 64, 128))


def running(tiny: bool) -> Made:
    def function(x: Any) -> Any:
        total = x.exp().cumsum(1)
        return total / total[:, -1:]

    return function, tensors(tiny, torch.float32, (5, 24) if tiny else (1024, 4096))


def dropout(tiny: bool) -> Made:
    from workbench.fusion.capture.fx import randoms

    assert randoms
    shape = (5, 24) if tiny else (8192, 1024)

    def function(x: Any) -> Any:
        seed = torch.full((), 1_234_567_890_123, dtype=torch.int64, device=x.device)
        return torch.where(torch.ops.workbench.uniform(seed, shape) > 0.1, x / 0.9, 0.0)

    return function, tensors(tiny, torch.float32, shape)


#: name -> graph, how many launches it may take, and how many library calls it has
GRAPHS: dict[str, tuple[Callable[[bool], Made], int, int]] = {
    "layer norm chain": (layer_norm_chain, 1, 0),
    "masked softmax": (masked_softmax, 1, 0),
    "Adam": (adam, 1, 0),
    "BERT block": (bert_block, 6, 6),
    "DIEN-like": (dien, 4, 0),
    "global norm": (global_norm, 1, 0),
    "batch norm": (batch_norm, 2, 0),
    "softmax and column sum": (softmax_columns, 2, 0),
    "two reductions of different shape": (two_shapes, 1, 0),
    "cumsum and normalise": (running, 1, 0),
    "dropout": (dropout, 1, 0),
}


def error_of(name: str) -> float:
    """Return the largest relative error of a tiny graph whose regions Triton's interpreter runs."""
    from workbench.fusion.capture.fx.plans import traced
    from workbench.fusion.capture.fx.program import program
    from workbench.fusion.capture.fx.randoms import numbered
    from workbench.fusion.capture.fx.regions import cut
    from workbench.fusion.gpu.launch import compile_region

    function, inputs = GRAPHS[name][0](True)
    run = program(cut(numbered(traced(function, inputs))), lambda region: compile_region(region, ()))
    found, wanted = run(list(inputs)), function(*inputs)
    pairs = zip(found if isinstance(found, list | tuple) else [found], _flat(wanted), strict=True)
    return max(float((a - b).abs().max() / max(1.0, float(b.abs().max()))) for a, b in pairs)


def _flat(value: Any) -> list[torch.Tensor]:
    return [value] if isinstance(value, torch.Tensor) else list(value)


if __name__ == "__main__":
    if os.environ.get("TRITON_INTERPRET") != "1":
        sys.exit("set TRITON_INTERPRET=1")
    print(json.dumps({name: error_of(name) for name in GRAPHS}))

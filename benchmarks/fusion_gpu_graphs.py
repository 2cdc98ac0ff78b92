"""Patterns and models whose kernels on a GPU are looked at, and timed where there is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from tests.fusion.gpu.torch_graphs import GRAPHS, Made, bert_block, tensors

__all__ = ["WORKLOADS"]


def long_layer_norm(tiny: bool) -> Made:
    n, d = (4, 600) if tiny else (32, 262_144)

    def function(x: Any, weight: Any, bias: Any) -> Any:
        return F.gelu(F.layer_norm(x, [d], weight, bias))

    return function, tensors(tiny, torch.bfloat16, (n, d), (d,), (d,))


def group_quantised(tiny: bool) -> Made:
    """RMS norm, the largest value of each group, and values scaled to what 8-bit floats hold."""
    n, d, part = (6, 64, 16) if tiny else (4096, 4096, 128)

    def function(x: Any, weight: Any) -> Any:
        y = x * torch.rsqrt((x * x).mean(1, keepdim=True) + 1e-6) * weight
        groups = y.view(n, d // part, part)
        scale = groups.abs().amax(2, keepdim=True) / 448 + 1e-12
        return torch.clamp(groups / scale, -448, 448), scale

    return function, tensors(tiny, torch.float32, (n, d), (d,))


def large_adam(tiny: bool) -> Made:
    sizes = [40, 64, 72] if tiny else [1_180_000] * 100 + [150_016] * 100

    def function(*values: Any) -> Any:
        results = []
        for k in range(len(sizes)):
            p, g, m, v = values[4 * k : 4 * k + 4]
            m, v = m * 0.9 + g * 0.1, v.abs() * 0.999 + g * g * 0.001
            results += [p - 1e-3 * m / (v.sqrt() + 1e-8), m, v]
        return results

    return function, tensors(tiny, torch.float32, *[(n,) for n in sizes for _ in range(4)])


def bert_step(tiny: bool) -> Made:
    """A training step of two blocks: loss, gradients, the norm of all gradients, Adam."""
    block, inputs = bert_block(tiny)
    hidden, mask, *weights = [each.float() for each in inputs]
    many = len(weights)

    def loss(weights: Any, x: Any, mask: Any, target: Any) -> Any:
        y = block(block(x, mask, *weights[:many]), mask, *weights[many:])
        return ((y - target) ** 2).mean()

    def function(x: Any, mask: Any, target: Any, *state: Any) -> Any:
        weights, ms, vs = (state[k * 2 * many : (k + 1) * 2 * many] for k in range(3))
        grads, value = torch.func.grad_and_value(loss)(tuple(weights), x, mask, target)
        norm = torch.stack([(g * g).sum() for g in grads]).sum().sqrt()
        scale = torch.clamp(1.0 / (norm + 1e-6), max=1.0)
        results = [value]
        for p, g, m, v in zip(weights, grads, ms, vs, strict=True):
            g = g * scale
            m, v = m * 0.9 + g * 0.1, v.abs() * 0.999 + g * g * 0.001
            results += [p - 1e-3 * m / (v.sqrt() + 1e-8), m, v]
        return results

    return function, [hidden, mask, hidden, *(weights * 2) * 3]


def crnn(tiny: bool) -> Made:
    """Two convolutions with batch norm, a gated recurrence over the columns, class scores."""
    batch, channels, height, steps, width = (2, 4, 6, 4, 8) if tiny else (64, 64, 32, 32, 256)

    def function(image: Any, k1: Any, g1: Any, c1: Any, k2: Any, g2: Any, c2: Any, wx: Any, wh: Any, out: Any) -> Any:
        x = torch.relu(F.batch_norm(F.conv2d(image, k1, padding=1), None, None, g1, c1, training=True))
        x = torch.relu(F.batch_norm(F.conv2d(x, k2, padding=1), None, None, g2, c2, training=True))
        columns = x.mean(2).permute(2, 0, 1) @ wx  # steps, batch, 3 width
        h, states = torch.zeros_like(columns[0, :, :width]), []
        for k in range(steps):
            a, b = columns[k], h @ wh
            gate = torch.sigmoid(a[:, :width] + b[:, :width])
            reset = torch.sigmoid(a[:, width : 2 * width] + b[:, width : 2 * width])
            new = torch.tanh(a[:, 2 * width :] + reset * b[:, 2 * width :])
            h = gate * h + (1 - gate) * new
            states.append(h)
        return torch.log_softmax(torch.stack(states) @ out, -1)

    shapes = [
        (batch, 3, height, steps), (channels, 3, 3, 3), (channels,), (channels,), (channels, channels, 3, 3),
        (channels,), (channels,), (channels, 3 * width), (width, 3 * width), (width, 40),
    ]  # fmt: skip
    return function, tensors(tiny, torch.float32, *shapes)


#: name -> what makes it, and how many launches the design gives it, 0 for none told
WORKLOADS: dict[str, tuple[Callable[[bool], Made], int]] = {
    **{name: (make, most) for name, (make, most, _) in GRAPHS.items()},
    "layer norm of long rows": (long_layer_norm, 2),
    "8-bit group quantisation": (group_quantised, 1),
    "Adam, 133M parameters": (large_adam, 1),
    "BERT training step": (bert_step, 0),
    "CRNN-like": (crnn, 0),
}

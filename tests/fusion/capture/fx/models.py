"""Models that are trained by both, and what a step of training gives."""

from __future__ import annotations

import copy

import torch

BACKEND = "workbench"


def mlp(width: int = 64) -> torch.nn.Module:
    return torch.nn.Sequential(
        torch.nn.Linear(16, width), torch.nn.GELU(), torch.nn.LayerNorm(width), torch.nn.Linear(width, 10)
    )


def gradients(model, call, *inputs, loss=None):
    """Return the outputs, the loss and the gradients of parameters and inputs of one pass."""
    model.zero_grad()
    inputs = [each.clone().requires_grad_(each.is_floating_point()) for each in inputs]
    out = call(*inputs)
    value = loss(out) if loss is not None else (out.sin() * torch.arange(out.numel()).view_as(out).cos()).sum()
    value.backward()
    return [out.detach(), value.detach(), *[p.grad.clone() for p in model.parameters() if p.grad is not None],
            *[each.grad for each in inputs if each.grad is not None]]  # fmt: skip


def assert_same(model, *inputs, loss=None, rtol=1e-4, atol=1e-5, backend=BACKEND, **options):
    """Compare a pass forward and backward with eager torch, and what it left in the buffers."""
    other = copy.deepcopy(model)
    compiled = torch.compile(other, backend=backend, **options)
    found = gradients(other, compiled, *inputs, loss=loss)
    wanted = gradients(model, model, *inputs, loss=loss)
    for one, two in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, two, rtol=rtol, atol=atol)
    for one, two in zip(other.buffers(), model.buffers(), strict=True):
        torch.testing.assert_close(one, two, rtol=rtol, atol=atol)
    return compiled

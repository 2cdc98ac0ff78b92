"""Models that are trained by both, and what a step of training gives."""

from __future__ import annotations

import copy

import torch
from torch import nn

BACKEND = "workbench"


def mlp(width: int = 64) -> nn.Module:
    return nn.Sequential(nn.Linear(16, width), nn.GELU(), nn.LayerNorm(width), nn.Linear(width, 10))


class Convolutional(nn.Module):
    """Convolutions with batch norm, a residual, pooling."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        # no bias: before a batch norm its gradient is what rounding leaves, which Adam makes steps of
        self.one = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        self.two = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm, self.again = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.pool, self.head = nn.MaxPool2d(2), nn.Linear(channels, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.one(x)))
        x = self.pool(torch.relu(self.again(self.two(x)) + x))
        return self.head(x.mean((2, 3)))


class Block(nn.Module):
    """Post-norm attention with an added mask, and two linear layers."""

    def __init__(self, width: int = 32, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        n, length, width = x.shape
        parts = self.qkv(x).view(n, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = parts.unbind(0)
        scores = q @ k.transpose(-1, -2) / (width // self.heads) ** 0.5 + mask
        found = (scores.softmax(-1) @ v).transpose(1, 2).reshape(n, length, width)
        x = self.first(x + self.out(found))
        return self.second(x + self.down(nn.functional.gelu(self.up(x))))


class Transformer(nn.Module):
    """Embeddings, two blocks, a head."""

    def __init__(self, words: int = 50, width: int = 32, length: int = 12) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(words, width), nn.Embedding(length, width)
        self.blocks = nn.ModuleList([Block(width), Block(width)])
        self.head = nn.Linear(width, words)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        length = tokens.shape[1]
        x = self.words(tokens) + self.places(torch.arange(length))
        mask = torch.triu(torch.full((length, length), float("-inf")), 1)
        for block in self.blocks:
            x = block(x, mask)
        return self.head(x)


class Interest(nn.Module):
    """As DIEN: attention and a gated state, step after step over small tensors."""

    def __init__(self, steps: int = 6, width: int = 12) -> None:
        super().__init__()
        self.steps, self.head = steps, nn.Linear(width + steps, 2)

    def forward(self, xs: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        state, aux = t, []
        for x in xs.unbind(0):
            a = torch.softmax(x * t, 1)
            u = torch.sigmoid(x + t) * a
            state = (1 - u) * state + u * torch.tanh(x)
            aux.append((x * state).sum(1))
        return self.head(torch.cat([state, torch.stack(aux, 1)], 1))


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

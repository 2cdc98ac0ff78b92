"""Random numbers of graphs: a seed drawn from torch's generator at each call, and Philox of it and the element's place.

The same seed gives the same numbers, so that a mask is computed again in the backward pass instead of kept. They are
those of `triton.language.rand(seed, place)`, and not those of torch itself.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from workbench.fusion import expr as ir
from workbench.fusion.capture.fx.calls import Call, register, value_of
from workbench.fusion.expr import Expr

__all__ = ["draw", "numbered", "philox", "seed", "uniform"]

_LOW = 0xFFFFFFFF
#: of a round of Philox 4x32, and of its keys
_FIRST, _SECOND, _KEY, _OTHER = 0xD2511F53, 0xCD9E8D57, 0x9E3779B9, 0xBB67AE85
_ROUNDS = 10
_SCALE = 4.6566127342e-10
_U64 = np.dtype(np.uint64)


_RAND, _BERNOULLI = torch.ops.aten.rand.default, torch.ops.aten.bernoulli.p
_DRAWN = frozenset({_RAND, _BERNOULLI})
_UNFILLED = frozenset({
    torch.ops.aten.empty_like.default, torch.ops.aten.empty.memory_format, torch.ops.aten.expand.default,
})  # fmt: skip


def draw(device: Any = None) -> torch.Tensor:
    """Return a seed from torch's generator."""
    return torch.randint(2**63 - 1, (), device=device)


def _seed(device: torch.device) -> torch.Tensor:
    return draw(device)


def _seed_told(device: torch.device) -> torch.Tensor:
    return torch.empty((), dtype=torch.int64, device=device)


def _uniform_of(seed: torch.Tensor, size: list[int]) -> torch.Tensor:
    places = np.arange(math.prod(size), dtype=np.uint64)
    return torch.from_numpy(philox(int(seed), places).reshape(size)).to(seed.device)


def _uniform_told(seed: torch.Tensor, size: list[int]) -> torch.Tensor:
    return torch.empty(size, dtype=torch.float32, device=seed.device)


#: a seed from torch's generator, int64 without dimensions
seed = torch.library.custom_op("workbench::seed", _seed, mutates_args=(), tags=(torch.Tag.nondeterministic_seeded,))
seed.register_fake(_seed_told)
#: float32 numbers from 0 to 1 of a seed, each by its place
uniform = torch.library.custom_op("workbench::uniform", _uniform_of, mutates_args=())
uniform.register_fake(_uniform_told)


def philox(seed: int, places: np.ndarray) -> np.ndarray:
    """Return float32 numbers from 0 to 1 of a seed and places, in plain NumPy."""
    low = np.uint64(_LOW)
    c = [places & low, places >> np.uint64(32), np.zeros_like(places), np.zeros_like(places)]
    key, other = seed & _LOW, (seed >> 32) & _LOW
    for _ in range(_ROUNDS):
        one, two = c[0] * np.uint64(_FIRST), c[2] * np.uint64(_SECOND)
        half = np.uint64(32)
        c = [(two >> half) ^ c[1] ^ np.uint64(key), two & low, (one >> half) ^ c[3] ^ np.uint64(other), one & low]
        key, other = (key + _KEY) & _LOW, (other + _OTHER) & _LOW
    near = np.where(c[0] < np.uint64(1 << 31), c[0], low - c[0])
    return near.astype(np.float32) * np.float32(_SCALE)


@register(torch.ops.workbench.uniform.default)
def _uniform(call: Call) -> Expr:
    shape = call["size"]
    seed = ir.cast(call["seed"], _U64)
    return _philox(seed, _places(shape))


def _places(shape: Any) -> Expr:
    """Return the place of each element: where its row begins, a small array, and which of the row it is."""
    if not shape:
        return ir.const(0, _U64)
    last = shape[-1]
    rows = ir.rows(ir.view(ir.const(0, np.int64), "broadcast", (last,), (last,)))
    found = ir.cast(rows, _U64)
    ahead = math.prod(shape[:-1])
    if len(shape) == 1:
        return found
    starts = (np.arange(ahead, dtype=_U64) * np.uint64(last)).reshape(*shape[:-1], 1)
    return ir.map_("add", ir.leaf(starts), found)


def _philox(seed: Expr, places: Expr) -> Expr:
    def number(value: int) -> Expr:
        return ir.const(value, _U64)

    def step(name: str, *inputs: Expr | None) -> Expr | None:
        """XOR and products with what is zero are left out."""
        some = [each for each in inputs if each is not None]
        if name == "bitwise_xor":
            return some[0] if len(some) == 1 else ir.map_(name, *some) if some else None
        return ir.map_(name, *some) if len(some) == len(inputs) else None

    low, half = number(_LOW), number(32)
    zero: Expr | None = None
    c: list[Expr | None] = [step("bitwise_and", places, low), step("right_shift", places, half), zero, zero]
    key = ir.map_("bitwise_and", seed, low)
    other = ir.map_("right_shift", seed, half)
    for k in range(_ROUNDS):
        one, two = step("multiply", c[0], number(_FIRST)), step("multiply", c[2], number(_SECOND))
        keys = key, other
        if k:
            grown = (key, number(k * _KEY & _LOW)), (other, number(k * _OTHER & _LOW))
            keys = tuple([ir.map_("bitwise_and", ir.map_("add", *pair), low) for pair in grown])  # type: ignore[assignment]
        c = [
            step("bitwise_xor", step("bitwise_xor", step("right_shift", two, half), c[1]), keys[0]),
            step("bitwise_and", two, low),
            step("bitwise_xor", step("bitwise_xor", step("right_shift", one, half), c[3]), keys[1]),
            step("bitwise_and", one, low),
        ]
    found = c[0]
    assert found is not None
    small = ir.map_("less", found, number(1 << 31))
    near = ir.select(small, found, ir.map_("subtract", low, found))
    return ir.map_("multiply", ir.cast(near, np.float32), ir.const(_SCALE, np.float32))


def numbered(gm: Any) -> Any:
    """Have a graph draw its random numbers from seeds, in place; return it.

    A mask is then cheaper to compute again than to keep.
    """
    from torch.utils.checkpoint import CheckpointPolicy

    graph = gm.graph
    changed = False
    for node in list(graph.nodes):
        if node.op != "call_function" or node.target not in _DRAWN:
            continue
        told = value_of(node)
        if not told.dtype.is_floating_point:
            continue
        mode = told.fake_mode

        def add(target: Any, args: Any, dtype: torch.dtype, shape: Any, node: Any = node, told: Any = told) -> Any:
            made = graph.call_function(target, args)
            made.meta["val"] = torch.empty(shape, dtype=dtype, device=told.device)
            made.meta["stack_trace"] = node.meta.get("stack_trace")
            return made

        with graph.inserting_before(node), mode:
            drawn = add(torch.ops.workbench.seed.default, (told.device,), torch.int64, ())
            size = node.args[0] if node.target is _RAND else list(told.shape)
            found = add(torch.ops.workbench.uniform.default, (drawn, list(size)), torch.float32, told.shape)
            found.meta["recompute"], found.meta["ac_graph_id"] = CheckpointPolicy.MUST_RECOMPUTE, 0
            if node.target is _BERNOULLI:
                part = node.args[1] if len(node.args) > 1 else 0.5
                found = add(torch.ops.aten.lt.Scalar, (found, part), torch.bool, told.shape)
            if told.dtype != found.meta["val"].dtype:
                found = add(torch.ops.prims.convert_element_type.default, (found, told.dtype), told.dtype, told.shape)
        node.replace_all_uses_with(found)
        given = node.all_input_nodes
        graph.erase_node(node)
        while given:  # memory that would have been filled
            each = given.pop()
            if not each.users and each.op == "call_function" and each.target in _UNFILLED:
                given += each.all_input_nodes
                graph.erase_node(each)
        changed = True
    if changed:
        gm.recompile()
    return gm

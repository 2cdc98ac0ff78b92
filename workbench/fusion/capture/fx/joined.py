"""Sums of tensors that are zero but for one place each, as those places joined: the gradients of `select` and `unbind`.

A query, key and value that were cut from one tensor give it three gradients of its size, zero in two thirds each.
Joined, a third is written once instead of being filled, copied and added. A zero that is negative stays so, which
adding 0 to it would not do.
"""

from __future__ import annotations

import operator
from typing import Any

import torch

__all__ = ["MADE", "joined", "live"]

aten = torch.ops.aten
#: in the meta of nodes that were not in the graph as it was given
MADE = "workbench_made"
#: of those that others stand for
GONE = "workbench_gone"
_FILLED = (aten.full.default, aten.full_like.default)
_ZEROS = (aten.zeros.default, aten.zeros_like.default)
_PURE = frozenset({aten.add.Tensor, aten.select_scatter.default, *_FILLED, *_ZEROS})


def joined(gm: Any) -> None:
    """Add to a graph the joined form of such sums, which takes over their users; the nodes of the sums stay in it."""
    for node in list(gm.graph.nodes):
        inner = len(node.users) == 1 and _adds(next(iter(node.users)))
        if _adds(node) and node.users and not inner:
            parts = _parts(node)
            if parts is not None:
                _join(gm.graph, node, *parts)


def live(gm: Any) -> list[Any]:
    """Return the nodes of a graph in their order, inputs and output left out, without those that others stand for."""
    gone: set[Any] = set()
    for node in reversed(gm.graph.nodes):
        only = bool(node.users) and node.target in _PURE and all(user in gone for user in node.users)
        if GONE in node.meta or only:
            gone.add(node)
    return [node for node in gm.graph.nodes if node not in gone and node.op not in ("output", "placeholder")]


def _adds(node: Any) -> bool:
    return node.target is aten.add.Tensor and node.kwargs.get("alpha", 1) == 1


def _parts(node: Any) -> tuple[int, list[Any]] | None:
    """Return the dimension, and what is at each of its places, of a sum of such tensors."""
    leaves, stack = [], [node]
    while stack:
        each = stack.pop()
        if not isinstance(each, torch.fx.Node):
            return None
        if _adds(each) and (each is node or len(each.users) == 1):
            stack += each.args
        else:
            leaves.append(each)
    found: dict[int, Any] = {}
    dims = set()
    for each in leaves:
        if each.target is not aten.select_scatter.default or len(each.users) != 1 or not _zero(each.args[0]):
            return None
        shape, source = each.meta["val"].shape, each.args[1]
        if each.meta["val"].shape != node.meta["val"].shape or source.meta["val"].dtype != node.meta["val"].dtype:
            return None
        dim = operator.index(each.args[2]) % len(shape)
        dims.add(dim)
        if not isinstance(shape[dim], int) or not isinstance(each.args[3], int):
            return None
        found[each.args[3] % shape[dim]] = source
    if len(dims) != 1 or len(found) != len(leaves) or len(leaves) < 2:
        return None
    dim = dims.pop()
    many = node.meta["val"].shape[dim]
    return (dim, [found[k] for k in range(many)]) if len(found) == many else None


def _zero(node: Any) -> bool:
    """Whether a tensor is zero everywhere."""
    if node.target in _FILLED:
        return isinstance(node.args[1], int | float) and node.args[1] == 0
    return node.target in _ZEROS


def _join(graph: Any, node: Any, dim: int, parts: list[Any]) -> None:
    seen = [each.meta["val"] for each in parts]
    value = torch.cat([each.unsqueeze(dim) for each in seen], dim)
    wanted = node.meta["val"]
    if value.shape != wanted.shape or value.stride() != wanted.stride() or value.dtype != wanted.dtype:
        return
    told = {name: node.meta[name] for name in ("stack_trace", "seq_nr") if name in node.meta}
    with graph.inserting_after(node):
        whole = graph.call_function(aten.cat.default, ([], dim))
    whole.meta = {**told, "val": value, MADE: True}
    with graph.inserting_before(whole):
        rows = []
        for each, of in zip(parts, seen, strict=True):
            row = graph.call_function(aten.unsqueeze.default, (each, dim))
            row.meta = {**told, "val": of.unsqueeze(dim), MADE: True}
            rows.append(row)
    whole.args = (rows, dim)
    node.replace_all_uses_with(whole)
    node.meta[GONE] = True

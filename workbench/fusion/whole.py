"""Nodes that are computed as a whole, outside of loops: by the back end where it knows how, else by their library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from workbench.fusion.eager import evaluate_node
from workbench.fusion.expr import Expr

__all__ = ["compute"]


def compute(node: Expr, inputs: Sequence[Any], threads: int = 1, exact: bool = False) -> Any:
    """Return the value of a node, given those of its inputs; a tuple where it has several."""
    found = None
    if node.kind == "GroupReduce":
        found = _group(node, inputs, threads, exact)
    elif node.kind == "Sort" and node.attr("na_last"):
        from workbench.fusion.cpu.sorting import argsort

        found = argsort([np.asarray(each) for each in inputs], node.attr("ascending"))
    elif node.kind == "Join":
        from workbench.fusion.cpu.joining import join

        arrays, many = [np.asarray(each) for each in inputs], node.attr("keys")
        found = join(arrays[:many], arrays[many:], node.attr("how"), threads)
    return evaluate_node(node, inputs) if found is None else found


def _group(node: Expr, inputs: Sequence[Any], threads: int, exact: bool) -> Any:
    from workbench.fusion.cpu.group import group

    many = node.attr("keys")
    kinds = {each.dtype for each in inputs[many:]}
    if "mean" in node.attr("ops") and np.dtype(np.float32) in kinds:
        return None  # its dtype depends on the values
    arrays = [np.asarray(each) for each in inputs]
    options = {name: node.attr(name) for name in ("sort", "dropna", "ddof")}
    return group(arrays[:many], node.attr("ops"), arrays[many:], **options, threads=threads, exact=exact)

"""pandas: the captured calls one by one, on Series that share the index of their rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from workbench.fusion.eager import evaluate_node
from workbench.fusion.expr import Expr, Size
from workbench.fusion.graph import walk
from workbench.fusion.ops import OPS
from workbench.fusion.peers.graph import INFIX, NotExpressible

__all__ = ["build"]

_REDUCTIONS = {
    "nansum": "sum",
    "nanprod": "prod",
    "nanmin": "min",
    "nanmax": "max",
    "nanmean": "mean",
    "count": "count",
}


def build(exprs: Sequence[Expr], threads: int) -> Callable[[], list[Any]]:
    """Return a function that replays the captured calls on Series.

    Raises
    ------
    NotExpressible
        For arrays of several dimensions.
    """
    import pandas as pd

    order = walk(exprs)
    for node in order:
        if node.ndim > 1:
            raise NotExpressible(f"{node.ndim} dimensions")
    given = {id(node): pd.Series(node.data, copy=False) for node in order if node.kind == "Leaf" and node.ndim == 1}

    def run() -> list[Any]:
        values: dict[int, Any] = dict(given)
        # the rows of a filter have their labels once, as those of a filtered table
        labels: dict[Any, Any] = {}
        with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
            for node in order:
                if id(node) not in values:
                    values[id(node)] = _value(node, [values[id(each)] for each in node.inputs], labels)
        return [np.asarray(values[id(each)]) for each in exprs]

    return run


def _value(node: Expr, inputs: list[Any], labels: dict[Any, Any]) -> Any:
    import pandas as pd

    series = any(isinstance(each, pd.Series) for each in inputs)
    if node.kind == "Map" and series and node.name in INFIX and node.call is None:
        return OPS[node.name].function(*inputs)
    if node.kind == "Filter" and series:
        size = node.shape[0]
        if size in labels:
            return pd.Series(inputs[0].array[inputs[1].to_numpy()], index=labels[size], copy=False)
        found = inputs[0][inputs[1]]
        labels[size] = found.index
        if isinstance(size, Size) and size.value is None:
            size.value = len(found)
        return found
    if node.kind == "Select" and isinstance(inputs[2], pd.Series) and not isinstance(inputs[1], pd.Series):
        return inputs[2].mask(inputs[0], inputs[1])
    if node.kind == "Cast" and series:
        return inputs[0].astype(node.dtype)
    if node.kind == "Reduce" and series and node.name in _REDUCTIONS:
        return getattr(inputs[0], _REDUCTIONS[node.name])()
    found = evaluate_node(node, [each.to_numpy() if isinstance(each, pd.Series) else each for each in inputs])
    if isinstance(found, np.ndarray) and found.ndim == 1:
        if isinstance(node.shape[0], Size) and node.shape[0].value is None:
            node.shape[0].value = len(found)
        index = next((s.index for s in inputs if isinstance(s, pd.Series) and len(s) == len(found)), None)
        return pd.Series(found, index=index, copy=False)
    return found

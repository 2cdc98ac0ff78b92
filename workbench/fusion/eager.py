"""Each node evaluated by itself, in the library that defines it: the meaning that compiled work is held to."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from workbench.fusion.expr import Expr, Size
from workbench.fusion.graph import walk
from workbench.fusion.ops import OPS

__all__ = ["evaluate", "evaluate_node", "view_of"]


def evaluate(roots: Sequence[Expr], known: dict[int, Any] | None = None) -> list[Any]:
    """Return the value of each root; sizes met on the way become known.

    Parameters
    ----------
    roots : sequence of Expr
    known : dict, optional
        Values by `id` of a node that need not be computed; those computed are added.
    """
    values: dict[int, Any] = {} if known is None else known
    order = walk(roots)
    with np.errstate(all="ignore"):
        for node in order:
            if id(node) not in values:
                value = evaluate_node(node, [values[id(each)] for each in node.inputs])
                values[id(node)] = value
                _learn(node, value)
    return [values[id(root)] for root in roots]


def evaluate_node(node: Expr, inputs: Sequence[Any]) -> Any:
    """Return the value of one node, given those of its inputs."""
    return _KINDS[node.kind](node, inputs)


def _learn(node: Expr, value: Any) -> None:
    if node.shape and not isinstance(value, tuple):
        for size, length in zip(node.shape, np.shape(value), strict=False):
            if isinstance(size, Size) and size.value is None:
                size.value = int(length)


def _map(node: Expr, inputs: Sequence[Any]) -> Any:
    if node.call is not None:
        function, extra = node.call
        return function(*inputs, **dict(extra))
    if node.name == "clip":
        return np.clip(*inputs)
    return OPS[node.name].function(*inputs)


def _cast(node: Expr, inputs: Sequence[Any]) -> Any:
    return np.asarray(inputs[0]).astype(node.dtype)[()]


def _reduce(node: Expr, inputs: Sequence[Any]) -> Any:
    x, name = np.asarray(inputs[0]), node.name
    axes, keepdims = node.attr("axes"), node.attr("keepdims")
    every = len(axes) == x.ndim
    axis: Any = None if every else axes
    if name in ("argmin", "argmax"):
        return getattr(np, name)(x, axis=None if axis is None else axes[0], keepdims=keepdims)
    if name == "count":
        return np.sum(~np.isnan(x) if x.dtype.kind in "fc" else np.ones(x.shape, bool), axis=axis, keepdims=keepdims)
    if name in ("first", "last"):
        return _first(x, name)
    options: dict[str, Any] = {"axis": axis, "keepdims": keepdims}
    if name.endswith(("var", "std")):
        options["ddof"] = node.attr("ddof")
    if node.attr("dtype") is not None:
        options["dtype"] = node.attr("dtype")
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # means of nothing
        return getattr(np, name)(x, **options)


def _first(x: np.ndarray, name: str) -> Any:
    there = x[~np.isnan(x)] if x.dtype.kind == "f" else x
    if not len(there):
        return x.dtype.type(np.nan if x.dtype.kind == "f" else 0)
    return there[0 if name == "first" else -1]


def view_of(x: Any, how: str, spec: Any) -> Any:
    """Return the view that a node describes; of a single element too it is an array."""
    if how == "index":
        key = [slice(*each[1:]) if type(each) is tuple and each and each[0] == "slice" else each for each in spec]
        return x[(*key, Ellipsis) if all(isinstance(each, int) for each in key) else tuple(key)]
    if how == "transpose":
        return np.transpose(x, spec)
    if how == "reshape":
        return np.reshape(x, tuple([_length(d) for d in spec]))
    return np.broadcast_to(x, tuple([_length(d) for d in spec]))


def _length(size: Any) -> int:
    if isinstance(size, Size):
        assert size.value is not None
        return size.value
    return size


def _view(node: Expr, inputs: Sequence[Any]) -> Any:
    return view_of(inputs[0], node.name, node.attr("spec"))


def _gather(node: Expr, inputs: Sequence[Any]) -> Any:
    x, index = np.asarray(inputs[0]), np.asarray(inputs[1])
    fill = node.attr("fill")
    if fill is None:
        return x[index]
    if not len(x):
        return np.full(index.shape + x.shape[1:], fill, x.dtype)
    found = x[np.maximum(index, 0)]
    found[index < 0] = fill
    return found


def _scatter(node: Expr, inputs: Sequence[Any]) -> Any:
    x, index, value = inputs
    found = np.array(x)
    op = node.attr("op")
    if node.attr("drop"):
        there = (index >= 0) & (index < len(found))
        index, value = index[there], np.broadcast_to(value, index.shape)[there]
    if op == "set":
        found[index] = value
    else:
        getattr(np, op).at(found, index, value)
    return found


def _scan(node: Expr, inputs: Sequence[Any]) -> Any:
    x, axis, name = np.asarray(inputs[0]), node.attr("axis"), node.name
    if name in ("cumsum", "cumprod", "nancumsum", "nancumprod"):
        missing = np.isnan(x) if name.startswith("nan") and x.dtype.kind == "f" else None
        found = getattr(np, name)(x, axis=axis, dtype=node.dtype)
        if missing is not None:
            found[missing] = np.nan  # pandas: a missing row stays missing, and the sum goes on after it
        return found
    function: Any = np.fmin if "min" in name else np.fmax
    if not name.startswith("nan") and x.dtype.kind == "f":
        function = np.minimum if "min" in name else np.maximum
    found = function.accumulate(x, axis=axis)
    if name.startswith("nan") and x.dtype.kind == "f":
        found[np.isnan(x)] = np.nan
    return found


def _group(node: Expr, inputs: Sequence[Any]) -> tuple[Any, ...]:
    import pandas as pd

    many, ops = node.attr("keys"), node.attr("ops")
    keys, rest = inputs[:many], list(inputs[many:])
    named = {f"k{k}": key for k, key in enumerate(keys)}
    frame = pd.DataFrame(named)
    groups = frame.groupby(list(named), sort=node.attr("sort"), dropna=node.attr("dropna"))
    rows = groups.ngroup().to_numpy(np.int64)
    count = int(rows.max()) + 1 if len(rows) else 0
    first = np.full(count, len(rows), np.int64)
    kept = rows >= 0
    np.minimum.at(first, rows[kept], np.flatnonzero(kept))
    found: list[Any] = [np.asarray(key)[first] for key in keys]
    for name in ops:
        if name == "codes":
            found.append(rows)
        elif name == "size":
            found.append(np.bincount(rows[kept], minlength=count).astype(np.int64))
        else:
            found.append(
                _aggregate(pd.Series(np.asarray(rest.pop(0))[kept]), rows[kept], name, count, node.attr("ddof"))
            )
    return tuple(found)


def _aggregate(values: Any, rows: np.ndarray, name: str, count: int, ddof: int) -> np.ndarray:
    import pandas as pd

    if name in ("idxmin", "idxmax"):
        # pandas raises for groups of NaN alone; here they are -1, and who asked decides
        found = np.full(count, -1, np.int64)
        there = values.notna().to_numpy()
        if there.any():
            best = getattr(values[there].groupby(rows[there]), name)()
            found[best.index.to_numpy()] = best.to_numpy()
        return found
    groups = values.groupby(pd.Series(rows, index=values.index))
    result = getattr(groups, name)(ddof=ddof) if name in ("var", "std") else getattr(groups, name)()
    return result.reindex(range(count)).to_numpy() if len(result) != count else result.to_numpy()


def _join(node: Expr, inputs: Sequence[Any]) -> tuple[Any, ...]:
    import pandas as pd

    many = node.attr("keys")
    names = [f"k{k}" for k in range(many)]
    left = pd.DataFrame({**dict(zip(names, inputs[:many], strict=True)), "l": np.arange(len(inputs[0]))})
    right = pd.DataFrame({**dict(zip(names, inputs[many:], strict=True)), "r": np.arange(len(inputs[many]))})
    both = left.merge(right, on=names, how=node.attr("how"), sort=False)
    return tuple(both[name].fillna(-1).to_numpy(np.int64) for name in ("l", "r"))


def _sort(node: Expr, inputs: Sequence[Any]) -> Any:
    import pandas as pd

    frame = pd.DataFrame(dict(enumerate(inputs)))
    place = "last" if node.attr("na_last") else "first"
    by, up = list(frame), list(node.attr("ascending"))
    return frame.sort_values(by, ascending=up, kind="stable", na_position=place).index.to_numpy(np.int64)


_KINDS: dict[str, Callable[[Expr, Sequence[Any]], Any]] = {
    "Leaf": lambda node, inputs: node.data,
    "Const": lambda node, inputs: node.data,
    "Map": _map,
    "Select": lambda node, inputs: np.where(*inputs)[()],
    "Cast": _cast,
    "Reduce": _reduce,
    "View": _view,
    "Broadcast": _view,
    "Filter": lambda node, inputs: inputs[0][inputs[1]],
    "GroupReduce": _group,
    "Scan": _scan,
    "Gather": _gather,
    "Scatter": _scatter,
    "Join": _join,
    "Sort": _sort,
    "Concat": lambda node, inputs: np.concatenate(inputs, axis=node.attr("axis")),
    "Extern": lambda node, inputs: node.data(*inputs),
    "Item": lambda node, inputs: inputs[0][node.attr("index")],
    "Rows": lambda node, inputs: np.arange(len(inputs[0])),
}

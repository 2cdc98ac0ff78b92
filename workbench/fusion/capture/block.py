"""The values of a frame as one 2-d array: the memory that its columns share, or their expressions side by side."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.fusion import expr as ir

if TYPE_CHECKING:
    from workbench.fusion.capture.columns import Column

__all__ = ["side_by_side"]


def side_by_side(columns: Sequence[Column]) -> Any:
    """Return numbers of one domain as a 2-d LazyArray; None if pandas has to say what they are together."""
    from workbench.fusion.api import array
    from workbench.fusion.capture.array import LazyArray

    if not columns or any(not each.plain or each.dtype.kind == "b" for each in columns):
        return None
    rows = columns[0].domain.size
    kinds = {each.dtype for each in columns}
    if not isinstance(rows, int) or not rows or (len(kinds) > 1 and np.dtype(np.uint64) in kinds):
        return None
    if all(each.as_it_stands() for each in columns) and len(kinds) == 1:
        found = _shared([each.expr.data for each in columns])
        if found is not None:
            return array(found)
    wide = np.result_type(*kinds)
    whole = ("slice", None, None, None)
    parts = []
    for each in columns:
        x = each.expr if each.dtype == wide else ir.cast(each.expr, wide)
        parts.append(ir.view(x, "index", (whole, None), (rows, 1)))
    return LazyArray(ir.concat(parts, axis=1))


def _shared(arrays: Sequence[np.ndarray]) -> np.ndarray | None:
    """Return arrays as columns of one that looks at their memory; None if they are not evenly apart in one block."""
    owners = {id(_owner(each)) for each in arrays}
    steps = {each.strides for each in arrays}
    if len(owners) > 1 or len(steps) > 1:
        return None
    places = [each.__array_interface__["data"][0] for each in arrays]
    apart = {b - a for a, b in itertools.pairwise(places)} or {arrays[0].itemsize}
    if len(apart) > 1:
        return None
    shape, strides = (len(arrays[0]), len(arrays)), (arrays[0].strides[0], apart.pop())
    return np.lib.stride_tricks.as_strided(arrays[0], shape, strides, writeable=False)


def _owner(array: Any) -> Any:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array

"""Lookups: where each key stands on a side that has no key twice, told by a table over the range of its keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.fusion import expr as ir

if TYPE_CHECKING:
    from workbench.fusion.capture.columns import Column
    from workbench.fusion.expr import Expr

__all__ = ["lookup"]

#: entries of a table for each key in it, and at least: what is larger would not stay in the cache
ROOM, LEAST = 8, 1 << 16


def lookup(mine: Column, theirs: Column) -> tuple[Expr, bool] | None:
    """Return for each row of one column where its key stands in another (-1 if nowhere), and whether all are sure to.

    None if the other is not a column that stands in a frame, has a key twice, or has keys too far apart.
    """
    if mine.dtype != theirs.dtype or not theirs.as_it_stands():
        return None
    if theirs.text:
        return _of_words(mine, theirs)
    if not theirs.plain or theirs.dtype.kind not in "iu" or theirs.dtype == np.uint64:
        return None
    source = theirs.source
    assert source is not None
    keys = source.leaf().data
    if not len(keys):
        return None
    low, high = source.extent()
    span = high - low + 1
    if span > max(ROOM * len(keys), LEAST):
        return None
    table = _places(keys.astype(np.int64) - low, span)
    if table is None:
        return None
    total = len(keys) == span and _within(mine, low, high)
    at = mine.expr if mine.expr.dtype == np.int64 else ir.cast(mine.expr, np.int64)
    if low:
        at = ir.map_("subtract", at, ir.leaf(np.array(low)))
    if total:
        return (at if bool((table == np.arange(span)).all()) else ir.gather(ir.leaf(table), at)), True
    least = ir.map_("greater_equal", at, ir.const(0))
    inside = ir.map_("logical_and", least, ir.map_("less", at, ir.leaf(np.array(span))))
    return ir.gather(ir.leaf(table), ir.select(inside, at, ir.const(-1)), fill=-1), False


def _of_words(mine: Column, theirs: Column) -> tuple[Expr, bool] | None:
    """Return the same of strings: a table over the words of one side. A missing string equals a missing string."""
    first, second = mine.coded(), theirs.coded()
    if first is None or second is None or theirs.source is None or theirs.source.missing_words():
        return None
    import pandas as pd

    (codes, words), (leaf, their_words) = first, second
    places = _places(leaf.data, len(their_words))
    if places is None or not len(words):
        return None
    known = pd.Index(their_words.values).get_indexer(pd.Index(words.values))
    table = np.append(places, np.int64(-1))[known]
    source = mine.source
    sure = source is not None and not mine.gaps and not source.missing_words()
    if sure and bool((table >= 0).all()):
        return ir.gather(ir.leaf(table), codes), True
    return ir.gather(ir.leaf(table), codes, fill=-1), False


def _places(keys: Any, span: int) -> Any:
    """Return for each number below a bound where it stands among the keys, -1 if nowhere; None if one stands twice."""
    table = np.full(span, -1, np.int64)
    table[keys] = np.arange(len(keys))
    return None if np.count_nonzero(table >= 0) < len(keys) else table


def _within(column: Column, low: int, high: int) -> bool:
    """Return whether all integers of a column are sure to be in a range."""
    source = column.source
    if source is None or column.picked or column.gaps or not len(source.leaf().data):
        return False
    least, most = source.extent()
    return low <= least and most <= high

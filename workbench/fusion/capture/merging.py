"""Merge and join: rows of two frames by equal keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.fusion import expr as ir
from workbench.fusion.capture.columns import Column
from workbench.fusion.capture.domains import Counted, Domain
from workbench.fusion.capture.keys import unified
from workbench.fusion.capture.lazy import LazyPandas
from workbench.fusion.capture.lookup import lookup
from workbench.fusion.capture.scalars import LazyValue

if TYPE_CHECKING:
    from workbench.fusion.capture.frame import LazyFrame
    from workbench.fusion.expr import Expr

__all__ = ["FrameMerging", "merged"]


def merged(
    left: LazyFrame, right: LazyFrame, how: str, left_on: list[Any], right_on: list[Any], suffixes: Any
) -> LazyFrame | None:
    """Return the rows of two frames with equal keys side by side; None if pandas has to do it."""
    import pandas as pd

    from workbench.fusion.capture.frame import LazyFrame

    if how not in ("inner", "left") or len(left_on) != len(right_on) or not left_on:
        return None
    for side, names in ((left, left_on), (right, right_on)):
        if (
            side._labels.nlevels > 1
            or not side._labels.is_unique
            or not all(_stands(each, side._labels) for each in names)
        ):
            return None
        if isinstance(side._domain.size, int) and side._domain.size == 0:
            return None
    pairs = [
        (left._column(left._labels.get_loc(mine)), right._column(right._labels.get_loc(theirs)))
        for mine, theirs in zip(left_on, right_on, strict=True)
    ]
    joined = _looked_up(left._domain, pairs, how) or _joined(left._domain, pairs, how)
    if joined is None:
        return None
    mine_rows, second, gaps = joined
    their_rows = right._domain.take(second, Counted())
    places = [k for k, label in enumerate(right._labels) if not (label in right_on and label in left_on and
              left_on[right_on.index(label)] == label)]  # fmt: skip
    columns = [column.on(mine_rows) for column in left._all()]
    gathered = [right._column(k) for k in places]
    if gaps and any(not _keeps(each) for each in gathered):
        absent = ir.reduce_("any", ir.map_("less", second, ir.const(0)))
        if LazyValue([absent], lambda values: bool(values[0]))._fusion_value():
            if not all(_keeps(each) or _floats(each) for each in gathered):
                return None
            gathered = [each if _keeps(each) else _as_float(each) for each in gathered]
    columns += [foreign(each.on(their_rows), their_rows, mine_rows, gaps) for each in gathered]
    stand = pd.DataFrame(columns=left._labels), pd.DataFrame(columns=right._labels)
    labels = stand[0].merge(stand[1], left_on=left_on, right_on=right_on, how=how, suffixes=suffixes).columns
    if len(labels) != len(columns):
        return None
    return LazyFrame(columns, labels, mine_rows, (*left._notes, *right._notes))


def _looked_up(home: Domain, pairs: Sequence[tuple[Column, Column]], how: str) -> tuple[Domain, Expr, bool] | None:
    """Return a join whose right side has no key twice: the left rows, and beside each the right one.

    None if that is not so. Which is beside which is computed wherever the merged columns are, by one look into a table.
    """
    found = lookup(*pairs[0]) if len(pairs) == 1 else None
    if found is None:
        return None
    places, total = found
    if how == "inner" and not total:
        there = home.filter(ir.map_("greater_equal", places, ir.const(0)))
        return there.relabel(Counted()), there.lift(places, home, fill=-1), False
    return home.relabel(Counted()), places, not total


def _joined(home: Domain, pairs: Sequence[tuple[Column, Column]], how: str) -> tuple[Domain, Expr, bool] | None:
    """Return any other join; None if pandas has to compare keys."""
    keys = [unified(mine, theirs) for mine, theirs in pairs]
    if any(each is None for each in keys):
        return None
    first, second = ir.join([each[0] for each in keys if each], [each[1] for each in keys if each], how)
    return home.take(first, Counted()), second, how == "left"


def _stands(label: Any, labels: Any) -> bool:
    try:
        return label in labels
    except TypeError:
        return False


def _keeps(column: Column) -> bool:
    """Return whether a column keeps its dtype if rows are missing."""
    return column.text or column.time or column.masked or (column.plain and column.dtype.kind == "f")


def _floats(column: Column) -> bool:
    return column.plain and column.dtype.kind in "iu"


def _as_float(column: Column) -> Column:
    return Column(np.dtype(np.float64), column.domain, ir.cast(column.expr, np.float64))


def foreign(column: Column, rows: Domain, home: Domain, gaps: bool) -> Column:
    """Return a column over one domain as one over another that has as many rows, of which some may have got none."""
    gaps = gaps or column.gaps
    if column.picked:
        return Column(column.dtype, home, column.expr, source=column.source, picked=True, gaps=gaps)
    if column.source is not None and not column.computes:
        places = rows.places(column.source.home)
        return Column(column.dtype, home, places, source=column.source, picked=True, gaps=gaps)
    return Column(column.dtype, home, column.expr, valid=column.valid, words=column.words, gaps=gaps)


class FrameMerging(LazyPandas):
    """What LazyFrame has of it."""

    _labels: Any

    def merge(
        self,
        right: Any,
        how: str = "inner",
        on: Any = None,
        left_on: Any = None,
        right_on: Any = None,
        left_index: bool = False,
        right_index: bool = False,
        sort: bool = False,
        suffixes: Any = ("_x", "_y"),
        copy: Any = None,
        indicator: Any = False,
        validate: Any = None,
    ) -> Any:
        """Return the rows of both frames with equal keys side by side, in the order of these."""
        from workbench.fusion.capture.fallback import run_in_pandas
        from workbench.fusion.capture.frame import LazyFrame, lazily

        me: Any = self
        right = lazily(right)
        usual = not (left_index or right_index or sort or indicator or validate) and isinstance(right, LazyFrame)
        if usual:
            names = _keys(me, right, on, left_on, right_on)
            found = None if names is None else merged(me, right, how, *names, suffixes)
            if found is not None:
                return found
        kwargs = {
            "how": how, "on": on, "left_on": left_on, "right_on": right_on, "left_index": left_index,
            "right_index": right_index, "sort": sort, "suffixes": suffixes, "indicator": indicator,
            "validate": validate,
        }  # fmt: skip
        why = "data-dependent dtype" if usual and how in ("left", "right", "outer") else "unsupported operation"
        return run_in_pandas("merge", lambda f, g, **k: f.merge(g, **k), self, right, reason=why, **kwargs)

    def join(self, other: Any, *args: Any, **kwargs: Any) -> Any:
        """Return columns of another frame beside these, by index."""
        from workbench.fusion.capture.fallback import run_in_pandas

        return run_in_pandas(
            "join",
            lambda f, g, *a, **k: f.join(g, *a, **k),
            self,
            other,
            *args,
            reason="index must be aligned",
            **kwargs,
        )


def _keys(left: Any, right: Any, on: Any, left_on: Any, right_on: Any) -> tuple[list[Any], list[Any]] | None:
    """Return the labels of the keys on both sides; None if pandas has to say, or to raise."""
    if on is not None:
        if left_on is not None or right_on is not None:
            return None
        names = list(on) if isinstance(on, (list, tuple)) else [on]
        return names, names
    if left_on is None and right_on is None:
        common = left._labels.intersection(right._labels)
        return (list(common), list(common)) if len(common) else None
    if left_on is None or right_on is None:
        return None
    mine, theirs = [list(each) if isinstance(each, (list, tuple)) else [each] for each in (left_on, right_on)]
    return (mine, theirs) if all(isinstance(each, (str, int)) for each in mine + theirs) else None

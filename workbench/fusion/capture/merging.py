"""Merge and join: rows of two frames by equal keys."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.fusion import expr as ir
from workbench.fusion.capture.columns import NAT, Column
from workbench.fusion.capture.domains import Counted, Domain
from workbench.fusion.capture.keys import unified
from workbench.fusion.capture.lazy import LazyPandas
from workbench.fusion.capture.lookup import lookup
from workbench.fusion.capture.scalars import LazyValue

if TYPE_CHECKING:
    from workbench.fusion.capture.frame import LazyFrame
    from workbench.fusion.expr import Expr

__all__ = ["FrameMerging", "merged"]


#: joins that are not left to pandas
_HOW = frozenset({"inner", "left", "right", "outer"})


def merged(
    left: LazyFrame, right: LazyFrame, how: str, left_on: list[Any], right_on: list[Any], suffixes: Any
) -> LazyFrame | None:
    """Return the rows of two frames with equal keys side by side; None if pandas has to do it."""
    import pandas as pd

    from workbench.fusion.capture.frame import LazyFrame

    if how not in _HOW or len(left_on) != len(right_on) or not left_on:
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
    rows = _looked_up(left._domain, right._domain, pairs, how) or _joined(left._domain, right._domain, pairs, how)
    if rows is None:
        return None
    keys = {mine: k for k, (mine, theirs) in enumerate(zip(left_on, right_on, strict=True)) if mine == theirs}
    either = {} if rows.mine.places is None else {left._labels.get_loc(label): k for label, k in keys.items()}
    columns = rows.mine.columns(rows.home, left._all(), either)
    others = [right._column(k) for k, label in enumerate(right._labels) if label not in keys]
    theirs = rows.theirs.columns(rows.home, others)
    if columns is None or theirs is None:
        return None
    for place, k in either.items():
        found = _of_either(rows, *pairs[k])
        if found is None:
            return None
        columns[place] = found
    stand = pd.DataFrame(columns=left._labels), pd.DataFrame(columns=right._labels)
    labels = stand[0].merge(stand[1], left_on=left_on, right_on=right_on, how=how, suffixes=suffixes).columns
    columns += theirs
    if len(labels) != len(columns):
        return None
    return LazyFrame(columns, labels, rows.home, (*left._notes, *right._notes))


@dataclass(frozen=True)
class _Side:
    """The rows of one side of a join.

    Attributes
    ----------
    rows : Domain
        As they stand in the result.
    places : Expr or None
        Where they are among this side's, -1 where the other side's key is not; None if all are there.
    """

    rows: Domain
    places: Expr | None

    def columns(self, home: Domain, columns: Sequence[Column], besides: Container[int] = ()) -> list[Column] | None:
        """Return columns of this side over the rows of the result; None if a dtype cannot tell what is missing.

        Parameters
        ----------
        besides : container of int
            Places of columns that the other side has too.
        """
        asked = [each for k, each in enumerate(columns) if k not in besides]
        if self.places is not None and not all(_keeps(each) for each in asked):
            absent = ir.reduce_("any", ir.map_("less", self.places, ir.const(0)))
            if LazyValue([absent], lambda values: bool(values[0]))._fusion_value():
                if not all(_keeps(each) or _floats(each) for each in asked):
                    return None
                columns = [each if k in besides or _keeps(each) else _as_float(each) for k, each in enumerate(columns)]
        if self.rows is home and self.places is None:
            return [each.on(home) for each in columns]
        return [foreign(each.on(self.rows), self.rows, home, self.places is not None) for each in columns]


@dataclass(frozen=True)
class _Rows:
    """The rows of a join: those of the result, which are one side's too, and of both sides."""

    home: Domain
    mine: _Side
    theirs: _Side


def _looked_up(left: Domain, right: Domain, pairs: Sequence[tuple[Column, Column]], how: str) -> _Rows | None:
    """Return a join where one side has no key twice and each row of the other gives one row, or none.

    None if that is not so. Which is beside which is computed wherever the merged columns are, by one look into a table.
    """
    if how == "outer":
        return None
    if how == "right":
        turned = _looked_up(right, left, [(theirs, mine) for mine, theirs in pairs], "left")
        return None if turned is None else _Rows(turned.home, turned.theirs, turned.mine)
    found = lookup(pairs)
    if found is None:
        return None
    places, total = found
    if how == "inner" and not total:
        there = left.filter(ir.map_("greater_equal", places, ir.const(0)))
        home, places, total = there.relabel(Counted()), there.lift(places, left, fill=-1), True
    else:
        home = left.relabel(Counted())
    return _Rows(home, _Side(home, None), _Side(right.take(places, Counted()), None if total else places))


def _joined(left: Domain, right: Domain, pairs: Sequence[tuple[Column, Column]], how: str) -> _Rows | None:
    """Return any other join; None if pandas has to compare keys."""
    keys = [unified(mine, theirs, how == "outer") for mine, theirs in pairs]
    if any(each is None for each in keys):
        return None
    first, second = ir.join([each[0] for each in keys if each], [each[1] for each in keys if each], how)
    mine = _Side(left.take(first, Counted()), first if how in ("right", "outer") else None)
    theirs = _Side(right.take(second, Counted()), second if how in ("left", "outer") else None)
    return _Rows(theirs.rows if how == "right" else mine.rows, mine, theirs)


def _of_either(rows: _Rows, mine: Column, theirs: Column) -> Column | None:
    """Return a key that both sides have: of the left row, where there is one."""
    found = unified(mine, theirs)
    if found is None:
        return None
    first, second, words = found
    places = rows.mine.places
    assert places is not None
    missing = -1 if words is not None else NAT if mine.time else None
    one = rows.mine.rows.lift(first, mine.domain, fill=0 if missing is None else missing)
    other = rows.theirs.rows.lift(second, theirs.domain, fill=0 if missing is None else missing)
    chosen = ir.select(ir.map_("less", places, ir.const(0)), other, one)
    return Column(mine.dtype, rows.home, chosen, words=words)


def _stands(label: Any, labels: Any) -> bool:
    try:
        return label in labels
    except TypeError:
        return False


def _keeps(column: Column) -> bool:
    """Return whether a column keeps its dtype if rows are missing."""
    if isinstance(column.dtype, np.dtype):
        return column.dtype.kind in "fmMO"
    return column.text or column.masked or column.dtype.name == "category"


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

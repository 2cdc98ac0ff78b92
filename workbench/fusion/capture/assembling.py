"""Tables made of others: `pandas.concat`, and `DataFrame` and `Series` of what is lazy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.fusion import expr as ir
from workbench.fusion.capture.columns import Column, plain
from workbench.fusion.capture.domains import Counted, Domain, Keyed, Known, Labels, Taken, default_positions
from workbench.fusion.capture.fallback import is_lazy, run_in_pandas
from workbench.fusion.capture.lazy import array_expr, is_array
from workbench.fusion.capture.selection import rebased
from workbench.fusion.capture.words import Words
from workbench.fusion.capture.writes import column_for

if TYPE_CHECKING:
    from workbench.fusion.capture.frame import LazyFrame
    from workbench.fusion.expr import Dim, Expr

__all__ = ["concat", "data_frame", "series"]


def concat(objs: Any, **kwargs: Any) -> Any:
    """Return tables or columns one after another, or those of the same rows side by side."""
    import pandas as pd

    found = None
    if type(objs) in (list, tuple) and objs and not (set(kwargs) - {"axis", "join", "ignore_index", "sort", "copy"}):
        found = _concat(objs, kwargs)
    return run_in_pandas("concat", pd.concat, objs, **kwargs) if found is None else found


def _concat(objs: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    from workbench.fusion.capture.frame import LazyFrame, lazily
    from workbench.fusion.capture.series import LazySeries

    parts = [lazily(each) for each in objs]
    axis, ignore = kwargs.get("axis", 0), kwargs.get("ignore_index", False)
    if kwargs.get("sort") is True or any(not isinstance(each, (LazyFrame, LazySeries)) for each in parts):
        return None
    _settled(parts)
    if axis in (1, "columns"):
        return _side_by_side(parts, bool(ignore))
    if axis not in (0, "index") or len({type(each) for each in parts}) > 1:
        return None
    notes = tuple(note for each in parts for note in each._notes)
    if isinstance(parts[0], LazySeries):
        stacked = _stacked([[each._column] for each in parts], bool(ignore))
        if stacked is None:
            return None
        names = {each._name for each in parts}
        return LazySeries(stacked[1][0], names.pop() if len(names) == 1 else None, notes)
    labels = parts[0]._labels
    if labels.nlevels > 1 or not len(labels) or not all(_same_labels(each._labels, labels) for each in parts):
        return None
    stacked = _stacked([each._all() for each in parts], bool(ignore))
    return None if stacked is None else LazyFrame(stacked[1], labels, stacked[0], notes)


def _settled(parts: Sequence[Any]) -> None:
    """Let columns stand where they are computed, if others of their rows were."""
    for each in parts:
        if each._rows.settled is not None and each._rows.settled is not each._rows:
            each._fusion_value()


def _same_labels(first: Any, second: Any) -> bool:
    return first is second or bool(first.identical(second))


# --------------------------------------------------------------------------------------------------- one after another


def _stacked(parts: Sequence[Sequence[Column]], ignore: bool) -> tuple[Domain, list[Column]] | None:
    """Return rows one after another, and the columns over them; None if pandas has to say what they are."""
    domains = [part[0].domain for part in parts]
    sizes = [each.size for each in domains]
    if any(size == 0 for size in sizes):  # what is nothing may have a say in dtypes
        return None
    known = [each for each in sizes if isinstance(each, int)]
    total: Dim = sum(known) if len(known) == len(sizes) else ir.Size(f"concat#{id(domains[0])}")
    joined = [_one_after_another([part[k] for part in parts], total) for k in range(len(parts[0]))]
    if any(each is None for each in joined):
        return None
    columns = [each for each in joined if each is not None]
    likes = [part[0].expr if part[0].computes else (part[0].coded() or (None,))[0] for part in parts]
    home = _rows(domains, total, likes, ignore)
    if home is None:
        return None
    return home, [Column(each.dtype, home, each._expr, valid=each.valid_, words=each.words, gaps=each.gaps)
                  for each in columns]  # fmt: skip


def _one_after_another(columns: Sequence[Column], size: Dim) -> Column | None:
    """Return columns of one dtype as one, over no rows yet; None if their values cannot be computed with."""
    first = columns[0]
    if any(each.dtype != first.dtype for each in columns):
        return None
    gaps = any(each.gaps for each in columns)
    if first.text:
        return _words_after_another(columns, size, gaps)
    if not all(each.computes for each in columns):
        return None
    expr = ir.concat([each.expr for each in columns], size=size)
    valid = None
    if any(each.valid is not None for each in columns):
        there = [_everywhere(each.expr) if each.valid is None else each.valid for each in columns]
        valid = ir.concat(there, size=size)
        valid.calls = 0
    return Column(first.dtype, first.domain, expr, valid=valid, gaps=gaps)


def _words_after_another(columns: Sequence[Column], size: Dim, gaps: bool) -> Column | None:
    import pandas as pd

    coded = [each.coded() for each in columns]
    if any(each is None for each in coded):
        return None
    pairs = [each for each in coded if each is not None]
    all_words = pd.concat([words.values for _, words in pairs], ignore_index=True)
    numbers, words = Words(all_words, False).unified()
    if not len(words):
        return None
    codes, at = [], 0
    for expr, own in pairs:
        table = numbers[at : at + len(own)] if len(own) else np.full(1, -1, np.int32)
        codes.append(ir.gather(ir.leaf(table), expr, fill=-1))
        at += len(own)
    return Column(columns[0].dtype, columns[0].domain, ir.concat(codes, size=size), words=words, gaps=gaps)


def _everywhere(like: Expr) -> Expr:
    return ir.map_("greater_equal", ir.rows(like), ir.const(0))


def _rows(domains: Sequence[Domain], size: Dim, likes: Sequence[Any], ignore: bool) -> Domain | None:
    """Return rows one after another under their labels, or counted; None if pandas has to join the labels."""
    import pandas as pd

    if isinstance(size, int) and ignore:
        return Domain.root(pd.RangeIndex(size))
    indexes = [each.index for each in domains]
    if all(each is not None for each in indexes) and not ignore:
        return Domain.root(indexes[0].append(indexes[1:]))  # type: ignore[union-attr]
    if ignore:
        counted = ir.concat([ir.rows(each) for each in likes], size=size)
        return Domain(size, labels=_counting(counted)).relabel(Counted())
    labels = _taken(domains, size) or _counted(domains, size, likes) or _keyed(domains, size)
    return None if labels is None else Domain(size, labels=labels)


def _taken(domains: Sequence[Domain], size: Dim) -> Labels | None:
    """Return labels that are all taken of indexes that are there."""
    all_of: Any = None
    places: list[Expr] = []
    begin = 0
    for each in domains:
        labels = each.labels
        if isinstance(labels, Known):
            at = ir.leaf(np.arange(begin, begin + len(labels.index)))
        elif isinstance(labels, Taken):
            at = ir.map_("add", labels.positions, ir.leaf(np.array(begin))) if begin else labels.positions
        else:
            return None
        all_of = labels.index if all_of is None else all_of.append(labels.index)
        places.append(at)
        begin += len(labels.index)
    return Taken(all_of, _silent(ir.concat(places, size=size)))


def _counted(domains: Sequence[Domain], size: Dim, likes: Sequence[Any]) -> Labels | None:
    """Return labels that are all numbers of rows."""
    places = [default_positions(each.labels, like) for each, like in zip(domains, likes, strict=True)]
    found = [each for each in places if each is not None]
    return _counting(_silent(ir.concat(found, size=size))) if len(found) == len(places) else None


def _counting(places: Expr) -> Labels:
    """Return labels that are numbers."""
    places.calls = 0
    return Keyed([Column(np.dtype(np.int64), Domain(places.shape[0]), places)], [None])


def _keyed(domains: Sequence[Domain], size: Dim) -> Labels | None:
    """Return labels that are all keys of one column."""
    labels = [each.labels for each in domains]
    keyed = [each for each in labels if isinstance(each, Keyed) and len(each.columns) == 1]
    if len(keyed) < len(labels) or len({each.names for each in keyed}) > 1:
        return None
    found = _one_after_another([each.columns[0] for each in keyed], size)
    return None if found is None else Keyed([found], keyed[0].names)


def _silent(expr: Expr) -> Expr:
    expr.calls = 0
    return expr


# -------------------------------------------------------------------------------------------------------- side by side


def _side_by_side(parts: Sequence[Any], ignore: bool) -> LazyFrame | None:
    """Return columns of the same rows as one frame; None if their labels have to be looked at."""
    import pandas as pd

    from workbench.fusion.capture.frame import LazyFrame

    home: Domain = parts[0]._rows
    if not all(home.same_rows(each._rows) for each in parts):
        return None
    columns: list[Column] = []
    stand: list[Any] = []
    for each in parts:
        if isinstance(each, LazyFrame):
            columns += [rebased(column, home) for column in each._all()]
            stand.append(pd.DataFrame(0, index=[0], columns=each._labels))
        else:
            columns.append(rebased(each._column, home))
            stand.append(pd.Series([0], name=each._name))
    labels = pd.concat(stand, axis=1, ignore_index=ignore).columns
    notes = tuple(note for each in parts for note in each._notes)
    return LazyFrame(columns, labels, home, notes) if len(labels) == len(columns) else None


# ------------------------------------------------------------------------------------------------------ new containers


def data_frame(data: Any = None, index: Any = None, columns: Any = None, dtype: Any = None, copy: Any = None) -> Any:
    """Return a table of what is lazy, as `pandas.DataFrame` makes it."""
    import pandas as pd

    found = None
    if index is None and dtype is None and copy in (None, True):
        found = _of_dict(data) if type(data) is dict and columns is None else _of_one(data, columns)
    if found is not None:
        return found
    return run_in_pandas("DataFrame", pd.DataFrame, data, index=index, columns=columns, dtype=dtype, copy=copy)


def _of_dict(data: dict[Any, Any]) -> LazyFrame | None:
    import pandas as pd

    from workbench.fusion.capture.frame import LazyFrame, lazily
    from workbench.fusion.capture.series import LazySeries

    values = [lazily(each) for each in data.values()]
    if not values or any(is_lazy(each) for each in data):
        return None
    named = [each for each in values if isinstance(each, LazySeries)]
    _settled(named)
    home = named[0]._rows if named else _range([each for each in values if is_array(each)])
    if home is None or home.size == 0:
        return None
    columns: list[Column] = []
    for each in values:
        if isinstance(each, LazySeries):
            found = rebased(each._column, home) if home.same_rows(each._rows) else None
        else:
            found = column_for(each, home)
        if found is None:
            return None
        columns.append(found)
    notes = tuple(note for each in named for note in each._notes)
    labels = pd.DataFrame({each: [] for each in data}).columns
    return LazyFrame(columns, labels, home, notes) if len(labels) == len(columns) else None


def _range(arrays: Sequence[Any]) -> Domain | None:
    """Return rows counted from 0, as many as arrays of one dimension have."""
    import pandas as pd

    shapes = {array_expr(each).shape for each in arrays}
    size = next(iter(shapes))[0] if len(shapes) == 1 and len(next(iter(shapes))) == 1 else None
    return Domain.root(pd.RangeIndex(size)) if isinstance(size, int) else None


def _of_one(data: Any, columns: Any) -> LazyFrame | None:
    """Return a table of a table, a column, or an array of two dimensions."""
    import pandas as pd

    from workbench.fusion.capture.frame import LazyFrame
    from workbench.fusion.capture.series import LazySeries

    if columns is None and isinstance(data, LazyFrame):
        return data._new(data._all(), data._labels)
    if columns is None and isinstance(data, LazySeries):
        stand = pd.DataFrame(pd.Series([0], name=data._name))
        return LazyFrame([data._column], stand.columns, data._rows, data._notes)
    if not is_array(data) or is_lazy(columns):
        return None
    values = array_expr(data)
    rows, many = values.shape if values.ndim == 2 else (0, 0)
    if not isinstance(rows, int) or not isinstance(many, int) or not rows or not many or not plain(values.dtype):
        return None
    labels = pd.RangeIndex(many) if columns is None else pd.Index(columns)
    if len(labels) != many or labels.nlevels > 1:
        return None
    home = Domain.root(pd.RangeIndex(rows))
    spec = [(("slice", None, None, None), k) for k in range(many)]
    made = [Column(values.dtype, home, ir.view(values, "index", each, (rows,))) for each in spec]
    return LazyFrame(made, labels, home)


def series(data: Any = None, index: Any = None, dtype: Any = None, name: Any = None, **kwargs: Any) -> Any:
    """Return a column of what is lazy, as `pandas.Series` makes it."""
    import pandas as pd

    from workbench.fusion.capture.series import LazySeries

    if dtype is None and not kwargs and not is_lazy(index) and not is_lazy(name):
        if isinstance(data, LazySeries) and index is None:
            return data._new(data._column, data._name if name is None else name)
        values = array_expr(data) if is_array(data) else None
        size = values.shape[0] if values is not None and values.ndim == 1 else None
        if values is not None and isinstance(size, int) and size and plain(values.dtype):
            labels = pd.RangeIndex(size) if index is None else pd.Index(index)
            if len(labels) == size:
                return LazySeries(Column(values.dtype, Domain.root(labels), values), name)
    return run_in_pandas("Series", pd.Series, data, index=index, dtype=dtype, name=name, **kwargs)

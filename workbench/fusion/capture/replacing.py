"""Columns with other values: missing ones filled, unwanted ones replaced, bounded, rounded, looked up or cast."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.fusion import expr as ir
from workbench.fusion.capture.arithmetic import as_constant, both, there
from workbench.fusion.capture.columns import Column, missing
from workbench.fusion.capture.fallback import is_lazy
from workbench.fusion.capture.words import Words
from workbench.fusion.capture.writes import holds, replaced

__all__ = [
    "NOTHING", "absent", "among", "bounded", "cast_column", "exchanged", "filled", "kept_where", "known", "looked_up",
    "rounded",
]  # fmt: skip

#: what nobody gave
NOTHING: Any = object()


def known(column: Column) -> bool:
    """Return whether it can be told, without looking at Python objects, where a column is missing."""
    return column.computes or column.coded() is not None


def absent(column: Column) -> Column | None:
    """Return where a column is missing, as booleans; None if pandas has to look."""
    if not known(column):
        return None
    found = there(column)
    domain = column.domain
    if found is None:
        found = domain.full(ir.const(np.bool_(False)))
    else:
        found = ir.map_("logical_not", found)
    return None if found is None else Column(np.dtype(bool), domain, found)


def filled(column: Column, value: Any) -> Column | None:
    """Return a column with a single value, or another column's, where it is missing."""
    if not known(column):
        return None
    present = there(column)
    if isinstance(value, Column):
        if present is None or not column.plain or value.dtype != column.dtype:
            return None
        return Column(column.dtype, column.domain, ir.select(present, column.expr, value.expr))
    if is_lazy(value) or isinstance(value, (dict, list, np.ndarray)):
        if present is None or column.masked or not hasattr(value, "expr"):
            return None
        return replaced(column, ir.map_("logical_not", present), value)
    if column.masked:
        kind = column.expr.dtype
        if not holds(kind, value):
            return None
        if present is None:
            return column
        return Column(column.dtype, column.domain, ir.select(present, column.expr, ir.const(value, kind)))
    if present is None:
        return column if as_constant(value) is not None else None
    if column.time:
        return None
    return replaced(column, ir.map_("logical_not", present), value)


def kept_where(column: Column, condition: Any, other: Any) -> Column | None:
    """Return a column where a mask holds, and elsewhere another value or what stands for missing."""
    if other is NOTHING or other is None or (isinstance(other, float) and other != other):
        if column.masked:
            return Column(column.dtype, column.domain, column.expr, valid=both(column.valid, condition))
        if column.text:
            return replaced(column, ir.map_("logical_not", condition), None)
        if column.time or column.dtype == np.float64 or column.dtype == np.float32:
            nothing = ir.const(missing(column.dtype), column.expr.dtype)
            return Column(column.dtype, column.domain, ir.select(condition, column.expr, nothing))
        return None
    return replaced(column, ir.map_("logical_not", condition), other)


def bounded(column: Column, lower: Any, upper: Any) -> Column | None:
    """Return a column with values below and above bounds replaced by them; missing ones stay."""
    if not column.plain or column.dtype.kind == "b":
        return None
    if lower is not None and upper is not None and lower > upper:
        lower, upper = upper, lower
    found = x = column.expr
    for bound, op in ((upper, "greater"), (lower, "less")):
        if bound is None:
            continue
        if not holds(column.dtype, bound):
            return None
        limit = ir.const(bound, column.dtype)
        found = ir.select(ir.map_(op, x, limit), limit, found)
    return Column(column.dtype, column.domain, found)


def rounded(column: Column, decimals: int) -> Column | None:
    """Return a column rounded as NumPy rounds: scaled, rounded to even, scaled back."""
    if not column.plain or column.dtype.kind == "b":
        return None
    if column.dtype.kind in "iu":
        return column if decimals >= 0 else None
    if column.dtype != np.float64 or abs(decimals) > 22:
        return None
    x = column.expr
    if decimals:
        x = ir.map_("multiply" if decimals > 0 else "divide", x, ir.const(10.0 ** abs(decimals)))
    x = ir.map_("rint", x)
    if decimals:
        x = ir.map_("divide" if decimals > 0 else "multiply", x, ir.const(10.0 ** abs(decimals)))
    return Column(column.dtype, column.domain, x)


def among(column: Column, values: Any) -> Column | None:
    """Return where a column's value is one of some."""
    import pandas as pd

    if isinstance(values, (str, bytes)) or is_lazy(values) or not isinstance(values, (list, tuple, set, np.ndarray)):
        return None
    some = list(values)
    coded = column.coded() if column.text else None
    if coded is not None:
        if not all(type(each) is str for each in some):
            return None
        from workbench.fusion.capture.arithmetic import table

        codes, words = coded
        return table(column, codes, words.values.isin(some).to_numpy(bool), fill=False)
    if not column.plain:
        return None
    integers = column.dtype.kind in "iu" and all(type(each) is int and abs(each) < 2**31 for each in some)
    if integers and 0 < len(some) <= 8:
        found = ir.map_("equal", column.expr, ir.const(np.int64(some[0])))
        for each in some[1:]:
            found = ir.map_("logical_or", found, ir.map_("equal", column.expr, ir.const(np.int64(each))))
        return Column(found.dtype, column.domain, found)
    found = ir.extern("isin", lambda x: pd.Series(x).isin(some).to_numpy(), (column.expr,), bool, column.expr.shape)
    return Column(found.dtype, column.domain, found)


def cast_column(column: Column, dtype: Any) -> Column | None:
    """Return a column in another dtype; None if that depends on values."""
    import pandas as pd

    from workbench.fusion.capture.columns import plain

    try:
        to = pd.api.types.pandas_dtype(dtype)
    except TypeError:
        return None
    if to == column.dtype:
        return column
    if not column.plain or not plain(to) or (column.dtype.kind == "f" and to.kind in "iu"):
        return None
    return Column(to, column.domain, ir.cast(column.expr, to))


def exchanged(column: Column, old: Any, new: Any) -> Column | None:
    if column.text and isinstance(old, dict) and new is NOTHING:
        pairs = old
    elif column.text and type(old) is str and type(new) is str:
        pairs = {old: new}
    elif column.plain and new is not NOTHING and column.dtype.kind in "iuf":
        if not holds(column.dtype, old) or not holds(column.dtype, new) or column.dtype == np.float32:
            return None
        return replaced(column, ir.map_("equal", column.expr, ir.const(old, column.dtype)), new)
    else:
        return None
    coded = column.coded()
    if coded is None or not all(type(each) is str for pair in pairs.items() for each in pair):
        return None
    codes, words = coded
    return Column(column.dtype, column.domain, codes, words=Words(words.values.replace(pairs), False))


def looked_up(column: Column, values: Any) -> Column | None:
    """Return strings mapped word by word, where all words of the dictionary stand in the column and none is missing."""
    import pandas as pd

    from workbench.fusion.capture.arithmetic import table
    from workbench.fusion.capture.columns import plain

    if not column.text or not isinstance(values, (dict, pd.Series)) or column.source is None:
        return None
    coded = column.coded()
    if coded is None or column.domain is not column.source.home or column.gaps or column.source.missing_words():
        return None
    codes, words = coded
    found = words.values.map(values)
    if plain(found.dtype):
        return table(column, codes, found.to_numpy(), fill=0)
    return Column(found.dtype, column.domain, codes, words=Words(found, False)) if found.dtype == column.dtype else None

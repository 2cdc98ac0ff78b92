"""Writes: columns that are set, and rows of them. What is written becomes a new column; the old one stays for others.

pandas copies on write, so nothing that was taken from a frame before sees what is written after. A column is therefore
never written into: the frame gets another one in its place, and the user's own frame gets it when it is computed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.fusion import expr as ir
from workbench.fusion.capture import arithmetic
from workbench.fusion.capture.columns import Column, plain
from workbench.fusion.capture.domains import Domain, _where
from workbench.fusion.capture.lazy import array_expr
from workbench.fusion.capture.scalars import LazyScalar
from workbench.fusion.capture.selection import mask_over, restricted
from workbench.fusion.capture.words import Words

if TYPE_CHECKING:
    from workbench.fusion.capture.frame import LazyFrame
    from workbench.fusion.capture.series import LazySeries
    from workbench.fusion.expr import Expr

__all__ = ["column_for", "replaced", "set_frame", "set_frame_rows", "set_series", "set_series_rows"]


def set_frame(frame: LazyFrame, key: Any, value: Any) -> None:
    """Do `frame[key] = value`."""
    if _one_label(frame, key):
        column = column_for(value, frame._domain)
        if column is not None:
            frame._set_column(key, column)
            frame._notes = (*frame._notes, *getattr(value, "_notes", ()))
            return

    def write(target: Any, where: Any, what: Any) -> None:
        target[where] = what

    frame._write_in_pandas("setitem", write, key, value)


def _one_label(frame: LazyFrame, key: Any) -> bool:
    """Return whether a key is the label of one column, there or new, of a frame that has rows."""
    if frame._labels.nlevels != 1 or isinstance(key, tuple) or not len(frame._labels):
        return False
    if isinstance(frame._domain.size, int) and frame._domain.size == 0:
        return False
    try:
        return isinstance(frame._labels.get_loc(key), int) if key in frame._labels else isinstance(key, str)
    except TypeError:
        return False


def column_for(value: Any, domain: Domain) -> Column | None:
    """Return a value as a column over the rows, as pandas aligns and repeats it; None if pandas has to."""
    from workbench.fusion.capture.frame import lazily
    from workbench.fusion.capture.series import LazySeries

    value = lazily(value)
    if isinstance(value, LazySeries):
        if value._column.domain.settled is not None and value._column.domain is not domain:
            value._fusion_value()
        return restricted(value, domain)
    if isinstance(value, np.ndarray):
        if value.ndim == 1 and plain(value.dtype) and len(value) == domain.size:
            return Column(value.dtype, domain, ir.leaf(value.copy()))
        return None
    if type(value).__name__ == "LazyArray":
        found = array_expr(value)
        if found.ndim != 1 or not plain(found.dtype):
            return None
        if found.shape[0] is not domain.size and found.shape[0] != domain.size:
            return None
        return Column(found.dtype, domain, found)
    return _repeated(value, domain)


def _repeated(value: Any, domain: Domain) -> Column | None:
    one: Expr | None
    if isinstance(value, LazyScalar):
        one = value.expr
    elif type(value) is str:
        import pandas as pd

        codes = domain.full(ir.const(0, np.int32))
        if codes is None:
            return None
        words = pd.Series([value], dtype="str")
        return Column(words.dtype, domain, codes, words=Words(words, True))
    elif type(value) is int:
        one = ir.const(value, np.int64) if arithmetic.fits(value, np.dtype(np.int64)) else None
    else:
        one = arithmetic.as_constant(value)
    found = None if one is None else domain.full(one)
    return None if found is None else Column(found.dtype, domain, found)


def replaced(column: Column, mask: Expr, value: Any) -> Column | None:
    """Return a column with another value where a mask holds, its dtype kept; None if pandas has to do it.

    Parameters
    ----------
    value : object
        A Series over the same rows or over those of the mask; a single value that the dtype holds without loss.
    """
    from workbench.fusion.capture.frame import lazily
    from workbench.fusion.capture.series import LazySeries

    value = lazily(value)
    if isinstance(value, LazySeries):
        return _replaced_by_series(column, mask, value)
    if isinstance(value, LazyScalar):
        if value.expr.dtype != column.dtype or not column.plain:
            return None
        return Column(column.dtype, column.domain, ir.select(mask, value.expr, column.expr))
    if column.text:
        return _replaced_word(column, mask, value)
    if not column.plain or not holds(column.dtype, value):
        return None
    found = ir.select(mask, ir.const(value, column.dtype), column.expr)
    return Column(column.dtype, column.domain, found)


def holds(dtype: Any, value: Any) -> bool:
    """Return whether a NumPy dtype holds a single value as it is, so that pandas writes it without another dtype."""
    if dtype.kind == "b":
        return isinstance(value, (bool, np.bool_))
    if isinstance(value, (bool, np.bool_)):
        return False
    if dtype.kind in "iu":
        return isinstance(value, (int, np.integer)) and arithmetic.fits(int(value), dtype)
    if dtype == np.float64:
        return isinstance(value, (float, np.floating)) or (
            isinstance(value, (int, np.integer)) and abs(int(value)) < 2**53
        )
    return False


def _replaced_by_series(column: Column, mask: Expr, value: LazySeries) -> Column | None:
    if value.dtype != column.dtype or not column.plain:
        return None
    domain = column.domain
    theirs = value._column
    if theirs.domain.kind == "filter" and theirs.domain.parent is domain and domain.filter(mask) is theirs.domain:
        found = ir.scatter(column.expr, _where(mask, theirs.domain.size), theirs.expr)
        return Column(column.dtype, domain, found)
    over = restricted(value, domain)
    if over is None:
        return None
    return Column(column.dtype, domain, ir.select(mask, over.expr, column.expr))


def _replaced_word(column: Column, mask: Expr, value: Any) -> Column | None:
    coded = column.coded()
    if coded is None or not (type(value) is str or missing_word(value)):
        return None
    codes, words = coded
    if type(value) is str:
        words, code = with_word(words, value)
    else:
        code = -1
    found = ir.select(mask, ir.const(code, np.int32), codes)
    return Column(column.dtype, column.domain, found, words=words)


def missing_word(value: Any) -> bool:
    """Return whether a single value is what a column of strings takes for missing."""
    import pandas as pd

    return value is None or value is pd.NA or (isinstance(value, float) and value != value)


def with_word(words: Words, word: str) -> tuple[Words, int]:
    """Return a dictionary that has a word, and the number of the word in it."""
    import pandas as pd

    there = np.flatnonzero((words.values == word).to_numpy(bool))
    if len(there):
        return words, int(there[0])
    more = pd.concat([words.values, pd.Series([word], dtype=words.values.dtype)], ignore_index=True)
    return Words(more, words.distinct), len(words)


def set_series(series: LazySeries, key: Any, value: Any) -> None:
    """Do `series[key] = value`."""
    mask = mask_over(key, series._column.domain)
    found = None if mask is None else replaced(series._column, mask, value)
    if found is not None:
        _become(series, found)
        return

    def write(target: Any, where: Any, what: Any) -> None:
        target[where] = what

    _write(series, "setitem", write, key, value)


def set_series_rows(series: LazySeries, key: Any, value: Any, how: str) -> None:
    """Do `series.loc[key] = value` or `series.iloc[key] = value`."""
    mask = mask_over(key, series._column.domain)
    found = None if mask is None else replaced(series._column, mask, value)
    if found is not None:
        _become(series, found)
        return

    def write(target: Any, where: Any, what: Any) -> None:
        getattr(target, how)[where] = what

    _write(series, how, write, key, value)


def _become(series: LazySeries, column: Column) -> None:
    from workbench.fusion.capture.lazy import _UNSET

    series._column, series._value = column, _UNSET


def _write(series: LazySeries, op: str, call: Any, *args: Any) -> None:
    from workbench.fusion.capture.fallback import run_in_pandas
    from workbench.fusion.capture.series import LazySeries

    value = series._fusion_value()
    if series._original is None:
        value = value.copy(deep=False)
    try:
        run_in_pandas(op, lambda *a: call(value, *a), *args)
    finally:
        fresh = LazySeries._of(value)
        series._column, series._value = fresh._column, value


def set_frame_rows(frame: LazyFrame, key: Any, value: Any, how: str) -> None:
    """Do `frame.loc[key] = value` or `frame.iloc[key] = value`."""
    rows, label = key if isinstance(key, tuple) and len(key) == 2 else (key, None)
    if how == "loc" and label is not None and not isinstance(label, list) and _one_label(frame, label):
        mask = mask_over(rows, frame._domain)
        if mask is not None and label in frame._labels:
            found = replaced(frame._column(frame._labels.get_loc(label)), mask, value)
            if found is not None:
                frame._set_column(label, found)
                return

    def write(target: Any, where: Any, what: Any) -> None:
        getattr(target, how)[where] = what

    frame._write_in_pandas(how, write, key, value)

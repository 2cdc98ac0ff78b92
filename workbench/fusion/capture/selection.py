"""Which rows and columns: masks, slices, `loc` and `iloc`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.fusion import expr as ir
from workbench.fusion.capture.arithmetic import both
from workbench.fusion.capture.columns import Column, is_bool
from workbench.fusion.capture.domains import Domain
from workbench.fusion.capture.fallback import run_in_pandas
from workbench.fusion.capture.lazy import array_expr

if TYPE_CHECKING:
    from workbench.fusion.capture.frame import LazyFrame
    from workbench.fusion.capture.series import LazySeries
    from workbench.fusion.expr import Expr

__all__ = ["FrameLoc", "SeriesLoc", "frame_item", "mask_over", "narrowed", "rebased", "restricted", "series_item"]


def restricted(series: LazySeries, domain: Domain) -> Column | None:
    """Return a Series over some rows, as pandas aligns it to them; None if labels have to be looked at.

    The rows of a filter have the labels of the frame that was filtered, so that a column of that frame needs but the
    same filter, if no label stands twice.
    """
    column = series._column
    if column.domain is domain:
        return column
    if column.domain.same_rows(domain):
        return rebased(column, domain)
    each: Domain | None = domain
    while each is not None and each is not column.domain:
        if each.kind != "filter" or each.settled is not None:
            return None
        each = each.parent
    index = None if each is None else each.index
    return column.on(domain) if index is not None and index.is_unique else None


def rebased(column: Column, domain: Domain) -> Column:
    """Return a column over another domain whose rows are equal to its own."""
    if column.domain is domain:
        return column
    source = column.source
    if source is None or source.home is not column.domain:
        if source is not None and not column.picked:
            if not column.computes:
                places = column.domain.places(source.home)
                return Column(column.dtype, domain, places, source=source, picked=True, gaps=column.gaps)
            return Column(column.dtype, domain, column.expr, valid=column.valid, gaps=column.gaps)
        return Column(
            column.dtype,
            domain,
            column._expr,
            valid=column.valid_,
            words=column.words,
            source=source,
            picked=column.picked,
            gaps=column.gaps,
        )
    return Column(column.dtype, domain, column._expr, valid=column.valid_, source=source.moved(domain))


def mask_over(key: Any, domain: Domain) -> Expr | None:
    """Return a key as a mask over the rows; None if it is none, or pandas has to align it."""
    from workbench.fusion.capture.series import LazySeries

    if isinstance(key, LazySeries):
        if key._column.domain.settled is not None and key._column.domain is not domain:
            key._fusion_value()
        column = restricted(key, domain) if is_bool(key.dtype) else None
        if column is None or not column.computes:
            return None
        return both(column.expr, column.valid)
    if isinstance(key, list) and key and all(type(each) is bool for each in key):
        key = np.array(key)
    if isinstance(key, np.ndarray) and key.dtype == bool and key.ndim == 1 and len(key) == domain.size:
        return ir.leaf(key)
    if type(key).__name__ == "LazyArray":
        found = array_expr(key)
        if found.dtype == bool and found.ndim == 1:
            same = found.shape[0] is domain.size or found.shape[0] == domain.size
            return found if same else None
    return None


def narrowed(series: LazySeries, domain: Domain) -> LazySeries:
    """Return a Series over rows that were made of its own."""
    return series._new(series._column.on(domain))


def series_item(series: LazySeries, key: Any) -> Any:
    """Return `series[key]`."""
    domain = series._column.domain
    mask = mask_over(key, domain)
    if mask is not None:
        return narrowed(series, domain.filter(mask))
    if _positional(key, series):
        return narrowed(series, domain.slice(key))
    from workbench.fusion.capture.series import LazySeries

    why = "index must be aligned" if isinstance(key, LazySeries) else "value needed by Python"
    return run_in_pandas("getitem", lambda s, k: s[k], series, key, reason=why)


def _positional(key: Any, lazy: Any) -> bool:
    """Return whether a slice in brackets counts rows: of integers, on an index that does not hold floats or labels."""
    if not isinstance(key, slice) or not all(each is None or type(each) is int for each in _ends(key)):
        return False
    index = lazy._rows.index
    if index is not None:
        return index.dtype.kind != "f" and type(index).__name__ in ("RangeIndex", "Index")
    return False


def _ends(key: slice) -> tuple[Any, Any, Any]:
    return key.start, key.stop, key.step


def frame_item(frame: LazyFrame, key: Any) -> Any:
    """Return `frame[key]`."""
    from workbench.fusion.capture.frame import LazyFrame
    from workbench.fusion.capture.series import LazySeries
    from workbench.fusion.errors import no_column

    if type(key) is str and frame._labels.nlevels == 1 and key in frame._labels:
        place = frame._labels.get_loc(key)
        if isinstance(place, int):
            return LazySeries(frame._column(place), key, frame._notes)
    if isinstance(key, (LazySeries, np.ndarray)) or type(key).__name__ in ("LazyArray", "Series"):
        from workbench.fusion.capture.frame import lazily

        key = lazily(key)
        if isinstance(key, LazySeries) and not is_bool(key.dtype):
            key = list(key._fusion_value())
            return frame_item(frame, key)
        mask = mask_over(key, frame._domain)
        if mask is not None:
            return frame._over(frame._domain.filter(mask))
        return run_in_pandas("getitem", lambda f, k: f[k], frame, key, reason="index must be aligned")
    if isinstance(key, list) and key and all(type(each) is bool for each in key):
        mask = mask_over(key, frame._domain)
        if mask is not None:
            return frame._over(frame._domain.filter(mask))
    if isinstance(key, slice) and _positional(key, frame):
        return frame._over(frame._domain.slice(key))
    if isinstance(key, (slice, LazyFrame)) or callable(key) or frame._labels.nlevels > 1:
        return run_in_pandas("getitem", lambda f, k: f[k], frame, key)
    if isinstance(key, list) or type(key).__name__ == "Index":
        try:
            absent = [each for each in key if each not in frame._labels]
        except TypeError:
            absent = []
        if absent and all(isinstance(each, str) for each in absent):
            raise no_column(absent[0], list(frame._labels))
        if absent or not frame._labels.is_unique:
            return run_in_pandas("getitem", lambda f, k: f[k], frame, key)
        places = [frame._labels.get_loc(each) for each in key]
        return frame._pick(places, frame._labels.take(places) if places else frame._labels[:0])
    try:
        known = key in frame._labels
    except TypeError:
        return run_in_pandas("getitem", lambda f, k: f[k], frame, key)
    if not known:
        raise no_column(key, list(frame._labels))
    place = frame._labels.get_loc(key)
    if isinstance(place, int):
        return LazySeries(frame._column(place), key, frame._notes)
    where = np.arange(len(frame._labels))[place]
    return frame._pick([int(each) for each in where], frame._labels.take(where))


class _Loc:
    """`loc` and `iloc`: what fuses is masks and slices, what else there is runs in pandas."""

    def __init__(self, lazy: Any, how: str) -> None:
        self.lazy, self.how = lazy, how

    def rows(self, key: Any) -> Domain | None:
        """Return the rows that a key picks; None if pandas has to look labels up."""
        domain: Domain = self.lazy._rows
        if isinstance(key, slice) and _ends(key) == (None, None, None):
            return domain
        if type(key).__name__ == "Series":
            from workbench.fusion.capture.frame import lazily

            key = lazily(key)
        if self.how == "loc":
            mask = mask_over(key, domain)
            return None if mask is None else domain.filter(mask)
        if isinstance(key, slice) and all(each is None or type(each) is int for each in _ends(key)):
            return domain.slice(key)
        if isinstance(key, np.ndarray) and key.dtype == bool:
            mask = mask_over(key, domain)
            return None if mask is None else domain.filter(mask)
        if isinstance(key, (list, np.ndarray)) and len(key) and isinstance(domain.size, int):
            places = np.asarray(key)
            usual = places.dtype.kind == "i" and places.ndim == 1 and domain.index is not None
            if usual and places.min() >= -domain.size and places.max() < domain.size:
                places = np.where(places < 0, places + domain.size, places).astype(np.int64)
                return domain.take(ir.leaf(places))
        return None


class SeriesLoc(_Loc):
    """`series.loc` and `series.iloc`."""

    def __getitem__(self, key: Any) -> Any:
        domain = self.rows(key)
        if domain is not None:
            return narrowed(self.lazy, domain)
        return run_in_pandas(
            self.how, lambda s, k: getattr(s, self.how)[k], self.lazy, key, reason="value needed by Python"
        )

    def __setitem__(self, key: Any, value: Any) -> None:
        from workbench.fusion.capture.writes import set_series_rows

        set_series_rows(self.lazy, key, value, self.how)


class FrameLoc(_Loc):
    """`frame.loc` and `frame.iloc`."""

    def __getitem__(self, key: Any) -> Any:
        rows, columns = key if isinstance(key, tuple) and len(key) == 2 else (key, slice(None))
        frame: LazyFrame = self.lazy
        if frame._labels.nlevels == 1 and not callable(rows) and not callable(columns):
            domain = self.rows(rows)
            if domain is not None:
                found = self.columns(frame._over(domain) if domain is not frame._domain else frame, columns)
                if found is not None:
                    return found
        return run_in_pandas(
            self.how, lambda f, k: getattr(f, self.how)[k], frame, key, reason="value needed by Python"
        )

    def columns(self, frame: LazyFrame, key: Any) -> Any:
        """Return some columns of a frame; None if pandas has to say which."""
        if isinstance(key, slice) and _ends(key) == (None, None, None):
            return frame._over(frame._domain)
        if self.how == "iloc":
            if isinstance(key, slice):
                places = list(range(len(frame._labels)))[key]
                return frame._pick(places, frame._labels[key])
            if type(key) is int and -len(frame._labels) <= key < len(frame._labels):
                from workbench.fusion.capture.series import LazySeries

                key %= len(frame._labels)
                return LazySeries(frame._column(key), frame._labels[key], frame._notes)
            return None
        if isinstance(key, slice) or not frame._labels.is_unique:
            return None
        if isinstance(key, list):
            try:
                if any(type(each) is bool for each in key) or not all(each in frame._labels for each in key):
                    return None
            except TypeError:
                return None
            return frame_item(frame, key)
        try:
            return frame_item(frame, key) if key in frame._labels else None
        except TypeError:
            return None

    def __setitem__(self, key: Any, value: Any) -> None:
        from workbench.fusion.capture.writes import set_frame_rows

        set_frame_rows(self.lazy, key, value, self.how)

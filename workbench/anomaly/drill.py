"""The rows behind an answer: which they are, in input order, and how the metric is spread over them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.anomaly import histogram
from workbench.anomaly.data import changed
from workbench.anomaly.table import free_name
from workbench.engine.errors import WorkbenchError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from workbench.anomaly.answer import Answer, RowsAccess
    from workbench.anomaly.conditions import Conditions

__all__ = ["LocalRows", "access"]


def access(answer: Answer) -> RowsAccess:
    """Return what gives the rows behind an answer."""
    if answer.access is None:
        if answer.marked is not None:
            from workbench.anomaly.drill_dask import DaskRows

            answer.access = DaskRows(answer)
        elif answer.rows is None:
            raise WorkbenchError("The rows behind this answer are not at hand.", "Ask again on the table itself.")
        else:
            answer.access = LocalRows(answer)
    return answer.access


class LocalRows:
    """Rows of a table in this process."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        assert answer.rows is not None
        self.data = answer.rows

    def outliers(self) -> pd.DataFrame:
        """Return the outlier rows in input order: all source columns, and `score`."""
        self._check_unchanged()
        places = np.flatnonzero(self._outlier)
        frame = self.data.take(places)
        return _with(frame, {"score": self._score[places]})

    def rows(self, conditions: Conditions, limit: int | None = None) -> pd.DataFrame:
        """Return the rows that match, in input order: all source columns, `outlier` and `score`."""
        self._check_unchanged()
        places = np.flatnonzero(self.match(conditions))[: limit if limit is None else max(0, limit)]
        frame = self.data.take(places)
        return _with(frame, {"outlier": self._outlier[places], "score": self._score[places]})

    def histogram(self, conditions: Conditions | None = None) -> pd.DataFrame:
        """Return `left, right, rows, outliers, selected` of what is measured."""
        return self._histogram(None if conditions is None else self.match(conditions))

    def drill(self, many: Sequence[Conditions], limit: int) -> list[tuple[pd.DataFrame, pd.DataFrame]]:
        """Return the first rows and the histogram of each."""
        places, histograms = [], []
        for conditions in many:
            chosen = self.match(conditions)
            places.append(np.flatnonzero(chosen)[:limit])
            histograms.append(self._histogram(chosen))
        if not places:
            return []
        every = np.concatenate(places)  # taking rows is dear for text: once for all
        frame = _with(self.data.take(every), {"outlier": self._outlier[every], "score": self._score[every]})
        ends = np.cumsum([len(part) for part in places])
        parts = [frame.iloc[end - len(part) : end] for part, end in zip(places, ends, strict=True)]
        return list(zip(parts, histograms, strict=True))

    def match(self, conditions: Conditions) -> NDArray[np.bool_]:
        """Return which rows of the source match and were counted."""
        from workbench.anomaly.conditions import mask

        codes = self._codes(conditions)
        if codes is None:
            found = mask(self.data, conditions)
            return found if self._used is None else found & self._used
        inside: NDArray[np.bool_] | None = None
        for column, code in codes:
            part = column == code
            inside = part if inside is None else inside & part
        assert inside is not None
        if self._used is None or len(inside) == len(self._used):
            return inside if self._used is None else inside & self._used
        full = np.zeros(len(self._used), bool)
        full[self._used] = inside
        return full

    @cached_property
    def values(self) -> NDArray[np.float64] | None:
        """What is measured, one a row of the source; None if nothing is."""
        if self.answer.measured is not None:
            return np.asarray(self.answer.measured(), dtype=np.float64)
        metric = self.answer.metric
        return self.data.numbers(metric) if isinstance(metric, str) and metric in self.data.schema else None

    # ------------------------------------------------------------------------------------------------------- private

    def _check_unchanged(self) -> None:
        """Raise if rows were added to the table or taken from it since it was asked."""
        now, before = self.data.n_rows, len(self._outlier)
        if now != before:
            raise changed(self.data.name, before, now)

    def _histogram(self, chosen: NDArray[np.bool_] | None) -> pd.DataFrame:
        weights = self.answer.weights
        dtype = "int64" if weights is None else "float64"
        if self._edges is None or self._bins is None:
            return histogram.frame_of(None, [], dtype)
        every, marked = self._all_counts
        picked = np.zeros(histogram.BINS, np.int64)
        if chosen is not None:
            part = self._bins[chosen]
            (picked,) = histogram.bin_counts(part, [None if weights is None else weights[chosen]])
        return histogram.frame_of(self._edges, [every, marked, picked], dtype)

    def _codes(self, conditions: Conditions) -> list[tuple[np.ndarray, int]] | None:
        """Return the codes to look for in each column, or None where the codes are not kept."""
        columns = {column.name: column for column in self.answer.columns}
        n = len(self._used) if self._used is not None else self.data.n_rows
        used = n if self._used is None else int(np.count_nonzero(self._used))
        found = []
        for name, value in conditions:
            column = columns.get(name)
            if column is None or len(column.codes) not in (n, used):
                return None
            code = self._code_of(name).get(_key(value))
            if code is None:
                return None
            found.append((column.codes, code))
        return found or None

    def _code_of(self, name: str) -> dict[Any, int]:
        """Return the code of each value that an explanation has in this column."""
        if name not in self._known:
            from workbench.anomaly.table import codes_at

            place = self.answer.by.index(name)
            codes = self.answer.columns[place]
            kept = np.unique(codes_at(self.answer)[:, place])
            self._known[name] = {_key(codes.python(int(code))): int(code) for code in kept if code >= 0}
        return self._known[name]

    @cached_property
    def _known(self) -> dict[str, dict[Any, int]]:
        return {}

    @cached_property
    def _used(self) -> NDArray[np.bool_] | None:
        """Which rows of the source were counted; None: all."""
        if self.answer.flags is not None:
            used = self.answer.flags >= 0
        elif self.answer.weights is not None:
            used = ~np.isnan(self.answer.weights)
        else:
            return None
        return None if used.all() else used

    @cached_property
    def _outlier(self) -> NDArray[np.bool_]:
        if self.answer.flags is not None:
            return self.answer.flags == 1
        if self.answer.outlier_weights is not None and self.answer.weights is not None:
            # A row that stands for many is called an outlier if most of those are.
            return np.nan_to_num(self.answer.outlier_weights) * 2 > np.nan_to_num(self.answer.weights)
        return np.zeros(self.data.n_rows, bool)

    @cached_property
    def _score(self) -> NDArray[np.float64]:
        if self.answer.scores is None:
            return np.full(self.data.n_rows, np.nan)
        return np.asarray(self.answer.scores(), dtype=np.float64)

    @cached_property
    def _edges(self) -> NDArray[np.float64] | None:
        return None if self.values is None else histogram.edges_of(self.values, self.answer.weights)

    @cached_property
    def _bins(self) -> NDArray[np.uint8] | None:
        return None if self.values is None or self._edges is None else histogram.bins_of(self.values, self._edges)

    @cached_property
    def _all_counts(self) -> list[NDArray[Any]]:
        assert self._bins is not None
        weights, shares = self.answer.weights, self.answer.outlier_weights
        if weights is None:
            return histogram.bin_counts(self._bins, [None, self._outlier], self._used)
        outliers = np.where(self._outlier, weights, 0.0) if shares is None else shares
        return histogram.bin_counts(self._bins, [weights, outliers], self._used)


def _with(frame: pd.DataFrame, more: dict[str, Any]) -> pd.DataFrame:
    """Add columns; a name that is taken gets `_`."""
    taken = set(frame.columns)
    frame = frame.copy(deep=False)
    for name, values in more.items():
        name = free_name(name, taken)
        taken.add(name)
        frame[name] = values
    return frame


def _key(value: Any) -> Any:
    """Return a value as a key that tells 1, 1.0 and True apart."""
    return (type(value).__name__, value)

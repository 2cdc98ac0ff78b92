"""The rows behind an answer on Dask: as the frame's own lazy operations, a partition at a time."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.anomaly import histogram
from workbench.anomaly.answer import FLAG, SCORE
from workbench.anomaly.conditions import to_series
from workbench.anomaly.table import free_name

if TYPE_CHECKING:
    import pandas as pd

    from workbench.anomaly.answer import Answer
    from workbench.anomaly.conditions import Conditions

__all__ = ["DaskRows"]


class DaskRows:
    """Rows of a Dask DataFrame that has the columns `FLAG` and `SCORE` beside the source's own."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        assert answer.marked is not None
        self.frame = answer.marked()

    def outliers(self) -> Any:
        """Return the outlier rows in input order, as a Dask frame: all source columns, and `score`."""
        found = self.frame[self.frame[FLAG] == 1]
        return found.drop(columns=[FLAG]).rename(columns={SCORE: self._free("score")})

    def rows(self, conditions: Conditions, limit: int | None = None) -> pd.DataFrame:
        """Return the rows that match, in input order: all source columns, `outlier` and `score`."""
        matching = self.frame[to_series(self.frame, conditions) & (self.frame[FLAG] >= 0)]
        found = matching.compute() if limit is None else _head(matching, limit)
        found = found.reset_index(drop=True)
        flags, score = found.pop(FLAG), found.pop(SCORE)
        found[self._free("outlier")] = flags.to_numpy() == 1
        found[self._free("score")] = score.to_numpy(dtype=np.float64)
        return found

    def histogram(self, conditions: Conditions | None = None) -> pd.DataFrame:
        """Return `left, right, rows, outliers, selected` of the metric, or of the score of several."""
        column = self.answer.metric if isinstance(self.answer.metric, str) else SCORE if self.answer.metric else None
        if column is None or self._edges is None:
            return histogram.frame_of(None, [])
        parts = self.frame.map_partitions(
            _counts, column, self._edges, conditions, meta=_counts(self.frame._meta, column, self._edges, conditions)
        )
        total = parts.groupby("bin").sum().compute().sort_index()
        return histogram.frame_of(self._edges, [total[name].to_numpy() for name in ("rows", "outliers", "selected")])

    @cached_property
    def _edges(self) -> Any:
        column = self.answer.metric if isinstance(self.answer.metric, str) else SCORE
        # One column in memory: 8 bytes a row, once.
        return histogram.edges_of(self.frame[column].compute().to_numpy(dtype=np.float64, na_value=np.nan))

    def _free(self, name: str) -> str:
        return free_name(name, set(self.frame.columns) - {FLAG, SCORE})


def _counts(part: pd.DataFrame, column: str, edges: np.ndarray, conditions: Conditions | None) -> pd.DataFrame:
    import pandas as pd

    values, flags = part[column].to_numpy(dtype=np.float64, na_value=np.nan), part[FLAG].to_numpy()
    chosen = np.zeros(len(part), bool)
    if conditions is not None:
        chosen = to_series(part, conditions).fillna(False).to_numpy(dtype=bool)
    counts = histogram.bin_counts(values, edges, [None, flags == 1, chosen], flags >= 0)
    names = ("rows", "outliers", "selected")
    return pd.DataFrame({"bin": np.arange(histogram.BINS), **dict(zip(names, counts, strict=True))})


def _head(frame: Any, limit: int) -> pd.DataFrame:
    """Return the first rows of all partitions together."""
    if limit <= 0:
        return frame._meta.copy()
    return frame.head(limit, npartitions=-1, compute=True)

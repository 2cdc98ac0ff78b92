"""The rows behind an answer on Dask: as the frame's own lazy operations, a partition at a time."""

from __future__ import annotations

from collections.abc import Sequence
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

    @property
    def measured_name(self) -> str:
        """What the histogram is about."""
        return self.answer.metric if isinstance(self.answer.metric, str) else "score"

    def outliers(self) -> Any:
        """Return the outlier rows in input order, as a Dask frame: all source columns, and `score`."""
        found = self.frame[self.frame[FLAG] == 1]
        return found.drop(columns=[FLAG]).rename(columns={SCORE: self._free("score")})

    def rows(self, conditions: Conditions, limit: int | None = None) -> pd.DataFrame:
        """Return the rows that match, in input order: all source columns, `outlier` and `score`."""
        return self._named(self._matching(conditions, limit).compute())

    def histogram(self, conditions: Conditions | None = None) -> pd.DataFrame:
        """Return `left, right, rows, outliers, selected` of the metric, or of the score of several."""
        if self._edges is None:
            return histogram.frame_of(None, [])
        return self._framed(self._counted(conditions).compute())

    def drill(self, many: Sequence[Conditions], limit: int) -> list[tuple[pd.DataFrame, pd.DataFrame]]:
        """Return the first rows and the histogram of each, in one pass."""
        import dask

        rows = [self._matching(conditions, limit) for conditions in many]
        counts = [] if self._edges is None else [self._counted(conditions) for conditions in many]
        done = dask.compute(*rows, *counts)
        frames = [self._named(frame) for frame in done[: len(rows)]]
        histograms = [self._framed(frame) for frame in done[len(rows) :]] or [histogram.frame_of(None, [])] * len(rows)
        return list(zip(frames, histograms, strict=True))

    # ------------------------------------------------------------------------------------------------------- private

    def _matching(self, conditions: Conditions, limit: int | None) -> Any:
        found = self.frame[to_series(self.frame, conditions) & (self.frame[FLAG] >= 0)]
        return found if limit is None else found.head(limit, npartitions=-1, compute=False)

    def _named(self, frame: pd.DataFrame) -> pd.DataFrame:
        frame = frame.reset_index(drop=True)
        flags, score = frame.pop(FLAG), frame.pop(SCORE)
        frame[self._free("outlier")] = flags.to_numpy() == 1
        frame[self._free("score")] = score.to_numpy(dtype=np.float64)
        return frame

    def _counted(self, conditions: Conditions | None) -> Any:
        meta = _counts(self.frame._meta, self._column, self._edges, conditions)
        parts = self.frame.map_partitions(_counts, self._column, self._edges, conditions, meta=meta)
        return parts.groupby("bin").sum()

    def _framed(self, total: pd.DataFrame) -> pd.DataFrame:
        names = ("rows", "outliers", "selected")
        total = total.sort_index()
        return histogram.frame_of(self._edges, [total[name].to_numpy() for name in names])

    @property
    def _column(self) -> str:
        return self.answer.metric if isinstance(self.answer.metric, str) else SCORE

    @cached_property
    def _edges(self) -> Any:
        if self.answer.metric is None:
            return None
        import pandas as pd

        meta = pd.DataFrame({"part": pd.Series(dtype=object)})
        told = self.frame[[self._column]].map_partitions(_tails, self._column, meta=meta, enforce_metadata=False)
        points = histogram.points_of(told.compute()["part"].tolist())
        if points is not None:
            return histogram.between(*points)
        # Parts that differ much: one column in memory, 8 bytes a row, once.
        values = self.frame[self._column].compute()
        return histogram.edges_of(values.to_numpy(dtype=np.float64, na_value=np.nan))

    def _free(self, name: str) -> str:
        return free_name(name, set(self.frame.columns) - {FLAG, SCORE})


def _counts(part: pd.DataFrame, column: str, edges: np.ndarray, conditions: Conditions | None) -> pd.DataFrame:
    import pandas as pd

    values, flags = part[column].to_numpy(dtype=np.float64, na_value=np.nan), part[FLAG].to_numpy()
    chosen = np.zeros(len(part), bool)
    if conditions is not None:
        chosen = to_series(part, conditions).fillna(False).to_numpy(dtype=bool)
    counts = histogram.bin_counts(histogram.bins_of(values, edges), [None, flags == 1, chosen], flags >= 0)
    names = ("rows", "outliers", "selected")
    return pd.DataFrame({"bin": np.arange(histogram.BINS), **dict(zip(names, counts, strict=True))})


def _tails(part: pd.DataFrame, column: str) -> pd.DataFrame:
    import pandas as pd

    found = histogram.tails(part[column].to_numpy(dtype=np.float64, na_value=np.nan))
    return pd.DataFrame({"part": pd.Series([found], dtype=object)})

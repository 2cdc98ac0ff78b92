"""The rows behind an answer whose table is in parts: a Dask frame with their marks and scores."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.anomaly.answer import FLAG, SCORE
from workbench.anomaly.conditions import to_series

if TYPE_CHECKING:
    import pandas as pd

    from workbench.anomaly.conditions import Conditions
    from workbench.anomaly.dask_passes import PartPasses
    from workbench.anomaly.data import Data, Part
    from workbench.anomaly.marking import Marked
    from workbench.anomaly.part_tasks import Marks
    from workbench.anomaly.scorers import Scored

__all__ = ["MarkedParts", "Matching", "PathRows"]


class MarkedParts:
    """How the rows of a table in parts were marked.

    Parameters
    ----------
    data : Data
    parts : sequence of Part
    marks : Marks
        What all parts need to mark their rows.
    given : sequence, optional
        What each part alone needs: its own model, or packed bits and their number.
    scored : Scored, optional
    passes : PartPasses, optional
        Of the score.
    lengths : sequence of int
        Rows of each part.
    marked : Marked, optional
        Where all rows were marked in this process.
    """

    def __init__(
        self,
        data: Data,
        parts: Sequence[Part],
        marks: Marks,
        given: Sequence[Any] | None,
        scored: Scored | None,
        passes: PartPasses | None,
        lengths: Sequence[int],
        marked: Marked | None,
    ) -> None:
        self.data, self.parts, self.marks, self.given = data, list(parts), marks, given
        self.scored, self.passes, self.lengths, self.marked = scored, passes, list(lengths), marked

    def frame(self) -> Any:
        """Return the source as a Dask DataFrame with the further columns `FLAG` and `SCORE`."""
        import dask.dataframe as dd
        from dask.core import flatten

        source = self.source().optimize()
        meta = source._meta.assign(**{FLAG: np.zeros(0, np.int8), SCORE: np.zeros(0)})
        # As a graph of its own: Dask then knows that filters made from this frame fit it, partition by partition.
        name = f"workbench-marked-{uuid.uuid4().hex}"
        graph = dict(source.__dask_graph__())
        keys = [(name, number) for number in range(len(self.parts))]
        for key, before, about in zip(keys, flatten(source.__dask_keys__()), self._about(), strict=True):
            graph[key] = (partial(_marked, about=about, marks=self.marks), before)
        return dd.from_graph(graph, meta, source.divisions, keys, name)

    def source(self) -> Any:
        """Return the table as a Dask DataFrame, a partition a part."""
        from workbench.anomaly.parted_files import PartedFiles

        return self.data.frame() if isinstance(self.data, PartedFiles) else self.data.source

    # ------------------------------------------------------------------------------------------------------- private

    def _about(self) -> list[Any]:
        """Return for each part what it needs: None, packed bits, its own model, or flags and scores."""
        if self.marked is not None:
            scores = np.full(sum(self.lengths), np.nan) if self.marked.scores is None else self.marked.scores()
            flags = self.marked.source_flags() if self.marked.whole else self._mostly()
            ends = np.cumsum(self.lengths)[:-1]
            return list(zip(np.split(flags, ends), np.split(scores, ends), strict=True))
        if self.given is not None:
            return list(self.given)
        if self.scored is not None and hasattr(self.scored.model, "bind"):
            return self._percentiles()
        return [None] * len(self.parts)

    def _mostly(self) -> np.ndarray:
        """Return flags of rows that stand for many: an outlier is one of whose rows most are."""
        assert self.marked is not None
        assert self.marked.weights is not None
        assert self.marked.outlier_weights is not None
        flags = np.full(sum(self.lengths), -1, np.int8)
        used = slice(None) if self.marked.used is None else self.marked.used
        flags[used] = self.marked.outlier_weights * 2 > self.marked.weights
        return flags

    def _percentiles(self) -> list[Any]:
        """Return models that know the score of each row: a percentile looks at all rows."""
        from workbench.anomaly.estimators import percentile
        from workbench.anomaly.scorers import RowScores

        assert self.passes is not None
        assert self.scored is not None
        ranks = percentile(self.passes.values().reshape(-1))
        ends = np.cumsum([0, *(survey.rows for survey in self.passes.surveys)]).tolist()
        return [(self.scored.model, RowScores(ranks[a:b], np.inf)) for a, b in pairwise(ends)]


class PathRows:
    """The rows behind an answer about files: what `.outliers` gives is a pandas frame, as for files in one process."""

    def __init__(self, rows: MarkedParts) -> None:
        self._rows = rows
        self._access: Any = None

    def bind(self, answer: Any) -> PathRows:
        """Take the answer whose rows these are."""
        self._answer = answer
        return self

    def outliers(self) -> pd.DataFrame:
        """Return the outlier rows in input order: all source columns, and the score last."""
        return self._dask().outliers().compute().reset_index(drop=True)

    def rows(self, conditions: Conditions, limit: int | None = None) -> pd.DataFrame:
        """Return the rows that match, in input order: all source columns, `outlier` and `score`."""
        return self._dask().rows(conditions, limit)

    def histogram(self, conditions: Conditions | None = None) -> pd.DataFrame:
        """Return `left, right, rows, outliers, selected`."""
        return self._dask().histogram(conditions)

    def _dask(self) -> Any:
        if self._access is None:
            from workbench.anomaly.drill_dask import DaskRows

            self._access = DaskRows(self._answer)
        return self._access


class Matching:
    """Filters for a Dask frame: which rows match, as a bool Series of Dask.

    Parameters
    ----------
    source : dask.dataframe.DataFrame
    metrics : sequence of str
        Rows without one of these were left out, and match nothing.
    """

    def __init__(self, source: Any, metrics: Sequence[str]) -> None:
        self.source, self.metrics = source, tuple(metrics)

    def __call__(self, conditions: Conditions) -> Any:
        """Return the filter of an explanation."""
        # One task a partition: a filter made of Dask's own operations may be taken apart by its optimiser, which then
        # gives the filter's values in place of the rows (Dask 2026.8, where its last operation is `astype`).
        return self.source.map_partitions(_matches, conditions, self.metrics, meta=(None, bool))


# ------------------------------------------------------------------------------------------------------ on a worker


def _matches(frame: pd.DataFrame, conditions: Conditions, metrics: tuple[str, ...]) -> pd.Series:
    """Return which rows of a partition match."""
    found = to_series(frame, conditions)
    for name in metrics:
        found &= frame[name].notna()
    return found


def _marked(frame: pd.DataFrame, about: Any, marks: Marks) -> pd.DataFrame:
    """Return a partition with its marks and scores."""
    flags, scores = part_marks(frame, marks, about)
    return frame.assign(**{FLAG: flags, SCORE: scores})


def part_marks(frame: pd.DataFrame, marks: Marks, given: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the flag (int8, -1: left out) and score of each row of a partition."""
    if isinstance(given, tuple) and isinstance(given[1], np.ndarray):
        return given[0].astype(np.int8), given[1]
    import pyarrow as pa

    from workbench.anomaly.dask_parts import metric_rows
    from workbench.anomaly.data import TablePart
    from workbench.anomaly.part_tasks import marked

    part = TablePart(0, len(frame), pa.Table.from_pandas(frame, preserve_index=False))
    scorer = None
    if isinstance(given, tuple) and not isinstance(given[1], int):
        given, scorer = given
    used, chosen = marked(part, None, marks, given)
    flags = np.full(len(frame), -1, np.int8)
    scores = np.full(len(frame), np.nan)
    where = slice(None) if used is None else used
    flags[where] = chosen
    model = scorer or (given if given is not None and not isinstance(given, tuple) else marks.model)
    if model is not None and marks.metrics:
        x = metric_rows(part, None, marks.metrics)
        scores[where] = model.score(x if used is None else x[used])
    return flags, scores

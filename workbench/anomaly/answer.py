"""`Answer`: all that a question has computed, plain; `results.Explanations` is what a person sees of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from workbench.anomaly.conditions import Conditions
    from workbench.anomaly.explain import Found
    from workbench.anomaly.frames import Codes, Data
    from workbench.anomaly.results import Explanations
    from workbench.anomaly.score import Cutoff
    from workbench.engine.plan import Plan

__all__ = ["FLAG", "SCORE", "Answer", "RowsAccess"]

#: columns of `Answer.marked()`: int8 (1 outlier, 0 inlier, -1 left out) and float64
FLAG, SCORE = "__workbench_flag__", "__workbench_score__"


class RowsAccess(Protocol):
    """Where the rows behind an explanation come from; `drill.py` holds those in process and on Dask."""

    def outliers(self) -> Any:
        """Return the outlier rows in input order: all source columns, and the score last."""

    def rows(self, conditions: Conditions, limit: int | None) -> pd.DataFrame:
        """Return the rows that match, in input order: all source columns, `outlier` and `score`."""

    def histogram(self, conditions: Conditions | None) -> pd.DataFrame:
        """Return `left, right, rows, outliers, selected`; no rows where nothing was measured."""

    def drill(self, many: Sequence[Conditions], limit: int) -> list[tuple[pd.DataFrame, pd.DataFrame]]:
        """Return the first rows and the histogram of each, in one pass over the source."""


@dataclass(eq=False)
class Answer:
    """What was found, and how to get at the rows behind it.

    Attributes
    ----------
    columns : tuple of Codes
        Names and values of the `by` columns, in order; their codes may be emptied.
    found : Found
        The explanations, unranked.
    order : int array
        Positions in `found.answers`, best first (also a part of them: SQL's WHERE and LIMIT).
    compare : str
        Name of the compare metric.
    metric : str, tuple of str or None
        The metric column or columns.
    n_rows, n_outliers : int or float
        N and O; floats where rows are weighted.
    n_left_out : int
        Rows without a metric.
    cutoff : Cutoff, optional
        None stands for all NaN.
    flags : int8 array (rows of the source,), optional
        1 outlier, 0 inlier, -1 left out; None where rows carry fractions or are elsewhere.
    scores : callable, optional
        Gives the float64 score of each row of the source, NaN where there is none.
    notes : sequence of str
        All that has to be said, in order.
    spec : mapping
        The call as JSON can hold it.
    plan : Plan, optional
    seconds : float
        How long it took.
    rows : Data, optional
        The source.
    rerun : callable, optional
        `rerun(conditions, keep, changes)` asks again on the rows that match (`keep`) or on the others; `changes` are
        entries of the call to replace.
    partial : bool
        Whether the search was stopped before its end.
    weighted : bool
        Whether counts are sums of weights, shown as float64.
    name : str
        The table's name where there is no `rows`.
    marked_by : str
        What marked the outliers, for the header, where it is not a cutoff: `usage > 500`.
    measured : callable, optional
        Values that the cutoff stands on where these are not the metric column itself: residuals, several metrics'
        scores, means of a cube; float64, one a row of the source. `measured_name` says what they are.
    weights, outlier_weights : float64 arrays, optional
        Of each row of the source, where rows are weighted.
    marked : callable, optional
        On Dask: gives the source as a Dask DataFrame with the further columns `FLAG` and `SCORE`.
    access : RowsAccess, optional
        In place of the one that `drill.access` would choose.
    native : callable, optional
        `native(conditions)` in place of `rows.native`: what `.filter(i)` gives.
    sql_table : bool
        Whether the table has the columns of SQL's `SELECT *` over DIFF.
    since : int array, optional
        Streams: the first pane whose rows are counted, for each of `found.answers`.
    sparks : sequence, optional
        Streams: the value in each pane, for each of `found.answers`; None where a pane had none.
    """

    columns: tuple[Codes, ...]
    found: Found
    order: np.ndarray
    compare: str
    metric: str | tuple[str, ...] | None
    n_rows: int | float
    n_outliers: int | float
    n_left_out: int = 0
    cutoff: Cutoff | None = None
    flags: np.ndarray | None = None
    scores: Callable[[], np.ndarray] | None = None
    notes: Sequence[str] = ()
    spec: Mapping[str, Any] = field(default_factory=dict)
    plan: Plan | None = None
    seconds: float = 0.0
    rows: Data | None = None
    rerun: Callable[[Conditions, bool, dict[str, Any]], Explanations] | None = None
    partial: bool = False
    weighted: bool = False
    name: str = ""
    marked_by: str = ""
    measured: Callable[[], np.ndarray] | None = None
    measured_name: str = ""
    weights: np.ndarray | None = None
    outlier_weights: np.ndarray | None = None
    marked: Callable[[], Any] | None = None
    access: RowsAccess | None = None
    native: Callable[[Conditions], Any] | None = None
    sql_table: bool = False
    since: np.ndarray | None = None
    sparks: Sequence[Sequence[float | None]] | None = None

    @property
    def by(self) -> tuple[str, ...]:
        """Names of the `by` columns."""
        return tuple(column.name for column in self.columns)

"""Which rows are outliers: by a score of the metrics, by a condition, by labels, or in shares for a cube."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.anomaly import remarks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.anomaly.frames import Data
    from workbench.anomaly.language import Request
    from workbench.anomaly.passes import Passes
    from workbench.anomaly.plan import Actuals
    from workbench.anomaly.score import Cutoff, Scored

__all__ = ["MEANS", "Marked", "columns_read", "mark"]

#: compare metrics that read the metric column itself
MEANS = ("mean_shift", "mean_deviation")


@dataclass(eq=False)
class Marked:
    """The rows used, and which of them are outliers.

    Attributes
    ----------
    flags : bool (N,)
        One a used row.
    used : bool (rows of the source,), optional
        None: all of them.
    metric : float64 (N,), optional
        Of the used rows, where the compare metric needs it.
    weights, outlier_weights : float64 (N,), optional
        Of cubes: how many rows each row stands for, and how many of these are outliers.
    whole : bool
        Whether a row is an outlier as a whole or not at all, so that flags say everything.
    spread_of : float64 (N,), optional
        Of cubes: the standard deviation of the metric in each row.
    cutoff : Cutoff, optional
        None: there is none in metric units.
    scores, measured : callable, optional
        Give float64, one a row of the source, NaN where there is none.
    marked_by : str
        What marked the rows, where it is not a cutoff.
    notes : list of str
    """

    flags: NDArray[np.bool_]
    used: NDArray[np.bool_] | None = None
    metric: NDArray[np.float64] | None = None
    weights: NDArray[np.float64] | None = None
    outlier_weights: NDArray[np.float64] | None = None
    whole: bool = True
    spread_of: NDArray[np.float64] | None = None
    cutoff: Cutoff | None = None
    scores: Callable[[], NDArray[np.float64]] | None = None
    measured: Callable[[], NDArray[np.float64]] | None = None
    measured_name: str = ""
    marked_by: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def n_left_out(self) -> int:
        """Rows left out."""
        return 0 if self.used is None else int(len(self.used) - np.count_nonzero(self.used))

    def source_flags(self) -> NDArray[np.int8]:
        """Return 1 (outlier), 0 (inlier), -1 (left out) for each row of the source."""
        if self.used is None:
            return self.flags.view(np.int8)
        full = np.full(len(self.used), -1, np.int8)
        full[self.used] = self.flags
        return full

    def spread(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return values of the used rows as one a row of the source, NaN for the others."""
        if self.used is None:
            return values
        full = np.full(len(self.used), np.nan)
        full[self.used] = values
        return full


def mark(data: Data, request: Request, actuals: Actuals) -> Marked:
    """Mark the rows of data that is in this process."""
    if request.cube is not None:
        return _by_cube(data, request, actuals)
    if request.compare == "mean_deviation":
        return _every(data, request, actuals)
    if request.where is not None or request.labels is not None:
        return _given(data, request, actuals)
    return _by_score(data, request, actuals)


def columns_read(data: Data, request: Request) -> list[str]:
    """Return the columns that marking the rows reads."""
    from workbench.anomaly.cube import columns_of
    from workbench.anomaly.predicate import checked_columns

    score: Any = request.score
    names = [*request.metrics, *(columns_of(request.cube) if request.cube is not None else ())]
    names += [request.labels] if isinstance(request.labels, str) else []
    names += checked_columns(data, request.where) if request.where is not None else []
    names += [score.time] if hasattr(score, "period") else []
    return list(dict.fromkeys(names))


def usable(columns: Sequence[NDArray[np.float64]]) -> NDArray[np.bool_] | None:
    """Return which rows have a number in each column; None if all have."""
    missing: NDArray[np.bool_] | None = None
    for column in columns:
        nan = np.isnan(column)
        missing = nan if missing is None else missing | nan
    return None if missing is None or not missing.any() else ~missing


def chosen(values: Any, used: NDArray[np.bool_] | None) -> Any:
    """Return the entries of the used rows."""
    return values if used is None else values[used]


def _read_metrics(data: Data, names: Sequence[str], actuals: Actuals) -> list[NDArray[np.float64]]:
    with actuals.step("Read"):
        return [data.numbers(name) for name in names]


def _left_out(data: Data, names: Sequence[str], used: NDArray[np.bool_] | None) -> list[str]:
    if used is None:
        return []
    return [remarks.left_out(int(len(used) - np.count_nonzero(used)), len(used), names)]


# ------------------------------------------------------------------------------------------------------------- score


def _by_score(data: Data, request: Request, actuals: Actuals) -> Marked:
    from workbench.anomaly.passes import ArrayPasses

    names = request.metrics
    columns = _read_metrics(data, names, actuals)
    used = usable(columns)
    notes = _left_out(data, names, used)
    x = chosen(columns[0] if len(columns) == 1 else np.column_stack(columns), used)
    if not len(x):
        notes.append(remarks.no_rows(data.name) if not data.n_rows else remarks.no_metric(names))
        return Marked(np.zeros(0, bool), used, notes=notes)
    with actuals.step("Score", rows=len(x)):
        passes = ArrayPasses(x)
        scored = fitted(data, request, passes, used)
    with actuals.step("Label", rows=len(x)):
        flags = np.asarray(scored.model.flags(x), dtype=bool)
    notes += scored.notes
    if not flags.any():
        notes.append(nothing_beyond(request, passes, scored))
    marked = Marked(flags, used, cutoff=scored.cutoff, notes=notes)
    marked.metric = (x if x.ndim == 1 else x[:, 0]) if request.compare in MEANS else None
    marked.scores = lambda: marked.spread(np.asarray(scored.model.score(x), dtype=np.float64))
    residuals = getattr(scored.model, "residuals", None)
    if len(names) > 1:
        marked.measured, marked.measured_name = marked.scores, "score"
    elif residuals is not None:  # the cutoff is one of what trend and season leave
        marked.measured, marked.measured_name = (lambda: marked.spread(residuals)), f"residual of {names[0]}"
    return marked


def fitted(data: Data, request: Request, passes: Passes, used: NDArray[np.bool_] | None) -> Scored:
    """Fit the score to the rows used."""
    import pyarrow as pa

    from workbench.anomaly.score import fit

    score: Any = request.score
    time = None
    if hasattr(score, "period"):  # a Seasonal
        time = data.column(score.time)
        if used is not None:
            time = time.filter(pa.array(used))
    return fit(
        passes, score=score, top=request.top, tail=request.tail,  # type: ignore[arg-type]
        threshold=request.threshold, seed=request.seed, metrics=request.metrics, time=time,
    )  # fmt: skip


def nothing_beyond(request: Request, passes: Passes, scored: Scored) -> str:
    """Return the note for a score that marks nothing."""
    from workbench.anomaly.passes import Identity, ScoreOf

    if not isinstance(request.score, str):
        scores = scored.model.score(np.broadcast_to(0.0, passes.n))  # known row by row
        scores = scores[~np.isnan(scores)]
        if not len(scores):
            return f"No row has a score. {remarks.ADVICE}"
        low, high = float(scores.min()), float(scores.max())
        counts = [int(np.count_nonzero(scores == low)), int(np.count_nonzero(scores == high))]
        return remarks.ties(remarks.Edges(low, high, *counts), "high", math.nan, "score")
    by_score = passes.p > 1 or request.threshold is not None
    transform: Any = ScoreOf(scored.model) if by_score else Identity()
    low, high = passes.order(transform, [0, passes.n - 1])
    at_low = at_high = passes.n
    if low < high:
        below, not_high = passes.ranks(np.array([np.nextafter(low, np.inf), high]), transform).tolist()
        at_low, at_high = below, passes.n - not_high
    edges = remarks.Edges(low, high, at_low, at_high)
    if by_score:
        return remarks.ties(edges, "high", math.nan, "score")
    cutoff = scored.cutoff
    return remarks.ties(
        edges, request.tail, math.nan if request.score == "percentile" else (cutoff.low + cutoff.high) / 2
    )


# ------------------------------------------------------------------------------------------------- where, labels, all


def _given(data: Data, request: Request, actuals: Actuals) -> Marked:
    with actuals.step("Label", rows=data.n_rows):
        flags = _flags_given(data, request)
    marked = Marked(flags, marked_by=request.where or _labels_name(request.labels))
    if request.compare in MEANS and request.metrics:
        (metric,) = _read_metrics(data, request.metrics[:1], actuals)
        marked.used = usable([metric])
        marked.flags, marked.metric = chosen(flags, marked.used), chosen(metric, marked.used)
        marked.notes += _left_out(data, request.metrics[:1], marked.used)
    if not marked.flags.any():
        marked.notes.append(_nothing_given(data, request))
    return marked


def _flags_given(data: Data, request: Request) -> NDArray[np.bool_]:
    if request.where is not None:
        return np.asarray(data.where(request.where), dtype=bool)
    from workbench.anomaly.labels import marks_of

    return np.asarray(marks_of(data, request.labels), dtype=bool)


def _labels_name(labels: Any) -> str:
    return f"labels {labels}" if isinstance(labels, str) else "labels"


def _nothing_given(data: Data, request: Request) -> str:
    if not data.n_rows:
        return remarks.no_rows(data.name)
    if request.where is None:
        return remarks.NO_LABEL
    return remarks.no_row_satisfies(request.where, extreme(data, request.where))


def extreme(data: Data, condition: str) -> str:
    """Return `largest usage is 240.5` for a condition such as `usage > 500`; empty for any other."""
    compared = simple_comparison(condition)
    if compared is None or compared[0] not in data.schema:
        return ""
    column, largest = compared
    try:
        values = data.numbers(column)
    except Exception:  # text compared with a number: there is no largest one
        return ""
    values = values[~np.isnan(values)]
    return extreme_text(column, largest, float(values.max() if largest else values.min()) if len(values) else None)


def extreme_text(column: str, largest: bool, value: float | None) -> str:
    """Return `largest usage is 240.5`; None: the column has no number."""
    if value is None:
        return f"{column} is null in every row"
    return f"{'largest' if largest else 'smallest'} {column} is {remarks.number(value)}"


def simple_comparison(condition: str) -> tuple[str, bool] | None:
    """Return the column of `column > number` (True) or `column < number` (False), turned round as needed."""
    import sqlglot
    from sqlglot import expressions as nodes

    try:
        tree = sqlglot.parse_one(condition, dialect="duckdb")
    except sqlglot.errors.SqlglotError:
        return None
    larger = isinstance(tree, (nodes.GT, nodes.GTE))
    if not larger and not isinstance(tree, (nodes.LT, nodes.LTE)):
        return None
    left, right = tree.this, tree.expression
    if isinstance(left, nodes.Column) and not isinstance(right, nodes.Column):
        return left.name, larger
    if isinstance(right, nodes.Column) and not isinstance(left, nodes.Column):
        return right.name, not larger
    return None


def _every(data: Data, request: Request, actuals: Actuals) -> Marked:
    columns = _read_metrics(data, request.metrics[:1], actuals)
    used = usable(columns)
    metric = chosen(columns[0], used)
    notes = _left_out(data, request.metrics[:1], used)
    if not len(metric):
        notes.append(remarks.no_rows(data.name) if not data.n_rows else remarks.no_metric(request.metrics[:1]))
    return Marked(np.ones(len(metric), bool), used, metric=metric, marked_by="every row", notes=notes)


# -------------------------------------------------------------------------------------------------------------- cube


def _by_cube(data: Data, request: Request, actuals: Actuals) -> Marked:
    from workbench.anomaly.cube import columns_of, expected
    from workbench.anomaly.cube import usable as usable_rows

    cube = request.cube
    assert cube is not None
    names = columns_of(cube)
    columns = dict(zip(names, _read_metrics(data, names, actuals), strict=True))
    means, given = request.compare in MEANS, request.where is not None or request.labels is not None
    every = request.compare == "mean_deviation"
    known = usable_rows(cube, columns, marked=given or every, mean=means)
    used = None if known.all() else known
    columns = {name: chosen(column, used) for name, column in columns.items()}
    marked = Marked(np.zeros(0, bool), used)
    if given and not every:
        marked.marked_by = request.where or _labels_name(request.labels)
    with actuals.step("Label", rows=float(len(known))):
        marks = chosen(_flags_given(data, request), used) if given and not every else None
        found = expected(cube, columns, top=request.top, tail=request.tail, marks=marks, every=every)  # type: ignore[arg-type]
    marked.weights, marked.outlier_weights, marked.cutoff = found.totals, found.outliers, found.cutoff
    marked.flags = marks if marks is not None else found.outliers > 0
    marked.whole = marks is not None or every
    marked.metric = columns[cube.mean] if means and cube.mean is not None else None
    marked.spread_of = columns[cube.std] if means and cube.std is not None else None
    marked.notes += [*_left_out(data, names, used), *found.notes]
    middle = cube.mean or min((cube.quantiles or {}).items(), key=lambda item: abs(item[0] - 0.5), default=(0, None))[1]
    if middle is not None:
        marked.measured, marked.measured_name = (lambda: marked.spread(columns[middle])), middle
    if not marked.flags.any():
        marked.notes.append(_no_cube_outliers(data, request, found.cutoff))
    return marked


def _no_cube_outliers(data: Data, request: Request, cutoff: Cutoff) -> str:
    if not data.n_rows or request.where is not None or request.labels is not None:
        return _nothing_given(data, request)
    beyond = [f"above {remarks.number(cutoff.high)}"] if np.isfinite(cutoff.high) else []
    beyond += [f"below {remarks.number(cutoff.low)}"] if np.isfinite(cutoff.low) else []
    return f"No row is expected {' or '.join(beyond) or 'beyond the cutoff'}. {remarks.ADVICE}"

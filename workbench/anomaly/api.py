"""The functions of `workbench.anomaly` on a table: `outliers`, and the same as a run and as a plan."""

from __future__ import annotations

import contextlib
import inspect
from typing import TYPE_CHECKING, Any

from workbench.engine.errors import Stopped
from workbench.engine.run import Run

if TYPE_CHECKING:
    from types import FrameType

    from workbench.anomaly.execution import Work
    from workbench.anomaly.results import Explanations
    from workbench.engine.plan import Plan

__all__ = ["explain", "outliers", "start_outliers"]

#: seconds that an interrupted call waits for its run to wind up
GRACE = 1.0


def outliers(
    data: Any,
    metric: Any = None,
    by: Any = "*",
    *,
    score: Any = "mad",
    top: float = 0.01,
    tail: str = "both",
    where: str | None = None,
    labels: Any = None,
    min_support: float = 0.01,
    min_ratio: float = 3.0,
    max_combo: int = 3,
    compare: str = "risk_ratio",
    threshold: float | None = None,
    minimal: bool = True,
    max_candidates: int = 2_000_000,
    seed: int = 0,
) -> Explanations:
    """Mark the outlier rows of a table and return what they share.

    Parameters
    ----------
    data : DataFrame, Arrow table, DuckDB relation, path
        pandas, Polars (frame or lazy), Arrow, Dask, a DuckDB relation, or a path or glob to Parquet, CSV, gzipped CSV.
    metric : str, list of str or Cube, optional
        A numeric column; two or more (robust covariance); a `Cube`; None when `where` or `labels` marks the rows.
    by : list or "*"
        Columns to explain with; an item is a name, or `(name, bins)` for equal-count ranges of a numeric column.
    score : str, Seasonal or callable
        "mad", "mcd", "zscore", "rcov", "percentile", a `Seasonal`, or `f(float64 (n, p)) -> (n,)`, larger is worse.
    top : float
        Share of rows marked, 0 < top < 1; with "percentile" the share of each asked tail.
    tail : {"both", "high", "low"}
        For mad, zscore, percentile and Seasonal.
    where : str, optional
        A SQL condition that marks the outliers; it does not filter.
    labels : str, array-like or fitted object, optional
        A column, one entry a row, or an object with `labels_`; not with `where`.
    min_support : float
        Least share of the outliers that carry a combination, inclusive.
    min_ratio : float
        Least value of the compare metric, inclusive.
    max_combo : int
        Most columns in one explanation.
    compare : str
        risk_ratio, global_ratio, prevalence_ratio, prevalence_difference, mean_shift or mean_deviation.
    threshold : float, optional
        A fixed cutoff on the score in place of `top`: outliers have a greater score.
    minimal : bool
        False reports every passing set, also those with a part that passes.
    max_candidates : int
        The search stops before an order with more candidates than this, and says so.
    seed : int
        Of the sample that "mcd" is fitted to.

    Returns
    -------
    Explanations

    Raises
    ------
    WorkbenchError
        For a mistake in the arguments or the data.
    Stopped
        A KeyboardInterrupt, if interrupted; `.result` holds the explanations found until then.
    """
    frame = inspect.currentframe()
    run = start_outliers(
        data, metric, by, score=score, top=top, tail=tail, where=where, labels=labels, min_support=min_support,
        min_ratio=min_ratio, max_combo=max_combo, compare=compare, threshold=threshold, minimal=minimal,
        max_candidates=max_candidates, seed=seed, name=_name_of(data, frame.f_back if frame is not None else None),
    )  # fmt: skip
    return waited(run)


def start_outliers(
    data: Any, metric: Any = None, by: Any = "*", *, name: str | None = None, **options: Any
) -> Run[Explanations]:
    """Check a question and start it; the parameters are those of `outliers`.

    Parameters
    ----------
    name : str, optional
        What messages call the table.

    Returns
    -------
    Run
        Of an `Explanations`. Mistakes are raised here, not by the run; its `partial()` holds the orders finished.
    """
    work = _work(data, metric, by, name, options)
    return Run.start(work, kind="outliers", title=_title(work), unit="orders")


def explain(data: Any, metric: Any = None, by: Any = "*", *, name: str | None = None, **options: Any) -> Plan:
    """Return the plan of a question with its estimates; no row is scored. The parameters are those of `outliers`."""
    from workbench.anomaly.plan import in_tasks, planned

    work = _work(data, metric, by, name, options)
    return planned(work.data, work.request, tasks=in_tasks(work.data))


def waited(run: Run[Explanations]) -> Explanations:
    """Wait for a run; an interrupt stops it and is raised again with what was found."""
    try:
        result = run.result()
    except KeyboardInterrupt:
        run.cancel()
        with contextlib.suppress(KeyboardInterrupt):  # a second interrupt ends the waiting
            run.wait(GRACE)
        if run.state == "finished":
            text = "Stopped as the answer came; nothing is missing from it."
            raise Stopped(text, "The exception's .result holds it.", result=run.result(timeout=0)) from None
        ended = run.state == "cancelled" and run.wait(0)
        raise _stopped(run.result(timeout=0) if ended else run.partial()) from None
    if run.state == "cancelled":
        raise _stopped(result)
    return result


# ----------------------------------------------------------------------------------------------------------- private


def _work(data: Any, metric: Any, by: Any, name: str | None, options: dict[str, Any]) -> Work:
    from workbench.anomaly.execution import Work
    from workbench.anomaly.frames import read
    from workbench.anomaly.language import request
    from workbench.anomaly.plan import in_tasks

    source = read(data, name=name)
    if source.kind == "path" and in_tasks(source):
        from workbench.anomaly.parted_files import PartedFiles

        source = PartedFiles(source)
    return Work(source, request(source, metric, by, **options))


def _title(work: Work) -> str:
    request = work.request
    what = ", ".join(request.metrics) or request.where or "labels"
    return f"{what} in {work.data.name}"[:80]


def _stopped(result: Explanations | None) -> Stopped:
    notes = [] if result is None else list(result.notes)
    found = notes[-1] if notes and notes[-1].startswith("stopped") else "stopped before 1-column explanations"
    hint = "Run it again." if result is None else "The exception's .result holds what was found."
    return Stopped(f"{found[:1].upper()}{found[1:]}.", hint, result=result)


def _name_of(data: Any, frame: FrameType | None) -> str | None:
    """Return the name of the caller's variable that holds the data, for messages; None if none does."""
    if frame is None:
        return None
    for scope in (frame.f_locals, frame.f_globals):
        for name, value in list(scope.items()):
            if value is data and not name.startswith("_"):
                return name
    return None

"""Scores and cutoffs: how far each row lies from the others, and from where on it is an outlier."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.anomaly.estimators import MAD, MCD, RCOV, ZScore, mad_score, normalize, percentile, zscore
from workbench.anomaly.passes import ArrayPasses, Identity, Passes, ScoreOf
from workbench.anomaly.scorers import Cutoff, DistanceModel, ResidualModel, RowScores, Scored, Tail
from workbench.anomaly.single import fit_mad, fit_percentile, fit_zscore
from workbench.engine.errors import WorkbenchError, one_line

if TYPE_CHECKING:
    from workbench.anomaly.seasonal import Seasonal

__all__ = [
    "MAD",
    "MCD",
    "RCOV",
    "Cutoff",
    "Scored",
    "ZScore",
    "fit",
    "mad_score",
    "normalize",
    "percentile",
    "zscore",
]

#: scores of one metric
SINGLE = ("mad", "zscore", "percentile")
#: scores of one metric or several
SEVERAL = ("mcd", "rcov")


def fit(
    passes: Passes,
    *,
    score: str | Seasonal | Callable[[np.ndarray], np.ndarray] = "mad",
    top: float = 0.01,
    tail: Tail = "both",
    threshold: float | None = None,
    seed: int = 0,
    metrics: Sequence[str] = (),
    time: Any = None,
) -> Scored:
    """Fit a score to the rows with a metric, and fix the cutoff.

    Parameters
    ----------
    passes : Passes
        At least one row; no NaN.
    score : str, Seasonal or callable
        "mad", "zscore", "percentile", "mcd", "rcov", a `Seasonal`, or f(float64 (n, p)) -> (n,), larger is worse.
    top : float
        Share of rows beyond the cutoff; with "percentile" of each asked tail.
    tail : {"both", "high", "low"}
        For mad, zscore, percentile and Seasonal.
    threshold : float, optional
        A fixed cutoff on the score in place of `top`.
    seed : int
        Of the sample that mcd is fitted to.
    metrics : sequence of str
        Names, for notes.
    time : array_like of timestamps (n,), optional
        For Seasonal: one a row.

    Returns
    -------
    Scored
    """
    names = tuple(metrics) or tuple(f"x{i}" if passes.p > 1 else "x" for i in range(passes.p))
    if not isinstance(score, str):
        if hasattr(score, "period"):
            return _fit_seasonal(passes, score, top, tail, threshold, names, time)
        return _fit_callable(passes, score, top, threshold)
    if score == "mad" and passes.p > 1:
        scored = _fit_ellipse(passes, "mcd", top, threshold, seed, names)
        note = f"{passes.p} metrics: scored by mcd, since mad takes one."
        return Scored(scored.model, scored.cutoff, (note, *scored.notes))
    if score in SINGLE and passes.p > 1:
        raise WorkbenchError(f"{score} takes one metric; got {passes.p}.", "Use mcd or rcov for several.")
    if score == "mad":
        return fit_mad(passes, top, tail, threshold, names[0])
    if score == "zscore":
        return fit_zscore(passes, top, tail, threshold)
    if score == "percentile":
        return fit_percentile(passes, top, tail, threshold)
    if score in SEVERAL:
        return _fit_ellipse(passes, score, top, threshold, seed, names)
    raise WorkbenchError(f'No score "{score}".', f"Known: {', '.join((*SINGLE, *SEVERAL))}, a Seasonal or a function.")


# several metrics, functions, seasons


def _fit_ellipse(
    passes: Passes, score: str, top: float, threshold: float | None, seed: int, names: Sequence[str]
) -> Scored:
    from workbench.anomaly import mcd

    model, notes = mcd.fit_mcd(passes, seed, names) if score == "mcd" else mcd.fit_rcov(passes, names)
    cut = threshold if threshold is not None else passes.quantiles(ScoreOf(model), [1.0 - top])[0]
    model = model.cut_at(cut)
    low = high = math.nan
    if passes.p == 1:
        reach = cut * math.sqrt(float(model.covariance[0, 0])) if model.kept else cut
        center = float(model.center[0]) if model.kept else math.nan
        low, high = center - reach, center + reach
    return Scored(model, Cutoff(low, high, cut), notes)


def _fit_callable(
    passes: Passes, score: Callable[[np.ndarray], np.ndarray], top: float, threshold: float | None
) -> Scored:
    values = passes.values()
    name = getattr(score, "__name__", None) or type(score).__name__
    try:
        found = np.asarray(score(values))
    except Exception as error:
        raise WorkbenchError(
            f"{name} failed: {one_line(error).removesuffix('.')}.",
            f"It is given a float64 array of shape {values.shape}, to be read only; %tb shows where it failed.",
        ) from error
    if found.shape != (passes.n,):
        size = f"{len(found):,} scores" if found.ndim == 1 else f"an array of shape {found.shape}"
        raise WorkbenchError(f"{name} gave {size} for {passes.n:,} rows.", "Return one float a row; larger is worse.")
    try:
        if found.dtype.kind not in "biufO":
            raise TypeError(f"{found.dtype} is no kind of number that has an order")
        scores = found.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise WorkbenchError(
            f"{name} gave {found.dtype} for scores.", "Return one float a row; larger is worse."
        ) from error
    notes: tuple[str, ...] = ()
    missing = np.isnan(scores)
    if missing.any():
        count = int(np.count_nonzero(missing))
        notes = (f"{name} gave no score for {count:,} row{'s' if count > 1 else ''}; not marked as outliers.",)
    ranked = np.where(missing, -math.inf, scores) if notes else scores
    cut = threshold if threshold is not None else ArrayPasses(ranked).quantiles(Identity(), [1.0 - top])[0]
    return Scored(RowScores(scores, cut), Cutoff(math.nan, math.nan, cut), notes)


def _fit_seasonal(
    passes: Passes, score: Any, top: float, tail: Tail, threshold: float | None, names: Sequence[str], time: Any
) -> Scored:
    from workbench.anomaly.seasonal import residuals

    if passes.p > 1:
        raise WorkbenchError(f"Seasonal takes one metric; got {passes.p}.", "Use mcd or rcov for several.")
    left = residuals(passes.values().reshape(-1), time, score)
    inner = fit_mad(ArrayPasses(left), top, tail, threshold, f"residual of {names[0]}")
    assert isinstance(inner.model, DistanceModel)
    return Scored(ResidualModel(left, inner.model), inner.cutoff, inner.notes)

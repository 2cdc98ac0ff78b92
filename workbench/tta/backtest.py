"""How good projections are: made again at shares of runs whose end is known, beside two ways of extending the curve."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.engine.errors import WorkbenchError
from workbench.tta.crossings import crossing
from workbench.tta.outcomes import COUNTED
from workbench.tta.projection import Earlier, pace
from workbench.tta.record import Record, record_of

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["backtest", "linear", "power"]

#: an answer this far off still counts as near
NEAR = 0.2
#: evaluations that a line, and that a power law needs
LINE, CURVE = 2, 4
#: exponents of the power law that are tried
EXPONENTS = np.geomspace(0.05, 4.0, 60)

_COLUMNS = {
    "method": "str",
    "share": "float64",
    "answered": "float64",
    "n": "float64",
    "median_error": "float64",
    "within_20": "float64",
    "coverage_80": "float64",
}


def backtest(items: Any, *, shares: Sequence[float] = (0.25, 0.5, 0.75, 0.9)) -> pd.DataFrame:
    """Project runs of the past at shares of their length, and compare with when they reached their target.

    Parameters
    ----------
    items : Run, Runs, Entries, or a list of them
        Each counted run is held out in turn; its history is all other runs of the same recipe, metric, target, goal,
        schedule and planned length.
    shares : sequence of float
        Of the planned length, or where there is none of the steps until the last evaluation.

    Returns
    -------
    DataFrame
        `method str` (schedule, linear, power), `share, answered, n, median_error, within_20, coverage_80 float64`.
        `n` counts the runs that at this share had an evaluation and had not reached; `answered` those of which the
        method told a time. Of these, `median_error` is the median of `abs(told - actual) / actual` in seconds from the
        start; `within_20` is the share within 20 %; `coverage_80` that within the band from `low` to `high`, NaN for
        methods without a band. A run that never reaches does so at infinity: only "never" is right.

    Raises
    ------
    WorkbenchError
        For a share that is not between 0 and 1.

    Notes
    -----
    `schedule` is the projection of the tracker. `linear` extends the line through the later half of the evaluations;
    `power` fits `value = a + b * seconds ** -c`. Both are here to be compared with, and nowhere shown to anyone.
    """
    import pandas as pd

    shares = [float(share) for share in shares]
    for share in shares:
        if not 0 < share < 1:
            raise WorkbenchError(f"A share is between 0 and 1, not {share:g}.", "Write shares=(.25, .5, .75).")
    runs = [_Known(record) for record in _records(items) if record.state in COUNTED]
    runs = [run for run in runs if len(run.steps)]
    groups: dict[Any, list[_Known]] = {}
    for run in runs:
        groups.setdefault(run.key, []).append(run)
    methods: dict[str, Callable[[_Known, int], tuple[float, float, float]]] = {
        "schedule": lambda run, seen: _by_schedule(run, seen, groups[run.key]),
        "linear": lambda run, seen: _by_curve(linear, run, seen),
        "power": lambda run, seen: _by_curve(power, run, seen),
    }
    rows = []
    for name, method in methods.items():
        for share in shares:
            open_runs = [(run, seen) for run in runs if (seen := run.seen(share)) and seen <= run.until]
            told = [(*method(run, seen), run.actual) for run, seen in open_runs]
            rows.append({"method": name, "share": share, **_score(told)})
    return pd.DataFrame(rows, columns=list(_COLUMNS)).astype(_COLUMNS)


def linear(seconds: Floats, values: Floats, target: float) -> float:
    """Return when the line through the later half of the evaluations meets the target; NaN if it does not ahead."""
    if len(values) < LINE:
        return math.nan
    since = min(len(values) // 2, len(values) - LINE)
    t, v = seconds[since:], values[since:]
    middle, level = t.mean(), v.mean()
    spread = float(((t - middle) ** 2).sum())
    slope = float(((t - middle) * (v - level)).sum()) / spread if spread > 0 else 0.0
    if slope == 0:
        return math.nan
    at = float(middle + (target - level) / slope)
    return at if math.isfinite(at) and at > seconds[-1] else math.nan


def power(seconds: Floats, values: Floats, target: float) -> float:
    """Return when `a + b * seconds ** -c`, the least squares fit, meets the target; NaN if it does not ahead."""
    later = seconds > 0
    t, v = seconds[later], values[later]
    if len(v) < CURVE or t[0] == t[-1]:
        return math.nan
    tried, best = EXPONENTS, _straight(t / t[-1], v, EXPONENTS)
    for _ in range(3):  # nearer to the best one
        if best is None:
            return math.nan
        tried = best[3] * (tried[1] / tried[0]) ** np.linspace(-1, 1, 21)
        best = _straight(t / t[-1], v, tried)
    if best is None:
        return math.nan
    _, level, slope, exponent = best
    if math.isnan(level) or slope == 0 or (target - level) / slope <= 0:
        return math.nan
    with np.errstate(over="ignore"):
        at = float(t[-1] * np.float64((target - level) / slope) ** (-1 / exponent))
    return at if math.isfinite(at) and at > seconds[-1] else math.nan


# --------------------------------------------------------------------------------------------------------- private


def _straight(t: Floats, v: Floats, exponents: Floats) -> tuple[float, float, float, float] | None:
    """Return (squared error, a, b, c) of the best of `a + b * t ** -c`; for a given c it is a straight line."""
    x = t ** -exponents[:, None]
    gap = x - x.mean(axis=1, keepdims=True)
    spread = (gap**2).sum(axis=1)
    fit = (spread > 0) & np.isfinite(spread)
    if not fit.any():
        return None
    x, gap, spread, exponents = x[fit], gap[fit], spread[fit], exponents[fit]
    slopes = (gap * (v - v.mean())).sum(axis=1) / spread
    levels = v.mean() - slopes * x.mean(axis=1)
    errors = ((v - levels[:, None] - slopes[:, None] * x) ** 2).sum(axis=1)
    at = int(errors.argmin())
    return float(errors[at]), float(levels[at]), float(slopes[at]), float(exponents[at])


class _Known:
    """A run whose end is known."""

    def __init__(self, record: Record) -> None:
        rows = record.evals[record.evals["metric"] == record.metric]
        self.record = record
        self.steps = rows["step"].to_numpy(np.int64)
        self.seconds = rows[f"{record.clock}_s"].to_numpy(np.float64)
        self.values = rows["value"].to_numpy(np.float64)
        self.at = crossing(self.values, record.target, record.goal)
        self.length = record.steps or (int(self.steps[-1]) if len(self.steps) else 0)

    @property
    def key(self) -> tuple[Any, ...]:
        r = self.record
        return r.name, r.metric, r.target, r.goal, r.schedule, r.steps, r.clock

    @property
    def until(self) -> float:
        """Evaluations before the crossing."""
        return math.inf if self.at is None else self.at

    @property
    def actual(self) -> float:
        return math.inf if self.at is None else float(self.seconds[self.at])

    @property
    def past(self) -> tuple[int | None, int, float]:
        """What its history says of it to others."""
        crossed = None if self.at is None else int(self.steps[self.at])
        return crossed, int(self.steps[-1]), pace(self.steps.tolist(), self.seconds.tolist())

    def seen(self, share: float) -> int:
        """Return how many evaluations there were by a share of its length."""
        return int((self.steps <= share * self.length).sum())


def _records(items: Any) -> Iterator[Record]:
    if isinstance(items, Record) or (hasattr(items, "record") and not callable(items.record)):
        yield record_of(items)
    elif callable(getattr(items, "records", None)):  # entries
        for task in items.tasks:
            yield from items.records(task)
    elif isinstance(items, Iterable) and not isinstance(items, str):
        for item in items:
            yield from _records(item)
    else:
        raise WorkbenchError(
            f"backtest takes runs or entries, not {type(items).__name__}.",
            "Pass wb.tta.runs(recipe), or a list of runs.",
        )


def _by_schedule(run: _Known, seen: int, group: list[_Known]) -> tuple[float, float, float]:
    earlier = Earlier((other.past for other in group if other is not run), run.record.steps)
    steps, seconds = run.steps[:seen].tolist(), run.seconds[:seen].tolist()
    told = earlier.project(steps[-1], seconds[-1], pace(steps, seconds))
    return told.low, told.median, told.high


def _by_curve(method: Callable[[Floats, Floats, float], float], run: _Known, seen: int) -> tuple[float, float, float]:
    known = ~np.isnan(run.values[:seen])
    seconds, values = run.seconds[:seen][known], run.values[:seen][known]
    return math.nan, method(seconds, values, run.record.target) if len(values) else math.nan, math.nan


def _score(told: list[tuple[float, float, float, float]]) -> dict[str, float]:
    """Compare (low, median, high) with the actual time of each run."""
    answers = [row for row in told if not math.isnan(row[1])]
    errors = np.array([_error(middle, actual) for _, middle, _, actual in answers])
    inside = [low <= actual <= high for low, _, high, actual in answers if not math.isnan(low)]
    return {
        "answered": len(answers),
        "n": len(told),
        "median_error": float(np.median(errors)) if len(errors) else math.nan,
        "within_20": float((errors <= NEAR).mean()) if len(errors) else math.nan,
        "coverage_80": float(np.mean(inside)) if inside else math.nan,
    }


def _error(told: float, actual: float) -> float:
    if math.isinf(told) or math.isinf(actual):
        return 0.0 if told == actual else math.inf
    return abs(told - actual) / actual if actual else math.inf

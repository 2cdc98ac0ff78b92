"""Who is faster, and does that depend on the threshold? Concordance of rankings, and `sensitivity` over thresholds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from workbench.engine.errors import WorkbenchError, suggest

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

__all__ = ["Concordance", "concordance", "labels", "sensitivity", "sensitivity_table", "units_of"]

#: pairs compared at once
_BLOCK = 1 << 20


class Concordance(NamedTuple):
    """How two rankings of the same units agree; `tau` is NaN without a pair that is tied in neither."""

    common: int
    concordant: int
    discordant: int
    tau: float


def concordance(x: ArrayLike, y: ArrayLike) -> Concordance:
    """Compare two rankings of units by times.

    Parameters
    ----------
    x, y : array-like of float, (n,)
        Two times of each unit; NaN is a miss. Units that have both are compared.

    Returns
    -------
    Concordance
        `tau = (concordant - discordant) / (concordant + discordant)` over pairs tied in neither.
    """
    a, b = np.asarray(x, dtype=np.float64).ravel(), np.asarray(y, dtype=np.float64).ravel()
    both = ~(np.isnan(a) | np.isnan(b))
    a, b = a[both], b[both]
    agree = disagree = 0
    step = max(1, _BLOCK // max(1, len(a)))
    for start in range(0, len(a), step):
        # Signs of differences, not their product, which could underflow; each pair is seen from both sides.
        rows = slice(start, start + step)
        signs = np.sign(a[rows, None] - a) * np.sign(b[rows, None] - b)
        agree += int((signs > 0).sum())
        disagree += int((signs < 0).sum())
    agree, disagree = agree // 2, disagree // 2
    pairs = agree + disagree
    return Concordance(len(a), agree, disagree, (agree - disagree) / pairs if pairs else math.nan)


def sensitivity_table(
    names: Sequence[str], thresholds: ArrayLike, times: ArrayLike, confirmed: ArrayLike, reference: ArrayLike
) -> pd.DataFrame:
    """Return the table of `sensitivity` from times alone.

    Parameters
    ----------
    names : sequence of str, (units,)
    thresholds : array-like of float, (thresholds,)
    times : array-like of float, (thresholds, units)
        First crossings; NaN is a miss.
    confirmed : array-like of bool, (thresholds, units)
        Whether the crossing is confirmed by 2.
    reference : array-like of float, (units,)
        First crossings of the reference threshold.
    """
    import pandas as pd

    levels = np.asarray(thresholds, dtype=np.float64).ravel()
    first = np.asarray(times, dtype=np.float64).reshape(len(levels), len(names))
    held = np.asarray(confirmed, dtype=np.bool_).reshape(first.shape)
    base = np.asarray(reference, dtype=np.float64).ravel()
    rows = []
    for level, row, sure in zip(levels, first, held, strict=True):
        reached = int((~np.isnan(row)).sum())
        winner = min(((t, n) for t, n in zip(row, names, strict=True) if not math.isnan(t)), default=(math.nan, ""))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = row / base
        ratios = ratios[~np.isnan(ratios)]
        rows.append(
            {
                "threshold": float(level),
                "n": len(names),
                "reached": reached,
                "reach_share": reached / len(names) if len(names) else math.nan,
                "confirmed": int(sure.sum()),
                "winner": winner[1],
                "winner_seconds": float(winner[0]),
                **concordance(row, base)._asdict(),
                "median_ratio": float(np.median(ratios)) if len(ratios) else math.nan,
            }
        )
    return pd.DataFrame(rows, columns=list(_COLUMNS)).astype(_COLUMNS)


def sensitivity(
    runs_or_entries: Any,
    thresholds: float | Iterable[float],
    *,
    task: str | None = None,
    reference: float | None = None,
    metric: str | None = None,
) -> pd.DataFrame:
    """Show how reach and ranking move with the threshold.

    Parameters
    ----------
    runs_or_entries : Runs, Entries or sequence of Run
        A unit is a run, labelled `name/seed` (its id if that repeats), or an entry. Runs that are still running, were
        interrupted or lost are not counted.
    thresholds : float or iterable of float
    task : str, optional
        Needed if entries hold several.
    reference : float, optional
        The threshold whose ranking the others are compared with; default: the official one, or the runs' target.
    metric : str, optional
        Default: each run's own.

    Returns
    -------
    DataFrame
        A row per threshold in the order given: `threshold float64, n int64, reached int64, reach_share float64,
        confirmed int64, winner str, winner_seconds float64, common int64, concordant int64, discordant int64, tau
        float64, median_ratio float64`. `common` to `median_ratio` are over units that reach both threshold and
        reference; `tau` leaves tied pairs out; `median_ratio` is the median of time(threshold) / time(reference).

    Raises
    ------
    WorkbenchError
        For a threshold that is no number, an unknown task or several, and runs of several targets without `reference`.
    """
    levels = _numbers(thresholds)
    units = units_of(runs_or_entries, task)
    if reference is None:
        targets = sorted({float(unit.threshold) for unit in units})
        if len(targets) > 1:
            listed = ", ".join(f"{value:g}" for value in targets)
            raise WorkbenchError(f"The runs have several targets: {listed}.", f"Pass reference={targets[-1]:g}.")
        reference = targets[0] if targets else math.nan
    else:
        reference = _numbers([reference], "reference")[0]
    distinct = sorted({*levels, reference} if units else set(levels))
    first, held = (np.full((len(distinct), len(units)), np.nan) for _ in range(2))
    for place, unit in enumerate(units):
        first[:, place] = np.asarray(unit.time_to(distinct, metric=metric), dtype=np.float64)
        held[:, place] = np.asarray(unit.time_to(distinct, confirm=2, metric=metric), dtype=np.float64)
    rows = [distinct.index(level) for level in levels]
    base = first[distinct.index(reference)] if units else np.empty(0)
    return sensitivity_table(labels(units), levels, first[rows], ~np.isnan(held[rows]), base)


def units_of(runs_or_entries: Any, task: str | None = None) -> list[Any]:
    """Return the runs that count: of entries those of one task, of runs those that came to an end."""
    from workbench.tta.outcomes import counted

    if not callable(getattr(runs_or_entries, "runs", None)):
        runs = counted(runs_or_entries)
        if task is None:
            return runs
        tasks = sorted({run.task for run in runs if run.task})
        _known(task, tasks)
        return [run for run in runs if run.task == task]
    table = runs_or_entries.to_pandas()
    tasks = sorted(set(table.loc[table["kind"] == "train", "task"]))
    if task is not None:
        _known(task, tasks)
    elif len(tasks) > 1:
        raise WorkbenchError(f"The entries hold several tasks: {', '.join(tasks)}.", f'Pass task="{tasks[0]}".')
    elif not tasks:
        return []
    return counted(runs_or_entries.runs(task or tasks[0]))


def labels(units: Sequence[Any]) -> list[str]:
    """Return a label for each run: `name/seed`, the name alone without a seed, and its id where that repeats."""
    plain = [unit.name if unit.seed is None else f"{unit.name}/{unit.seed}" for unit in units]
    seen = Counter(plain)
    return [label if seen[label] == 1 else str(unit.id) for label, unit in zip(plain, units, strict=True)]


# --------------------------------------------------------------------------------------------------------- private

_COLUMNS = {
    "threshold": "float64",
    "n": "int64",
    "reached": "int64",
    "reach_share": "float64",
    "confirmed": "int64",
    "winner": "str",
    "winner_seconds": "float64",
    "common": "int64",
    "concordant": "int64",
    "discordant": "int64",
    "tau": "float64",
    "median_ratio": "float64",
}


def _known(task: str, tasks: Sequence[str]) -> None:
    if task not in tasks:
        raise WorkbenchError(f"No task {task}.", suggest(task, tasks, f"There is {', '.join(tasks)}.", quote="{}"))


def _numbers(values: Any, name: str = "thresholds") -> list[float]:
    if isinstance(values, (int, float, np.number)) and not isinstance(values, bool):
        values = [values]
    try:
        found = [] if isinstance(values, (str, bytes)) else [float(value) for value in values]
    except (TypeError, ValueError):
        found = []
    if not found or not all(math.isfinite(value) for value in found):
        raise WorkbenchError(f"{name} must be finite numbers; got {values!r}.", f"Example: {name}=[93, 94]")
    return found

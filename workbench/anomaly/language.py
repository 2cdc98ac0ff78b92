"""The checked question: what is asked of a table, with every mistake found before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from workbench.anomaly import checks
from workbench.anomaly.by_columns import By, chosen_by, given_by, range_note
from workbench.anomaly.data import check_number, is_number, kind_name, plain
from workbench.anomaly.labels import marks_of
from workbench.anomaly.plan import in_tasks
from workbench.engine.errors import WorkbenchError

if TYPE_CHECKING:
    from workbench.anomaly.cube import Cube
    from workbench.anomaly.data import Data
    from workbench.anomaly.seasonal import Seasonal

__all__ = ["SCORES", "TAILS", "Request", "marks_of", "request"]

SCORES = ("mad", "mcd", "zscore", "rcov", "percentile")
TAILS = ("both", "high", "low")

#: scores of exactly one metric, and those without tails
_SINGLE, _TAILLESS = ("zscore", "percentile"), ("mcd", "rcov")

#: compare metrics that need a metric
_MEANS = ("mean_shift", "mean_deviation")


@dataclass(frozen=True, eq=False)
class Request:
    """A question about a table, checked; the fields are the arguments of `outliers`.

    Attributes
    ----------
    metrics : tuple of str
        None for a cube, and where `where` or `labels` marks the rows and no metric is named.
    cube : Cube, optional
    by : tuple of (column, number of ranges or None)
    notes : tuple of str
        What was decided for the reader.
    """

    metrics: tuple[str, ...] = ()
    cube: Cube | None = None
    by: By = ()
    score: str | Seasonal | Callable[..., Any] = "mad"
    top: float = 0.01
    tail: str = "both"
    where: str | None = None
    labels: Any = None
    min_support: float = 0.01
    min_ratio: float = 3.0
    max_combo: int = 3
    compare: str = "risk_ratio"
    threshold: float | None = None
    minimal: bool = True
    max_candidates: int = 2_000_000
    seed: int = 0
    notes: tuple[str, ...] = ()

    def spec(self) -> dict[str, Any]:
        """Return the call as JSON can hold it: `wb.outliers(data, **spec)` asks the same."""
        from workbench.anomaly.spec import spec_of

        return spec_of(self)


def request(
    data: Data,
    metric: Any = None,
    by: Any = "*",
    *,
    score: Any = "mad",
    top: Any = 0.01,
    tail: Any = "both",
    where: Any = None,
    labels: Any = None,
    min_support: Any = 0.01,
    min_ratio: Any = 3.0,
    max_combo: Any = 3,
    compare: Any = "risk_ratio",
    threshold: Any = None,
    minimal: Any = True,
    max_candidates: Any = 2_000_000,
    seed: Any = 0,
) -> Request:
    """Check a question against a table; the parameters are those of `outliers`.

    Raises
    ------
    WorkbenchError
        For the first mistake.
    """
    from workbench.anomaly import compare as metrics_module

    notes: list[str] = []
    names, cube = _metrics(data, metric)
    checks.check_known("compare metric", compare, tuple(metrics_module.NAMES))
    checks.check_known("tail", tail, TAILS)
    score = _score(data, score, tail, names, notes)
    top = checks.check_top(top, score)
    min_support, min_ratio = checks.check_support(min_support), checks.check_min_ratio(min_ratio, compare)
    _check_marking(data, names, cube, where, labels, compare, notes)
    min_ratio, note = _min_ratio(compare, min_ratio)
    notes += note
    used = _condition_columns(data, where)
    columns, more = _by(data, by, names, cube, score, labels, used)
    notes += more
    return Request(
        metrics=names,
        cube=cube,
        by=columns,
        score=score,
        top=top,
        tail=tail,
        where=where,
        labels=labels,
        min_support=min_support,
        min_ratio=min_ratio,
        max_combo=min(checks.check_count("max_combo", max_combo, "a number of columns", 1, 3), max(1, len(columns))),
        compare=compare,
        threshold=_threshold(threshold),
        minimal=bool(minimal),
        max_candidates=checks.check_count("max_candidates", max_candidates, "a number of candidates", 1, 2_000_000),
        seed=checks.check_count("seed", seed, "a whole number", 0, 0),
        notes=tuple(notes),
    )


def _metrics(data: Data, metric: Any) -> tuple[tuple[str, ...], Cube | None]:
    if metric is None:
        return (), None
    if isinstance(metric, dict):
        from workbench.anomaly.spec import cube_of

        metric = cube_of(metric)
    if hasattr(metric, "quantiles") and hasattr(metric, "count") and not isinstance(metric, (str, list, tuple)):
        for name in _cube_columns(metric):
            check_number(name, data.schema[data.check(name)])
        return (), metric
    if hasattr(metric, "__array__") and getattr(metric, "ndim", None):
        raise WorkbenchError(
            f"metric is {checks.shown(metric)}; it names a column of the table.", 'Give its name, such as "latency".'
        )
    several = isinstance(metric, (list, tuple))
    names = tuple(str(name) for name in metric) if several else (str(metric),)
    for name in names:
        check_number(name, data.schema[data.check(name)])
    if len(set(names)) < len(names):
        raise WorkbenchError("A metric is named twice.", "Name each metric once.")
    return names, None


def _cube_columns(cube: Any) -> list[str]:
    named = [cube.count, cube.mean, cube.std, *(cube.quantiles or {}).values()]
    return [name for name in named if name is not None]


def _score(data: Data, score: Any, tail: str, names: tuple[str, ...], notes: list[str]) -> Any:
    from workbench.anomaly.spec import scorer_of, seasonal_of

    if isinstance(score, dict):
        score = seasonal_of(score)
    if isinstance(score, str) and ":" in score:
        score = scorer_of(score)
    if hasattr(score, "period"):
        kind = data.schema[data.check(score.time)]
        if not is_number(kind) and not pa.types.is_timestamp(plain(kind)) and not pa.types.is_date(plain(kind)):
            raise WorkbenchError(
                f'"{score.time}" is {kind_name(kind)}; the time of a season must be a timestamp.',
                f'Convert it first, such as SELECT * REPLACE ("{score.time}"::TIMESTAMP AS "{score.time}") FROM …',
            )
    elif not callable(score):
        checks.check_known("score", score, SCORES, ", a Seasonal or a function")
    if len(names) > 1 and isinstance(score, str) and score == "mad":
        notes.append(f"{len(names)} metrics: scored by mcd, since mad takes one.")
        score = "mcd"
    if len(names) > 1 and (hasattr(score, "period") or score in _SINGLE):
        named = "Seasonal" if hasattr(score, "period") else score
        raise WorkbenchError(f"{named} takes one metric; got {len(names)}.", "Use mcd or rcov for several.")
    if names and tail != "both" and not hasattr(score, "period") and (callable(score) or score in _TAILLESS):
        named = "a function" if callable(score) else score
        notes.append(f"tail is not used with {named}: its scores have one end.")
    return score


def _check_marking(
    data: Data, names: tuple[str, ...], cube: Any, where: Any, labels: Any, compare: str, notes: list[str]
) -> None:
    if where is not None and labels is not None:
        raise WorkbenchError("Both where and labels mark outliers.", "Give one.")
    marked = where is not None or labels is not None
    scored = bool(names) or (cube is not None and (cube.mean is not None or cube.quantiles))
    if not marked and not scored:
        raise WorkbenchError("No metric, where or labels given.", "Name a metric, or mark the rows with where.")
    if compare in _MEANS and not names and (cube is None or cube.mean is None):
        raise WorkbenchError(f"{compare} compares means of a metric, and none is given.", "Name a metric.")
    if compare in _MEANS and len(names) > 1:
        raise WorkbenchError(f"{compare} compares means of one metric; got {len(names)}.", "Name one metric.")
    if compare == "mean_deviation" and marked:
        unused = "where is" if where is not None else "labels are"
        notes.append(f"mean_deviation counts every row; {unused} not used.")
    if labels is not None and not in_tasks(data):
        marks_of(data, labels)  # a mistake in them shows now


def _min_ratio(compare: str, given: float) -> tuple[float, list[str]]:
    from workbench.anomaly.compare import default_min_ratio

    used = default_min_ratio(compare, given)
    if used == given:
        return given, []
    return used, [f"min ratio is {used:g}: {compare} is between -1 and 1."]


def _condition_columns(data: Data, where: Any) -> list[str]:
    if where is None:
        return []
    from workbench.anomaly.predicate import checked_columns

    if not isinstance(where, str) or not where.strip():
        raise WorkbenchError(f"where is {checks.shown(where)}; it is a SQL condition.", 'Give where="usage > 500".')
    return checked_columns(data, where)


def _by(
    data: Data, by: Any, names: tuple[str, ...], cube: Any, score: Any, labels: Any, used: list[str]
) -> tuple[By, list[str]]:
    taken = [*names, *(_cube_columns(cube) if cube is not None else [])]
    taken += [labels] if isinstance(labels, str) else []
    taken += [score.time] if hasattr(score, "period") else []
    if isinstance(by, str) and by == "*" and "*" not in data.schema:
        columns, notes = chosen_by(data, taken, used)
        data.want([*taken, *used, *(name for name, _ in columns)])
        return columns, notes
    columns = given_by(data, by)
    data.want([*taken, *used, *(name for name, _ in columns)])
    return columns, _range_notes(data, columns)


def _range_notes(data: Data, columns: By) -> list[str]:
    """Say which float columns become ranges; their codes are kept for the search."""
    from workbench.anomaly.encode import encode

    notes: list[str] = []
    if in_tasks(data):  # the edges are found in tasks too
        return notes
    for name, bins in columns:
        kind = plain(data.schema[name])
        if bins is None and (pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
            codes = encode(data, name)
            if codes.edges is not None and codes.distinct is not None:
                notes.append(range_note(name, codes.distinct, len(codes.edges) - 1))
    return notes


def _threshold(threshold: Any) -> float | None:
    return None if threshold is None else checks.check_number("threshold", threshold, "a cutoff on the score", 3.5)

"""What a run has to say beside its table: the warnings of rows left out, nothing marked, nothing passing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from workbench.anomaly.data import titled

if TYPE_CHECKING:
    from workbench.anomaly.conditions import Conditions

__all__ = [
    "Edges",
    "closest",
    "conditions_text",
    "left_out",
    "marked_share",
    "no_metric",
    "no_row_satisfies",
    "no_rows",
    "number",
    "percent",
    "stopped_after",
    "ties",
]

ADVICE = "Mark rows with where instead."
NO_LABEL = "No label marks an outlier, so there is nothing to explain."


def left_out(count: int, total: int, names: Sequence[str]) -> str:
    """Return the note for rows without a metric."""
    verb = ("row has", "was") if count == 1 else ("rows have", "were")
    share = f"{100 * count / total:.1f}"
    return f"{count:,} {verb[0]} no {' or '.join(names)} and {verb[1]} left out ({share} %)."


def no_rows(name: str) -> str:
    """Return the note for a table without rows."""
    return f"{titled(name)} has no rows, so there is nothing to explain."


def no_metric(names: Sequence[str]) -> str:
    """Return the note for a metric without a single number."""
    return f"No row has a number in {' and '.join(names)}, so there is nothing to explain."


def no_row_satisfies(condition: str, extreme: str = "") -> str:
    """Return the note for a condition that marks nothing; `extreme` says how near the data come to it."""
    return f"No row satisfies {condition}{f' ({extreme})' if extreme else ''}, so there is nothing to explain."


class Edges(NamedTuple):
    """The smallest and the largest of some values, and how many rows have them."""

    low: float
    high: float
    at_low: int
    at_high: int


def ties(edges: Edges, tail: str, centre: float, what: str = "value") -> str:
    """Return the note for a cutoff that no row is beyond.

    Parameters
    ----------
    edges : Edges
        Of the metric of the rows used, or of their scores.
    tail : {"both", "high", "low"}
    centre : float
        Where distances are taken from with both tails; NaN where there are none.
    what : str
        "value" or "score".
    """
    low, high, at_low, at_high = edges
    if tail == "both" and not math.isnan(centre):
        up, down = high - centre, centre - low
        side = "high" if up > down else "low" if down > up else "both"
    else:
        side = "low" if tail == "low" else "high"
    if side == "both" and low != high:
        count = at_low + at_high
        edge, shared = "beyond", f"the largest distance {number(high - centre)} from {number(centre)}"
    elif side == "low":
        count, edge, shared = at_low, "below", f"the smallest {what} {number(low)}"
    else:
        count, edge, shared = at_high, "above", f"the largest {what} {number(high)}"
    rows = f"1 row has {shared}" if count == 1 else f"{count:,} rows share {shared}"
    return f"No row is {edge} the cutoff ({rows}). {ADVICE}"


def marked_share(outliers: float, rows: float, compare: str) -> str | None:
    """Return the note for more than half of the rows marked, else None."""
    if not outliers > rows / 2:
        return None
    bound = f" ratios cannot exceed {rows / outliers:.4g}." if compare == "global_ratio" else ""
    verb = "is" if outliers == 1 else "are"
    rows_text = "row" if rows == 1 else "rows"
    start = f"{_count(outliers)} of {_count(rows)} {rows_text} {verb} marked as outliers"
    return f"{start};{bound} Tighten the condition." if bound else f"{start}. Tighten the condition."


def closest(compare: str, rules: tuple[float, float], best: tuple[Conditions, float, float] | None) -> str:
    """Return the note for an answer without a line: what was asked, and the best combination that missed.

    Parameters
    ----------
    compare : str
    rules : (min_ratio, min_support)
    best : (conditions, value, support), optional
    """
    name = {"prevalence_difference": "difference", "mean_shift": "mean shift", "mean_deviation": "deviation"}.get(
        compare, "ratio"
    )
    text = f"No combination reaches min ratio {number(rules[0])} with min support {percent(rules[1])}."
    if best is None:
        return text
    conditions, value, support = best
    return f"{text} Closest: {conditions_text(conditions)}, {name} {_figure(value)}, support {percent(support)}."


def stopped_after(orders: int) -> str:
    """Return the note of a search that was stopped when so many orders were finished."""
    return f"stopped after {orders}-column explanations" if orders else "stopped before 1-column explanations"


def conditions_text(conditions: Conditions) -> str:
    """Write conditions for people: `dest = SFO and hour = 18`."""
    return " and ".join(f"{column} = {value_text(value)}" for column, value in conditions)


def value_text(value: Any) -> str:
    """Write a value of an explanation for people: null is `∅`, a range `[100, 200)`."""
    if value is None:
        return "∅"
    if isinstance(value, bool):
        return "true" if value else "false"
    if hasattr(value, "left") and hasattr(value, "closed"):
        end = "]" if value.closed == "both" else ")"
        return f"[{value.left:g}, {value.right:g}{end}"
    return str(value)


def number(value: float) -> str:
    """Write a number for people: up to six digits, no `.0`; whole numbers in full."""
    value = float(value)
    if math.isfinite(value) and value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if math.isfinite(value) and 1e-4 <= abs(value) < 1e9:
        digits = max(0, 5 - math.floor(math.log10(abs(value))))
        text = f"{value:,.{digits}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{value:.6g}"


def percent(share: float) -> str:
    """Write a share: `5 %`, `0.5 %`, `3.17 %`."""
    return f"{100 * share:.3g} %"


def _figure(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _count(value: float) -> str:
    return f"{value:,.1f}".removesuffix(".0")  # those of a cube are expected ones, so they may be fractions

"""Why is one run faster: fewer epochs, or faster ones? And what do more machines bring?"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.engine.errors import WorkbenchError
from workbench.engine.result import Result
from workbench.tta.agreement import check_clocks, check_targets, named_groups
from workbench.tta.crossings import crossing

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Attribution", "attribute", "scaling"]

FACTORS = ("epochs", "seconds_per_epoch", "price")
_COLUMNS = {
    "old": "str",
    "new": "str",
    "factor": "str",
    "old_value": "float64",
    "new_value": "float64",
    "ratio": "float64",
    "log_share": "float64",
}
_SCALING = {
    "name": "str",
    "resources": "float64",
    "seconds": "float64",
    "speedup": "float64",
    "efficiency": "float64",
    "epochs": "float64",
    "epoch_ratio": "float64",
    "throughput_ratio": "float64",
}


class Attribution(Result):
    """A change of time and cost, taken apart into factors.

    Attributes
    ----------
    table : DataFrame
        `old, new, factor str (epochs, seconds_per_epoch, price), old_value, new_value, ratio, log_share float64`, three
        rows for each step of the chain.
    speedup : float
        Time of the first run over that of the last.
    cost_ratio : float
        Its cost over that of the last; NaN without prices.
    """

    def __init__(self, table: pd.DataFrame, speedup: float, cost_ratio: float, unit: str = "epoch") -> None:
        self.table, self.speedup, self.cost_ratio, self._unit = table, speedup, cost_ratio, unit

    def to_pandas(self) -> pd.DataFrame:
        """Return the table of factors."""
        return self.table

    def view_data(self) -> dict[str, Any]:
        """Return what it says, and the table of factors."""
        blocks: list[dict[str, Any]] = [{"kind": "summary", "text": line} for line in self._said()]
        return {"title": "attribute", "blocks": [*blocks, {"kind": "table", "name": "Factors", "frame": self.table}]}

    def __repr__(self) -> str:
        try:
            return "\n".join(self._said())
        except Exception:  # a half-made result must not break a debugger
            return "<Attribution>"

    def _said(self) -> list[str]:
        lines = []
        for (old, new), own in self.table.groupby(["old", "new"], sort=False):
            ratios = dict(zip(own["factor"], own["ratio"], strict=True))
            shares = dict(zip(own["factor"], own["log_share"], strict=True))
            total = ratios["epochs"] * ratios["seconds_per_epoch"]
            parts = [f"{self._unit}s {_times(ratios['epochs'], shares['epochs'])}"]
            parts.append(f"time per {self._unit} {_times(ratios['seconds_per_epoch'], shares['seconds_per_epoch'])}")
            line = f"{old} to {new}: {total:.3g} times as fast = {' x '.join(parts)}"
            if not math.isnan(ratios["price"]):
                line += f"; {total * ratios['price']:.3g} times as cheap (price {ratios['price']:.3g})"
            lines.append(line)
        if len(lines) > 1:
            cost = "" if math.isnan(self.cost_ratio) else f", {self.cost_ratio:.3g} times as cheap"
            lines.append(f"In all: {self.speedup:.3g} times as fast{cost}")
        return lines


def attribute(old: Any, new: Any, *later: Any, at: float | None = None, metric: str | None = None) -> Attribution:
    """Say how much of a change of time is due to epochs, how much to their speed, and what price adds.

    Parameters
    ----------
    old, new, *later : Run
        Later ones form a chain, each compared with the one before it. Several runs of a recipe are taken as their mean.
    at : float, optional
        The threshold; the runs' target by default.
    metric : str, optional
        The runs' own by default.

    Returns
    -------
    Attribution

    Raises
    ------
    WorkbenchError
        For a run that does not reach or crosses at epoch 0, and for different targets, metrics or clocks.

    Notes
    -----
    time = epochs x seconds per epoch, at the crossing; where a run has no epochs, steps take their place. A ratio is
    old over new, so that above 1 is better, and ratios multiply to `speedup`, with that of the price to `cost_ratio`.
    `log_share = log(ratio) / log(total)`, where the total is the speedup, and for the price the cost ratio; NaN where
    that is 1.
    """
    import pandas as pd

    found, unit = _crossings([old, new, *later], at, metric)
    rows: list[dict[str, Any]] = []
    for before, after in itertools.pairwise(found):
        speedup = before.seconds / after.seconds
        prices = before.price / after.price
        for factor, total in zip(FACTORS, (speedup, speedup, speedup * prices), strict=True):
            first, second = getattr(before, factor), getattr(after, factor)
            rows.append(
                {
                    "old": before.name, "new": after.name, "factor": factor, "old_value": first, "new_value": second,
                    "ratio": first / second, "log_share": _share(first / second, total),
                }
            )  # fmt: skip
    table = pd.DataFrame(rows, columns=list(_COLUMNS)).astype(_COLUMNS)
    speedup = found[0].seconds / found[-1].seconds
    cost_ratio = speedup * found[0].price / found[-1].price
    return Attribution(table, float(speedup), float(cost_ratio), unit)


def scaling(items: Sequence[Any], resources: Sequence[float], *, at: float | None = None) -> pd.DataFrame:
    """Show what more resources bring, against the first item.

    Parameters
    ----------
    items : sequence of Run
        Several runs of a recipe (`Runs`) are taken as their mean.
    resources : sequence of float
        Of each item: workers, GPUs, machines.
    at : float, optional
        The threshold; the runs' target by default.

    Returns
    -------
    DataFrame
        `name str, resources, seconds, speedup, efficiency, epochs, epoch_ratio, throughput_ratio float64`:
        `speedup` is first over this, `efficiency` the speedup over the ratio of resources; `epoch_ratio` (first over
        this) times `throughput_ratio` (seconds per epoch, first over this) is the speedup.

    Raises
    ------
    WorkbenchError
        As `attribute`, and for resources that do not match the items or are not above 0.
    """
    import pandas as pd

    items = list(items)
    try:
        amounts = [float(value) for value in resources]
    except (TypeError, ValueError):
        raise WorkbenchError(f"resources must be numbers; got {resources!r}.", "Example: resources=[1, 2, 4]") from None
    if len(amounts) != len(items):
        raise WorkbenchError(f"There are {len(items)} items but {len(amounts)} resources.", "Give one number for each.")
    if not all(0 < value < math.inf for value in amounts):
        raise WorkbenchError(f"resources must be above 0; got {amounts}.", "Example: resources=[1, 2, 4]")
    found, _ = _crossings(items, at, None) if items else ([], "")
    rows = []
    for one, amount in zip(found, amounts, strict=True):
        speedup = found[0].seconds / one.seconds
        rows.append(
            {
                "name": one.name, "resources": amount, "seconds": one.seconds, "speedup": speedup,
                "efficiency": speedup / (amount / amounts[0]), "epochs": one.epochs,
                "epoch_ratio": found[0].epochs / one.epochs,
                "throughput_ratio": found[0].seconds_per_epoch / one.seconds_per_epoch,
            }
        )  # fmt: skip
    return pd.DataFrame(rows, columns=list(_SCALING)).astype(_SCALING)


# --------------------------------------------------------------------------------------------------------- private


@dataclass(frozen=True)
class _Crossing:
    """Where a run, or the mean of several, crossed. Values are np.float64, so that 0 divides without an exception."""

    name: str
    seconds: Any
    epochs: Any
    price: Any

    @property
    def seconds_per_epoch(self) -> Any:
        return self.seconds / self.epochs


def _crossings(given: Sequence[Any], at: float | None, metric: str | None) -> tuple[list[_Crossing], str]:
    """Return the crossing of each argument, and whether they are counted in epochs or steps."""
    groups = named_groups(given)
    check_targets(groups, at, metric)
    check_clocks(groups)
    rows = {name: [_row(name, run, at, metric) for run in runs] for name, runs in groups.items()}
    unit = "step" if any(math.isnan(row["epoch"]) for own in rows.values() for row in own) else "epoch"
    found = []
    for name, own in rows.items():
        for row in own:
            if not row[unit] > 0:
                raise WorkbenchError(
                    f"{name} crosses at {unit} {row[unit]:g}, so its time cannot be taken apart.",
                    f"Count {unit}s from 1, or evaluate after the first.",
                )
            if not row["seconds"] > 0:
                raise WorkbenchError(
                    f"{name} crosses at 0 seconds, so there is no ratio of times.", "Evaluate after some training."
                )
        prices = {_price(run) for run in groups[name]}
        found.append(
            _Crossing(
                name,
                np.float64(np.mean([row["seconds"] for row in own])),
                np.float64(np.mean([row[unit] for row in own])),
                np.float64(prices.pop() if len(prices) == 1 else math.nan),
            )
        )
    return found, unit


def _row(name: str, run: Any, at: float | None, metric: str | None) -> dict[str, float]:
    """Return step, epoch and seconds of the crossing."""
    level = float(run.threshold if at is None else at)
    curve = run.curve(metric)
    place = crossing(curve["value"].to_numpy(dtype=np.float64), level, run.goal)
    if place is None:
        raise WorkbenchError(f"{name} does not reach {level:g}.", "Pass at=, a threshold that all of them reach.")
    return {key: float(curve[key].iloc[place]) for key in ("step", "epoch", "seconds")}


def _price(run: Any) -> float:
    """Return USD per hour; NaN where there is none that a cost can be made of."""
    rate = getattr(run.price, "usd_per_hour", None)
    return float(rate) if rate is not None and 0 < rate < math.inf else math.nan


def _share(ratio: float, total: float) -> float:
    return math.log(ratio) / math.log(total) if total > 0 and total != 1 else math.nan


def _times(ratio: float, share: float) -> str:
    return f"{ratio:.3g}" if math.isnan(share) else f"{ratio:.3g} ({100 * share:.0f} %)"

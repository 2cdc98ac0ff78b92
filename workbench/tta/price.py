"""What a cluster costs an hour, where the figure comes from and when it held."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import Any

from workbench.engine.errors import WorkbenchError, suggest

__all__ = ["Price", "as_price"]

#: kinds of price; only the first is ranked
KINDS = ("ondemand", "spot")


@dataclass(frozen=True)
class Price:
    """USD per hour of the whole cluster.

    Parameters
    ----------
    usd_per_hour : float
        Zero, negative or not finite: no cost can be told, see `rate`.
    kind : {"ondemand", "spot"}
        Spot prices are shown, but boards rank by on-demand.
    source : str
        Who says so, such as `"user"` or the name of a price list.
    date : str, optional
        The day it held, `YYYY-MM-DD`; a date is written so.
    """

    usd_per_hour: float
    kind: str = "ondemand"
    source: str = "user"
    date: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.usd_per_hour, bool) or not isinstance(self.usd_per_hour, (int, float)):
            raise WorkbenchError(
                f"The price is a number of USD per hour, not {self.usd_per_hour!r}.", "Write price=3.06."
            )
        if self.kind not in KINDS:
            raise WorkbenchError(
                f"No kind of price {self.kind!r}.",
                suggest(str(self.kind), KINDS, 'Write kind="ondemand" or kind="spot".', quote='"{}"'),
            )
        object.__setattr__(self, "usd_per_hour", float(self.usd_per_hour))
        if isinstance(self.date, dt.date):
            object.__setattr__(self, "date", self.date.strftime("%Y-%m-%d"))

    @property
    def rate(self) -> float:
        """USD per hour, NaN where it is not a positive finite number."""
        return self.usd_per_hour if math.isfinite(self.usd_per_hour) and self.usd_per_hour > 0 else math.nan

    @property
    def ranked(self) -> bool:
        """Whether boards by cost may rank by it."""
        return self.kind == "ondemand" and not math.isnan(self.rate)


def as_price(value: Any) -> Price | None:
    """Return a `Price` from a number of USD per hour, a `Price` or None."""
    return value if value is None or isinstance(value, Price) else Price(value)

"""What an evaluation came to, and how a run is left."""

from __future__ import annotations

import math
from dataclasses import dataclass

from workbench.tta.projection import NO_EVALUATION, Projection, unknown

__all__ = ["REASONS", "STATE_OF", "Projection", "Status", "StopTraining"]

#: why a run is stopped -> the state it ends in; `""` is no reason
STATE_OF = {
    "target": "reached", "time": "budget", "cost": "budget", "energy": "budget", "hopeless": "hopeless",
    "cancelled": "interrupted",
}  # fmt: skip
REASONS = ("", *STATE_OF)

_NOTHING_YET = unknown(NO_EVALUATION)


@dataclass(frozen=True)
class Status:
    """Where a run stands after an evaluation.

    Attributes
    ----------
    reached : bool
        Whether the first crossing was seen.
    confirmed : bool
        Whether as many evaluations in a row as the tracker asks for have met the target.
    stop : bool
        Whether the run is to be left.
    reason : {"", "target", "time", "cost", "energy", "hopeless", "cancelled"}
        Why.
    step : int
    value, se : float
        Of the target's metric in this evaluation, and its binomial standard error; NaN if it is not known.
    seconds : float
        Of the evaluation, on the run's clock.
    cost_usd : float
        What these seconds cost.
    energy_j : float
        Joules so far; NaN if they are not measurable.
    projection : Projection
    """

    reached: bool = False
    confirmed: bool = False
    stop: bool = False
    reason: str = ""
    step: int = -1
    value: float = math.nan
    se: float = math.nan
    seconds: float = 0.0
    cost_usd: float = math.nan
    energy_j: float = math.nan
    projection: Projection = _NOTHING_YET


class StopTraining(BaseException):
    """Leaves the block of a `Tracker`, which swallows it.

    A `BaseException`, so that `except Exception` in training code does not swallow it.

    Attributes
    ----------
    reason : str
    status : Status
    run_id : str or None
        Of the run that is left; None is any.
    """

    def __init__(self, reason: str = "cancelled", status: Status | None = None, run_id: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason if reason in STATE_OF else "cancelled"
        self.status = status if status is not None else Status(stop=True, reason=self.reason)
        self.run_id = run_id

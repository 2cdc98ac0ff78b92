"""When will a run reach its target? Told from earlier runs of the same recipe and schedule, or not told at all.

A learning curve cannot be extended: under a schedule that lowers the learning rate, most of the gain comes at the end
(half-way, a power law fitted to real entries answers half of them, wrong by 38 %). What repeats is the share of the
schedule at which a recipe crosses, so the projection is a quantile band of that share over earlier runs.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

__all__ = ["Earlier", "Projection", "arrived", "pace", "unknown"]

#: earlier runs without which nothing is told, with which the band is of quantiles, and with which a run is hopeless
LEAST, MANY = 3, 8
#: quantiles of the band and its middle
LOW, MIDDLE, HIGH = 0.1, 0.5, 0.9
#: shares of the latest crossing past which a run is hopeless
PATIENCE = 1.25
#: of the steps so far, how many give the present pace
RECENT = 0.2
#: pairs of evaluations that are looked at for the pace: more say no more, and this is asked at each evaluation
PAIRS = 16
#: a share that is a product of rounded factors
_ROUNDING = 1e-9

NO_LENGTH = "no planned length"
NO_EVALUATION = "no evaluation yet"
TOO_FEW = f"fewer than {LEAST} earlier runs with this schedule"
TOO_LATE = "past every earlier crossing"


@dataclass(frozen=True)
class Projection:
    """When the target will be reached.

    Attributes
    ----------
    known : bool
        Whether it can be told.
    low, median, high : float
        Seconds from the start on the run's clock, of which the first and the last bound four in five runs; inf is
        never, and NaN is not known.
    history, reached : int
        Earlier runs with this schedule, and how many of them reached the target.
    reason : str
        Why it cannot be told.
    text : str
        What to show.
    """

    known: bool
    low: float = math.nan
    median: float = math.nan
    high: float = math.nan
    history: int = 0
    reached: int = 0
    reason: str = ""
    text: str = ""


def unknown(reason: str, history: int = 0, reached: int = 0) -> Projection:
    """Return the projection that cannot tell."""
    return Projection(False, history=history, reached=reached, reason=reason, text=f"cannot tell: {reason}")


def arrived(seconds: float, history: int = 0, reached: int = 0) -> Projection:
    """Return the projection of a run that has reached its target."""
    return Projection(True, seconds, seconds, seconds, history, reached, text=f"reached at {_duration(seconds)}")


class Earlier:
    """Earlier runs of a recipe with one target and schedule, and what they say of a run under way.

    Parameters
    ----------
    history : iterable of (crossing, last, pace)
        Of each counted run: the step of its first crossing or None, the step of its last evaluation, and its seconds
        per step on the clock (NaN if not known).
    steps : int, optional
        Planned length, the same for all of them; without it nothing can be told.

    Notes
    -----
    Shares of the planned length at which runs crossed; a miss is censored at the share it ran. Of the runs that had not
    crossed by the present share, quantiles of the Kaplan-Meier curve are taken. Those at risk at a share beyond the
    present are the same with or without the runs that had crossed before, so the curve is made once, and what is asked
    is its part beyond the present.
    """

    def __init__(self, history: Iterable[tuple[int | None, int | None, float]], steps: int | None) -> None:
        runs = list(history)
        self.steps = steps if steps is not None and steps > 0 else None
        self.runs = len(runs)
        self.reached = sum(crossing is not None for crossing, _, _ in runs)
        paces = [seconds for _, _, seconds in runs if seconds is not None and math.isfinite(seconds) and seconds > 0]
        #: seconds per step of the earlier runs, for a run that has no pace yet
        self.pace = median(paces) if paces else math.nan
        length = self.steps or 1
        events = sorted(crossing / length for crossing, _, _ in runs if crossing is not None)
        ends = sorted(((last or 0) if crossing is None else crossing) / length for crossing, last, _ in runs)
        self._ends = ends
        self._shares = sorted(set(events))
        self._crossed: list[float] = []  # by each share, for runs that nothing ends: 1 less Kaplan-Meier
        left = 1.0
        for share in self._shares:
            at_risk = len(ends) - bisect_left(ends, share)
            crossed = bisect_right(events, share) - bisect_left(events, share)
            left *= 1 - crossed / at_risk
            self._crossed.append(1 - left)

    def project(self, step: int | None, seconds: float = math.nan, pace: float = math.nan) -> Projection:
        """Return when a run will reach the target.

        Parameters
        ----------
        step : int or None
            Of its last evaluation; None if it has none.
        seconds : float
            When that was, on the run's clock.
        pace : float
            Its seconds per step, as `pace` gives them; by default those of the earlier runs.
        """
        if self.steps is None:
            return self._unknown(NO_LENGTH)
        if step is None:
            return self._unknown(NO_EVALUATION)
        if self.runs < LEAST:
            return self._unknown(TOO_FEW)
        present = step / self.steps
        first = bisect_right(self._shares, present)
        if first == len(self._shares):
            return self._unknown(TOO_LATE)
        each = pace if math.isfinite(pace) and pace > 0 else self.pace
        if not math.isfinite(each):
            each = seconds / max(step, 1)

        def at(share: float) -> float:
            return seconds + max(share * self.steps - step, 0.0) * each  # type: ignore[operator]

        low, middle, high = (at(self._quantile(first, q)) for q in self._band(present))
        text = f"{_between(low, high)}, from {self.runs} earlier runs; {self.reached} reached"
        return Projection(True, low, middle, high, self.runs, self.reached, text=text)

    def hopeless(self, step: int | None) -> bool:
        """Return whether a run that has not crossed at `step` is too far past all earlier crossings to go on."""
        if self.steps is None or step is None or self.runs < MANY or not self._shares:
            return False
        return step / self.steps > PATIENCE * self._shares[-1] + _ROUNDING

    def _band(self, present: float) -> tuple[float, float, float]:
        """Return the shares of runs that the band is between: of few runs, all."""
        kept = len(self._ends) - bisect_right(self._ends, present)
        return (0.0, MIDDLE, 1.0) if kept < MANY else (LOW, MIDDLE, HIGH)

    def _quantile(self, first: int, q: float) -> float:
        """Return the least share by which q of the runs that are left have crossed; inf if fewer ever do."""
        before = self._crossed[first - 1] if first else 0.0
        place = bisect_left(self._crossed, before + (1 - before) * (q - _ROUNDING), first)
        return self._shares[place] if place < len(self._shares) else math.inf

    def _unknown(self, reason: str) -> Projection:
        return unknown(reason, self.runs, self.reached)


def pace(steps: Sequence[int], seconds: Sequence[float]) -> float:
    """Return the present seconds per step: the median over the last fifth of the steps.

    Parameters
    ----------
    steps : sequence of int
        Of the evaluations, in the order logged; pairs that do not go on are left out.
    seconds : sequence of float
        Of the evaluations on the run's clock.

    Returns
    -------
    float
        NaN before the second evaluation.
    """
    if len(steps) < 2:
        return math.nan
    last = len(steps) - 1
    first = min(max(bisect_right(steps, (1 - RECENT) * steps[-1]), 1), last)
    stride = max(1, (last + 1 - first) // PAIRS)
    rates = []
    for end in range(last, first - 1, -stride):
        begin = max(end - stride, 0)
        if (done := steps[end] - steps[begin]) > 0:
            rates.append((seconds[end] - seconds[begin]) / done)
    return median(rates) if rates else math.nan


# --------------------------------------------------------------------------------------------------------- private


def _between(low: float, high: float) -> str:
    if math.isinf(low):
        return "probably never"
    if math.isinf(high):
        return f"{_duration(low)} or later, or never"
    return f"{_duration(low)} to {_duration(high)}"


def _duration(seconds: float) -> str:
    from workbench.tta.texts import duration

    return duration(seconds)

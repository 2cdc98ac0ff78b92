"""Whether the evaluations of a run have met its target, one after another; and what is odd about their values. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from workbench.engine.errors import WorkbenchError
from workbench.tta.target import Target

__all__ = ["Crossed", "Judge", "Warned", "shown"]

#: of a metric in fractions, above which it is none; values of one in percent that are suspiciously low, and how many
_NO_FRACTION, _LOW, _THREE = 1.5, 1.0, 3


class Warned(NamedTuple):
    """A warning of two lines, to be given by whom it concerns."""

    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Crossed:
    """The target was crossed, confirmed by `confirm` evaluations in a row."""

    confirm: int


class Judge:
    """Follows the target's metric.

    Parameters
    ----------
    target : Target
    confirm : int
        Evaluations in a row that confirm the crossing.
    """

    def __init__(self, target: Target, confirm: int) -> None:
        self.target, self.confirm = target, confirm
        self.count = 0
        self.reached = False
        self.confirmed = False
        self.best = math.nan
        self._row = 0
        self._longest = 0
        self._said: set[str] = set()

    def check(self, value: float) -> None:
        """Raise where a value shows that the target is in another unit; it is not counted then."""
        target = self.target
        fractions = target.unit == "fraction" or (target.unit is None and target.value <= 1)
        if target.goal == "max" and fractions and value > _NO_FRACTION and math.isfinite(value):
            highest = value if math.isnan(self.best) else max(value, self.best)
            raise WorkbenchError(
                f"Target {target.value:g}, but {target.metric} has values up to {shown(highest)}.",
                f"Use target {100 * target.value:g}, or log fractions.",
            )

    def judge(self, value: float) -> list[Crossed]:
        """Take the value of the next evaluation; return the crossings that it brings, at 1, 2 and the run's own."""
        self.count += 1
        better = max if self.target.goal == "max" else min
        if not math.isnan(value):
            self.best = value if math.isnan(self.best) else better(self.best, value)
        if not self.target.meets(value):
            self._row = 0
            return []
        self._row += 1
        found = []
        if self._row > self._longest:
            self._longest = self._row
            found = [Crossed(k) for k in sorted({1, 2, self.confirm}) if k == self._row]
        self.reached = True
        self.confirmed = self.confirmed or self._row >= self.confirm
        return found

    def unit_warning(self) -> Warned | None:
        """Return the warning for a target in percent and values that look like fractions, once."""
        target = self.target
        percent = target.unit == "percent" or (target.unit is None and target.value > _NO_FRACTION)
        if target.goal != "max" or not percent or self.count < _THREE or math.isnan(self.best) or self.best > _LOW:
            return None
        if "unit" in self._said:
            return None
        self._said.add("unit")
        return Warned(
            f"Target {target.value:g}, but {target.metric} has never been above {shown(self.best)}.",
            f"Use target {target.value / 100:g}, or log percent.",
        )

    def odd_value(self, metric: str, value: float, step: int) -> Warned | None:
        """Return the warning for a value that is not finite, once for each metric."""
        if math.isfinite(value) or metric in self._said:
            return None
        self._said.add(metric)
        word = "NaN" if math.isnan(value) else "inf" if value > 0 else "-inf"
        return Warned(
            f"{metric} is {word} at step {step}: it never counts as reached.", "Check the loss; the run goes on."
        )


def shown(value: float) -> str:
    """Write a value as it was logged, without the dust of binary fractions."""
    return f"{value:.6g}"

"""What a run is to reach: a metric, a finite number, which way is better, and the unit it is in."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workbench.engine.errors import WorkbenchError, suggest

__all__ = ["GOALS", "UNITS", "Target", "bad_target"]

GOALS = ("max", "min")
UNITS = ("percent", "fraction", "any")

#: of a target, from which on it is in percent, if nothing else is said
_PERCENT = 1.0
#: words that `Tracker.eval` has for other things
_TAKEN = ("step", "n", "epoch", "self")


@dataclass(frozen=True)
class Target:
    """A metric and the value to reach.

    Parameters
    ----------
    metric : str
    value : float
        Finite.
    goal : {"max", "min"}
        Whether more is better; equality counts either way.
    unit : {"percent", "fraction", "any"}, optional
        Of the metric; None is guessed from the target.
    """

    metric: str
    value: float
    goal: str = "max"
    unit: str | None = None

    @classmethod
    def of(cls, target: Any, goal: Any = "max", unit: Any = None) -> Target:
        """Return the target that a dict of one metric tells; anything else is an error."""
        if isinstance(target, Target):
            return target
        if not isinstance(target, Mapping) or len(target) != 1:
            raise bad_target(target)
        ((metric, value),) = target.items()
        if not isinstance(metric, str) or not metric.strip() or isinstance(value, bool):
            raise bad_target(target)
        if not isinstance(value, numbers.Real) or not math.isfinite(value):
            raise bad_target(target)
        if metric in _TAKEN:
            raise WorkbenchError(
                f'"{metric}" is an argument of eval, so it cannot be the metric.', 'Name it otherwise, such as "top1".'
            )
        for name, given, known in (("goal", goal, GOALS), ("unit", "any" if unit is None else unit, UNITS)):
            if not isinstance(given, str) or given not in known:
                hint = "Write " + " or ".join(f'{name}="{word}"' for word in known) + "."
                raise WorkbenchError(f"No {name} {given!r}.", suggest(str(given), known, hint, quote='"{}"'))
        if unit == "fraction" and goal == "max" and float(value) > 1:
            raise WorkbenchError(f"Target {value:g} is no fraction.", f'Use target {value / 100:g}, or unit="percent".')
        return cls(metric, float(value), str(goal), unit)

    @property
    def sign(self) -> str:
        """How the goal is written: `>=` or `<=`."""
        return ">=" if self.goal == "max" else "<="

    def meets(self, value: float) -> bool:
        """Return whether a value meets the target; NaN never does."""
        return value >= self.value if self.goal == "max" else value <= self.value

    @property
    def percent(self) -> bool:
        """Whether accuracies are in percent, else they are fractions."""
        if self.unit in ("percent", "fraction"):
            return self.unit == "percent"
        return self.value > _PERCENT

    def __str__(self) -> str:
        return f"{self.metric} {self.sign} {self.value:g}"


def bad_target(found: Any) -> WorkbenchError:
    """Return the error for what is no target."""
    return WorkbenchError(
        'Target must be one metric with a finite number, such as {"top1": 94}.', f"Found {_shown(found)}."
    )


def _shown(found: Any) -> str:
    if isinstance(found, str):
        return found or "nothing"
    if isinstance(found, Mapping):
        parts = [f"{_key(name)}: {_short(value)}" for name, value in list(found.items())[:4]]
        return "{" + ", ".join(parts + ["..."] * (len(found) > 4)) + "}"
    return _short(found)


def _key(name: Any) -> str:
    return f'"{name}"' if isinstance(name, str) else _short(name)


def _short(value: Any) -> str:
    if isinstance(value, numbers.Real):
        return str(value)
    text = " ".join(repr(value).split())
    return text if len(text) <= 40 else type(value).__name__

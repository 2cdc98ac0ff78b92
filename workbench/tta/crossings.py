"""Crossings of a target: the first row that meets it, confirmed or not, whether it held, what the interval hides.

Values are float64 as stored: equality counts, and there is no rounding, interpolation, smoothing or running maximum.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.engine.errors import WorkbenchError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["below_after", "crossing", "meets", "quantum"]


def meets(values: ArrayLike, target: float, goal: str = "max") -> NDArray[np.bool_]:
    """Return which values meet the target; NaN never does.

    Parameters
    ----------
    values : array-like of float, (n,)
    target : float
    goal : {"max", "min"}
    """
    v = np.asarray(values, dtype=np.float64)
    if goal not in ("max", "min"):
        raise WorkbenchError(f'goal is "max" or "min", not {goal!r}.', 'Write goal="max" or goal="min".')
    met: Any = v >= target if goal == "max" else v <= target
    return met


def crossing(values: ArrayLike, target: float, goal: str = "max", confirm: int = 1) -> int | None:
    """Return the row at which a target is crossed, or None.

    Parameters
    ----------
    values : array-like of float, (n,)
        In the order logged.
    target : float
    goal : {"max", "min"}
    confirm : int
        Rows in a row that must meet it. The crossing is the last of them, when the k-th evaluation is in.
    """
    if isinstance(confirm, bool) or not isinstance(confirm, (int, np.integer)) or confirm < 1:
        raise WorkbenchError(f"confirm is a whole number of evaluations from 1, not {confirm!r}.", "Write confirm=2.")
    met = meets(values, target, goal)
    if len(met) < confirm:
        return None
    if confirm > 1:
        # rows met among the last k, ending at each row: all of them where it is k
        total = np.concatenate(([0], np.cumsum(met)))
        met = total[confirm:] - total[:-confirm] == confirm
    first = int(met.argmax())
    return first + int(confirm) - 1 if met[first] else None


def below_after(values: ArrayLike, target: float, row: int, goal: str = "max") -> int:
    """Return how many rows after a crossing do not meet the target; 0 is a stable crossing."""
    return int((~meets(values, target, goal)[row + 1 :]).sum())


def quantum(seconds: ArrayLike, row: int) -> float:
    """Return the share of the time to a crossing that the evaluation interval hides.

    Parameters
    ----------
    seconds : array-like of float, (n,)
        Of each evaluation.
    row : int
        The crossing.

    Returns
    -------
    float
        Time between the crossing and the row before it (from 0 for the first row) over the time; 0 if that is 0.
    """
    t = np.asarray(seconds, dtype=np.float64)
    before = t[row - 1] if row else 0.0
    return float((t[row] - before) / t[row]) if t[row] != 0 else 0.0

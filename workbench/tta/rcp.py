"""Reference convergence points: does a submission converge faster than the reference can (MLPerf training rules)?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.engine.errors import WorkbenchError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["RCP", "olympic_mean", "rcp_check"]


@dataclass(frozen=True)
class RCP:
    """Outcome of `rcp_check`; all but `max_speedup` and `passes` in the unit of the epochs given.

    Attributes
    ----------
    mean, sd : float
        Of the reference, without its fastest and its slowest run; sd with ddof 0.
    min_mean : float
        The least mean that a submission may have.
    max_speedup : float
        A fraction: 0.0353 is 3.53 %.
    submission_mean : float
        Olympic mean of the submission; NaN with more than one miss.
    passes : bool
    """

    mean: float
    sd: float
    min_mean: float
    max_speedup: float
    submission_mean: float
    passes: bool

    def __str__(self) -> str:
        against = ">=" if self.passes else "<" if self.submission_mean < self.min_mean else "has no mean;"
        return (
            f"RCP {'passed' if self.passes else 'failed'}: submission {self.submission_mean:.2f} {against} "
            f"least {self.min_mean:.2f} (reference {self.mean:.2f}, sd {self.sd:.2f}, "
            f"speedup up to {100 * self.max_speedup:.2f} %)"
        )


def olympic_mean(times: ArrayLike, drop: int = 1) -> float:
    """Return the mean without the fastest and the slowest times.

    Parameters
    ----------
    times : array-like of float, (n,)
        None, NaN and inf are misses, slower than any time.
    drop : int
        Times left out at each end.

    Returns
    -------
    float
        NaN for more than `drop` misses.

    Raises
    ------
    WorkbenchError
        For fewer than `2 * drop + 1` times.
    """
    if isinstance(drop, bool) or not isinstance(drop, (int, np.integer)) or drop < 0:
        raise WorkbenchError(f"drop is {drop!r}; it is a number of times.", "Example: drop=1")
    values = np.sort(_epochs(times, "times"))
    if len(values) < 2 * drop + 1:
        given = f"{len(values)} time{'' if len(values) == 1 else 's'}"
        raise WorkbenchError(
            f"An olympic mean that drops {drop} at each end needs {2 * drop + 1} times; got {given}.",
            "Add runs, or pass a smaller drop.",
        )
    kept = values[drop : len(values) - drop]
    return float(kept.mean()) if np.isfinite(kept).all() else math.nan


def rcp_check(
    submission: ArrayLike,
    reference: ArrayLike | Mapping[float, ArrayLike],
    *,
    batch_size: float | None = None,
    p: float = 0.05,
) -> RCP:
    """Test whether a submission's epochs to the target are fewer than the reference's by more than chance.

    Parameters
    ----------
    submission : array-like of float
        Epochs of its runs; None, NaN and inf are misses.
    reference : array-like of float, or mapping
        Epochs of the reference's runs, or `{batch size: epochs}`: between batch sizes, mean and sd are interpolated.
    batch_size : float, optional
        The submission's, for a mapping of several.
    p : float
        One-sided level of the t test.

    Returns
    -------
    RCP

    Raises
    ------
    WorkbenchError
        For fewer than 3 runs on a side, misses in the reference, and a batch size outside the reference's.

    Notes
    -----
    With m and sd of the n1 reference runs kept and n2 = submission runs - 2: the least mean is
    `m - t(1 - p, n1 + n2 - 2) * sd * sqrt(1/n1 + 1/n2)`.
    """
    from scipy.stats import t

    if isinstance(p, bool) or not isinstance(p, (int, float)) or not 0 < p < 1:
        raise WorkbenchError(f"p is {p!r}; it is a level between 0 and 1.", "Example: p=0.05")
    runs = _epochs(submission, "submission")
    submission_mean = olympic_mean(runs)
    mean, sd, n1 = _reference(reference, batch_size)
    n2 = len(runs) - 2
    if n1 + n2 < 3:
        raise WorkbenchError(
            "With 3 runs on each side there is nothing to test: one of each is left.", "Add a run to either side."
        )
    least = mean - float(t.isf(p, n1 + n2 - 2)) * sd * math.sqrt(1 / n1 + 1 / n2)
    speedup = mean / least - 1 if least > 0 else math.inf
    return RCP(mean, sd, least, speedup, submission_mean, bool(submission_mean >= least))


# --------------------------------------------------------------------------------------------------------- private


def _reference(reference: Any, batch_size: float | None) -> tuple[float, float, int]:
    """Return mean, sd and number of the reference runs kept."""
    if not isinstance(reference, Mapping):
        return _kept(reference, "reference")
    if not reference:
        raise WorkbenchError("The reference has no batch size.", "Pass {128: [16, 14, ...]}.")
    sizes = sorted(reference)
    named = ", ".join(f"{size:g}" for size in sizes)
    if batch_size is None:
        if len(sizes) > 1:
            raise WorkbenchError(f"The reference has batch sizes {named}.", "Pass batch_size=, the submission's.")
        batch_size = sizes[0]
    if batch_size in reference:
        return _kept(reference[batch_size], f"reference at batch size {batch_size:g}")
    if not sizes[0] <= batch_size <= sizes[-1]:
        raise WorkbenchError(
            f"Batch size {batch_size:g} is outside the reference's {sizes[0]:g} to {sizes[-1]:g}.",
            f"Run the reference at {batch_size:g} and add its epochs.",
        )
    below, above = max(s for s in sizes if s < batch_size), min(s for s in sizes if s > batch_size)
    ends = [_kept(reference[size], f"reference at batch size {size:g}") for size in (below, above)]
    mean, sd = (float(np.interp(batch_size, (below, above), (ends[0][i], ends[1][i]))) for i in (0, 1))
    return mean, sd, min(ends[0][2], ends[1][2])  # the side with fewer runs says how sure the point is


def _kept(epochs: Any, name: str) -> tuple[float, float, int]:
    values = np.sort(_epochs(epochs, name))
    if len(values) < 3:
        raise WorkbenchError(f"The {name} has {len(values)} runs; the fastest and slowest drop out.", "Give 3 or more.")
    if not np.isfinite(values).all():
        raise WorkbenchError(f"The {name} has runs that missed the target.", "Give runs that reached it.")
    values = values[1:-1]
    return float(values.mean()), float(values.std()), len(values)


def _epochs(values: Any, name: str) -> NDArray[np.float64]:
    """Return numbers, with inf for what is missing."""
    try:
        x = np.array(
            [math.nan if v is None or type(v).__name__ == "NAType" else float(v) for v in values], dtype=np.float64
        )
    except (TypeError, ValueError):
        raise WorkbenchError(f"{name} is a list of numbers; got {values!r}.", "Example: [9.4, 9.8, None]") from None
    return np.where(np.isnan(x), np.inf, x)


def _missing(value: Any) -> bool:
    return value is None or type(value).__name__ == "NAType"

"""The options of a query, checked once, before anything runs."""

from __future__ import annotations

import numbers
import operator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.engine.errors import WorkbenchError
from workbench.engine.units import as_seconds

__all__ = ["Options", "check_options", "processed_frames"]

#: times compare with this tolerance, in seconds
TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Options:
    """What bounds a run: seconds of the video, the step between frames, how many events are wanted, how accurate."""

    start: float | None = None
    end: float | None = None
    every: int = 1
    limit: int | None = None
    fresh: bool = False
    #: None: exact
    accuracy: float | None = None


def check_options(
    *, start: Any = None, end: Any = None, every: Any = 1, limit: Any = None, accuracy: Any = None, fresh: bool = False
) -> Options:
    """Return the options in base units.

    Raises
    ------
    WorkbenchError
        For a value that cannot be meant, in the words of the design's table.
    """
    every = _whole(every, "every", "Use every=1 for each frame.")
    if limit is not None:
        limit = _whole(limit, "limit", "Use limit=None for all events.")
    least = _accuracy(accuracy)
    begin = None if start is None else as_seconds(start, "start")
    stop = None if end is None else as_seconds(end, "end")
    if begin is not None and begin < 0:
        raise WorkbenchError(f"start must not be negative, got {start}.", "Use start=None for the whole video.")
    if stop is not None and stop <= (begin or 0.0) + TOLERANCE:
        raise WorkbenchError(f"end must be after start, got {end} and {start or '0s'}.", "Use a later end.")
    return Options(begin, stop, every, limit, bool(fresh), least)


def processed_frames(times: NDArray[np.float64], options: Options) -> NDArray[np.int64]:
    """Return the source indices of the frames to process: ascending, multiples of `every`, `start <= time < end`.

    Parameters
    ----------
    times : float64 (frames,)
        Presentation times of the source in seconds.
    options : Options
    """
    first, last = 0, len(times)
    if options.start is not None:
        first = int(np.searchsorted(times, options.start - TOLERANCE, side="left"))
    if options.end is not None:
        last = int(np.searchsorted(times, options.end - TOLERANCE, side="left"))
    first = -(-first // options.every) * options.every
    return np.arange(first, max(last, first), options.every, dtype=np.int64)


def _whole(value: Any, name: str, hint: str) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if number < 1 or isinstance(value, bool):
        raise WorkbenchError(f"{name} must be a whole number of at least 1, got {value!r}.", hint)
    return number


def _accuracy(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real) or not 0.5 <= float(value) < 1:
        raise WorkbenchError(
            f"accuracy must be a number from 0.5 to below 1, got {value!r}.", "Use accuracy=None for the exact answer."
        )
    return float(value)

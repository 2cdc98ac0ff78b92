"""Seasonal residuals: what is left of a metric without its trend and its season."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.anomaly.durations import as_nanoseconds
from workbench.engine.errors import WorkbenchError

__all__ = ["Seasonal", "decompose", "nanoseconds", "residuals"]


@dataclass(frozen=True)
class Seasonal:
    """Score what is left of a metric without trend and season, as "mad" does.

    The trend is the centred rolling median over one period; the season is the median of what is left in each of the
    equal parts of the period, counted from the epoch in UTC.

    Parameters
    ----------
    time : str
        The column with the time of each row: timestamps, or seconds since the epoch. Rows may come in any order and at
        any distance, and several at once.
    period : str
        How long a season lasts: `"24h"`, `"7d"`.
    phases : int
        In how many parts it is cut.
    """

    time: str
    period: str
    phases: int = 24

    def __post_init__(self) -> None:
        if isinstance(self.period, dt.timedelta):
            object.__setattr__(self, "period", f"{self.period.total_seconds():.9g}s")
        if as_nanoseconds(self.period, "period") <= 0:
            raise WorkbenchError(
                f"period is {self.period}; it is how long a season lasts.", 'Give it as "24h" or "7d".'
            )
        if isinstance(self.phases, bool) or not isinstance(self.phases, int) or self.phases < 1:
            raise WorkbenchError(f"phases is {self.phases}; it is a number of parts.", "Give 1 or more, such as 24.")


def residuals(x: np.ndarray, time: Any, seasonal: Seasonal) -> np.ndarray:
    """Return x - trend - season.

    Parameters
    ----------
    x : float64 (n,), without NaN
    time : array_like of timestamps or numbers (n,)
    seasonal : Seasonal

    Returns
    -------
    float64 (n,)
        Infinite where x is.
    """
    return decompose(x, time, seasonal)[0]


def decompose(x: np.ndarray, time: Any, seasonal: Seasonal) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return residual, trend and season of each row, float64 (n,) each; the parameters are those of `residuals`."""
    if time is None:
        raise WorkbenchError(
            "Seasonal needs the time of each row.", f'Name its column: Seasonal("{seasonal.time}", …).'
        )
    ticks = nanoseconds(time, seasonal.time)
    if len(ticks) != len(x):
        raise WorkbenchError(f"{len(ticks):,} times for {len(x):,} rows.", "Give one time a row.")
    period = as_nanoseconds(seasonal.period, "period")
    trend = _rolling_median(x, ticks, period)
    left = x - trend
    season = _season(left, _phase(ticks, period, seasonal.phases), seasonal.phases)
    return left - season, trend, season


def nanoseconds(time: Any, name: str) -> np.ndarray:
    """Return times as nanoseconds since the epoch in UTC, int64 (n,).

    Parameters
    ----------
    time : array_like
        Timestamps or dates (without a zone they are UTC), or numbers: seconds since the epoch.
    name : str
        What messages call it.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if hasattr(time, "to_arrow"):
        time = time.to_arrow()
    if not isinstance(time, (pa.Array, pa.ChunkedArray)):
        time = pa.array(time, from_pandas=True)
    if isinstance(time, pa.ChunkedArray):
        time = time.combine_chunks()
    if isinstance(time, pa.DictionaryArray):
        time = time.dictionary_decode()
    kind = time.type
    if time.null_count:
        rows = "1 row has" if time.null_count == 1 else f"{time.null_count:,} rows have"
        raise WorkbenchError(f'{rows} no "{name}".', "Leave them out, or fill in their time.")
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        try:
            return (
                pc.cast(time, pa.timestamp("ns", kind.tz if pa.types.is_timestamp(kind) else None))
                .cast(pa.int64())
                .to_numpy()
            )
        except pa.ArrowInvalid as error:
            raise WorkbenchError(f'"{name}" has times before 1678 or after 2261.', "Leave these rows out.") from error
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        seconds = time.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        if not np.isfinite(seconds).all() or (len(seconds) and np.abs(seconds).max() > 9.2e9):
            raise WorkbenchError(f'"{name}" is not in seconds since 1970.', "Convert it to timestamps first.")
        return np.rint(seconds * 1e9).astype(np.int64)
    raise WorkbenchError(f'"{name}" is {kind}; a time is needed.', "Convert it to timestamps first.")


def _rolling_median(x: np.ndarray, ticks: np.ndarray, period: int) -> np.ndarray:
    """Return the median of the finite x in (t - period/2, t + period/2] for each time t; 0 where there are none."""
    import pandas as pd
    from pandas.api.indexers import BaseIndexer

    order = None if (ticks[1:] >= ticks[:-1]).all() else np.argsort(ticks, kind="stable")
    times = ticks if order is None else ticks[order]
    half = period // 2
    start = np.searchsorted(times, times - half, side="right")
    stop = np.searchsorted(times, times + (period - half), side="right")

    class Bounds(BaseIndexer):  # type: ignore[misc]
        # Rows at the same time see the same window, which pandas' own windows by time do not promise.
        def get_window_bounds(
            self, num_values: Any = 0, min_periods: Any = None, center: Any = None, closed: Any = None, step: Any = None
        ) -> tuple[np.ndarray, np.ndarray]:
            return start, stop

    values = pd.Series(x if order is None else x[order])
    trend = values.rolling(Bounds(), min_periods=1).median().to_numpy()
    trend = np.where(np.isnan(trend), 0.0, trend)
    if order is None:
        return trend
    back = np.empty_like(trend)
    back[order] = trend
    return back


def _phase(ticks: np.ndarray, period: int, phases: int) -> np.ndarray:
    """Return in which part of the period each time lies, int64 (n,)."""
    # Where each part begins, rounded up: exact for any period and any number of parts.
    edges = np.array([-(-j * period // phases) for j in range(1, phases)], dtype=np.int64)
    return np.searchsorted(edges, ticks % period, side="right")


def _season(left: np.ndarray, phase: np.ndarray, phases: int) -> np.ndarray:
    """Return the median of the finite values of each phase, for each row."""
    order = np.argsort(phase, kind="stable")
    ends = np.searchsorted(phase[order], np.arange(phases + 1))
    medians = np.zeros(phases)
    for j in range(phases):
        values = left[order[ends[j] : ends[j + 1]]]
        values = values[np.isfinite(values)]
        if len(values):
            medians[j] = np.median(values) + 0.0
    return medians[phase]

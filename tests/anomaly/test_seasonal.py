from __future__ import annotations

import datetime as dt
import math
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.anomaly.test_passes import Parts
from workbench.anomaly.durations import as_nanoseconds
from workbench.anomaly.passes import ArrayPasses
from workbench.anomaly.score import fit
from workbench.anomaly.seasonal import Seasonal, decompose, nanoseconds, residuals
from workbench.engine.errors import WorkbenchError

HOUR = 3600


def brute(x: np.ndarray, seconds: list[int], period: int, phases: int) -> np.ndarray:
    """Section by section, without any cleverness; whole seconds, finite x."""
    trend = np.array(
        [np.median([v for v, s in zip(x, seconds, strict=True) if -period / 2 < s - t <= period / 2]) for t in seconds]
    )
    left = x - trend
    phase = [(t % period) * phases // period for t in seconds]
    season = [np.median([v for v, p in zip(left, phase, strict=True) if p == mine]) for mine in phase]
    return left - np.array(season)


@given(
    st.lists(st.tuples(st.integers(-500, 500), st.integers(-9, 9)), min_size=1, max_size=40),
    st.sampled_from([2, 14, 60, 240]),
    st.integers(1, 9),
)
@settings(max_examples=60)
def test_c11_irregular_unsorted_and_repeated_times(rows: list[tuple[int, int]], period: int, phases: int) -> None:
    seconds, x = [t for t, _ in rows], np.array([v for _, v in rows], dtype=np.float64)
    found = residuals(x, seconds, Seasonal("t", f"{period}s", phases))
    assert (found == brute(x, seconds, period, phases)).all()


def test_c11_rows_that_are_usual_at_another_hour_are_found() -> None:
    rng = np.random.default_rng(0)
    hours = np.arange(24 * 60)
    x = 50 + 40 * np.sin(hours / 24 * 2 * np.pi) + 0.02 * hours + rng.normal(0, 1, len(hours))
    planted = np.arange(7, 24 * 60, 24 * 5)
    x[planted] = 50 + 0.02 * planted  # the middle of the day's range, but not at seven
    time = pd.Timestamp("2026-01-01") + pd.to_timedelta(hours, unit="h")
    seasonal = Seasonal("time", "24h")
    scored = fit(ArrayPasses(x), score=seasonal, top=len(planted) / len(x), metrics=["x"], time=time)
    assert set(planted) <= set(np.flatnonzero(scored.model.flags(x)).tolist())
    assert scored.cutoff.low < -2 and 2 < scored.cutoff.high < 40  # of the residual
    plain = fit(ArrayPasses(x), score="mad", top=len(planted) / len(x))
    assert not plain.model.flags(x)[planted].any()
    left = residuals(x, time, seasonal)
    r = np.abs(left - np.median(left))
    assert (scored.model.score(x) == r / np.median(r)).all()


def test_c11_parts_are_gathered_and_rows_keep_their_place() -> None:
    rng = np.random.default_rng(1)
    x, time = rng.normal(0, 1, 1_000), rng.integers(0, 10**6, 1_000)
    seasonal = Seasonal("t", "1d", 6)
    whole = fit(ArrayPasses(x), score=seasonal, tail="low", time=time)
    parts = fit(Parts(x, [10, 700]), score=seasonal, tail="low", time=time)
    assert (whole.model.score(x) == parts.model.score(x)).all() and whole.cutoff == parts.cutoff
    assert (parts.model.part(10, 700).flags(x[10:700]) == whole.model.flags(x)[10:700]).all()
    assert whole.cutoff.high == math.inf
    with pytest.raises(ValueError, match="1000 rows"):
        whole.model.score(x[:10])


def test_c11_phases_count_from_the_epoch_in_utc() -> None:
    period = "7h"  # does not divide the day, so that the day's start does not matter
    zoned = pd.date_range("2026-03-28 20:10", periods=40, freq="37min", tz="Europe/Berlin")
    x = np.random.default_rng(2).normal(0, 1, 40)
    ticks = np.array([int(t.timestamp()) for t in zoned])
    expected = brute(x, ticks.tolist(), 7 * HOUR, 5)
    assert (residuals(x, zoned, Seasonal("t", period, 5)) == expected).all()
    assert (residuals(x, zoned.tz_convert("UTC").tz_localize(None), Seasonal("t", period, 5)) == expected).all()


def test_c11_infinite_metrics_do_not_move_the_trend() -> None:
    x = np.array([1.0, 2.0, math.inf, 3.0, 4.0, -math.inf, 2.0])
    time = np.arange(7) * 10
    left, trend, season = decompose(x, time, Seasonal("t", "30s", 2))
    assert left[2] == math.inf and left[5] == -math.inf
    assert np.isfinite(trend).all() and np.isfinite(season).all() and np.isfinite(np.delete(left, [2, 5])).all()
    alone = decompose(np.array([math.inf]), [0], Seasonal("t", "1s"))
    assert alone[0][0] == math.inf and alone[1][0] == 0.0
    scored = fit(ArrayPasses(x), score=Seasonal("t", "30s", 2), time=time)
    assert scored.model.flags(x)[[2, 5]].all()


TIMES = [dt.datetime(2026, 1, 1, 0, 0, s) for s in (0, 1, 3)]
EPOCH = 1_767_225_600


@pytest.mark.parametrize(
    "time",
    [
        TIMES,
        np.array(TIMES, dtype="datetime64[us]"),
        np.array(TIMES, dtype="datetime64[s]"),
        pd.Series(TIMES),
        pd.Series(TIMES).dt.tz_localize("UTC").dt.tz_convert("Asia/Kolkata"),
        pd.DatetimeIndex(TIMES),
        pl.Series(TIMES),
        pa.array(TIMES, pa.timestamp("ms")),
        pa.chunked_array([pa.array(TIMES[:1]), pa.array(TIMES[1:])]),
        pa.array(TIMES, pa.timestamp("us", "Europe/Paris")),
        pa.array(TIMES).dictionary_encode(),
        [EPOCH, EPOCH + 1, EPOCH + 3],
        np.array([EPOCH, EPOCH + 1, EPOCH + 3], dtype=np.float64),
    ],
)
def test_times_of_many_kinds(time: Any) -> None:
    assert (nanoseconds(time, "t") // 10**9 - EPOCH).tolist() == [0, 1, 3]


def test_dates_and_fractions_of_seconds() -> None:
    assert nanoseconds(pa.array([dt.date(1970, 1, 2)]), "t").tolist() == [86_400 * 10**9]
    assert nanoseconds([0.25, -1.5], "t").tolist() == [250_000_000, -1_500_000_000]


@pytest.mark.parametrize(
    ("time", "message"),
    [
        (["a", "b"], '"ts" is string; a time is needed'),
        ([TIMES[0], None], '1 row has no "ts"'),
        ([1e18, 1.0], '"ts" is not in seconds since 1970'),
        (np.array(["1500-01-01", "2000-01-01"], dtype="datetime64[s]"), "before 1678"),
    ],
)
def test_times_that_cannot_be_used(time: Any, message: str) -> None:
    with pytest.raises(WorkbenchError, match=message):
        nanoseconds(time, "ts")


def test_what_seasonal_checks() -> None:
    with pytest.raises(WorkbenchError, match="period needs a unit, got 7"):
        Seasonal("t", 7)  # type: ignore[arg-type]
    with pytest.raises(WorkbenchError, match='period is a duration; got "weekly"'):
        Seasonal("t", "weekly")
    with pytest.raises(WorkbenchError, match="period is 0d"):
        Seasonal("t", "0d")
    with pytest.raises(WorkbenchError, match="phases is 0"):
        Seasonal("t", "7d", 0)
    assert Seasonal("t", dt.timedelta(hours=36)).period == "129600s"  # type: ignore[arg-type]
    x = np.arange(3.0)
    with pytest.raises(WorkbenchError, match="needs the time"):
        fit(ArrayPasses(x), score=Seasonal("t", "7d"))
    with pytest.raises(WorkbenchError, match="2 times for 3 rows"):
        residuals(x, [0, 1], Seasonal("t", "7d"))
    with pytest.raises(WorkbenchError, match="Seasonal takes one metric; got 2"):
        fit(ArrayPasses(np.zeros((3, 2))), score=Seasonal("t", "7d"), time=[0, 1, 2])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("90s", 90e9),
        ("10m", 600e9),
        ("2min", 120e9),
        ("1.5h", 5400e9),
        ("7d", 604_800e9),
        ("2w", 1_209_600e9),
        ("5 ms", 5e6),
    ],
)
def test_durations(text: str, value: float) -> None:
    assert as_nanoseconds(text, "window") == value
    with pytest.raises(WorkbenchError, match="window is a duration; got NoneType"):
        as_nanoseconds(None, "window")
    with pytest.raises(WorkbenchError, match="window is a duration; got"):
        as_nanoseconds(text + "s s", "window")

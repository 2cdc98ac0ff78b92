"""`.dt`: fields of times, by integer arithmetic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.fusion import expr as ir
from workbench.fusion.capture.columns import Column
from workbench.fusion.capture.fallback import run_in_pandas

if TYPE_CHECKING:
    from workbench.fusion.capture.series import LazySeries
    from workbench.fusion.expr import Expr

__all__ = ["Dates"]

#: units a day
_PER_DAY = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}


class Dates:
    """What `.dt` gives."""

    def __init__(self, series: LazySeries) -> None:
        self._series = series

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        series = self._series
        column = series._column
        if name in FIELDS or name == "normalize":
            why = _computes(column)
            if not why:
                if name == "normalize":
                    return lambda: series._new(_normalized(column))
                found = ir.cast(FIELDS[name](_days(column), _clock(column)), np.int32)
                return series._new(Column(found.dtype, column.domain, found))
        else:
            why = "unsupported operation"
        value = series._fusion_value()
        found = getattr(value.dt, name)
        if not callable(found):
            return run_in_pandas(f"dt.{name}", lambda s: getattr(s.dt, name), series, reason=why)

        def call(*args: Any, **kwargs: Any) -> Any:
            return run_in_pandas(
                f"dt.{name}", lambda s, *a, **k: getattr(s.dt, name)(*a, **k), series, *args, reason=why, **kwargs
            )

        return call


def _computes(column: Column) -> str:
    """Return why fields of a column do not fuse, "" if they do: a missing time makes floats of them."""
    if not column.time or column.dtype.kind != "M" or np.datetime_data(column.dtype)[0] not in _PER_DAY:
        return "unsupported operation"
    if column.source is None or column.gaps or column.source.missing_times():
        return "data-dependent dtype"
    return ""


def _per_day(column: Column) -> int:
    return _PER_DAY[np.datetime_data(column.dtype)[0]]


def _days(column: Column) -> Expr:
    """Return days since 1970-01-01."""
    return ir.map_("floor_divide", column.expr, ir.const(_per_day(column)))


def _clock(column: Column) -> Expr:
    """Return seconds since midnight."""
    per_day = _per_day(column)
    rest = ir.map_("remainder", column.expr, ir.const(per_day))
    return ir.map_("floor_divide", rest, ir.const(per_day // 86_400)) if per_day != 86_400 else rest


def _normalized(column: Column) -> Column:
    rest = ir.map_("remainder", column.expr, ir.const(_per_day(column)))
    return Column(column.dtype, column.domain, ir.map_("subtract", column.expr, rest))


def _op(name: str, x: Expr, value: int | Expr) -> Expr:
    return ir.map_(name, x, value if isinstance(value, ir.Expr) else ir.const(value))


def _civil(days: Expr) -> tuple[Expr, Expr, Expr]:
    """Return year, month and day of the proleptic Gregorian calendar, by eras of 400 years that begin in March."""
    shifted = _op("add", days, 719_468)
    era = _op("floor_divide", shifted, 146_097)
    of_era = _op("remainder", shifted, 146_097)
    leaps = _op("subtract", of_era, _op("floor_divide", of_era, 1_460))
    leaps = _op("add", leaps, _op("floor_divide", of_era, 36_524))
    leaps = _op("subtract", leaps, _op("floor_divide", of_era, 146_096))
    year_of_era = _op("floor_divide", leaps, 365)
    before = _op("add", _op("multiply", year_of_era, 365), _op("floor_divide", year_of_era, 4))
    before = _op("subtract", before, _op("floor_divide", year_of_era, 100))
    of_year = _op("subtract", of_era, before)
    march = _op("floor_divide", _op("add", _op("multiply", of_year, 5), 2), 153)
    first = _op("floor_divide", _op("add", _op("multiply", march, 153), 2), 5)
    day = _op("add", _op("subtract", of_year, first), 1)
    late = ir.cast(_op("greater_equal", march, 10), np.int64)
    month = _op("subtract", _op("add", march, 3), _op("multiply", late, 12))
    year = _op("add", _op("add", year_of_era, _op("multiply", era, 400)), late)
    return year, month, day


def _day_of_year(days: Expr, clock: Expr) -> Expr:
    year = _op("subtract", _civil(days)[0], 1)
    before = _op("add", _op("multiply", year, 365), _op("floor_divide", year, 4))
    before = _op("subtract", before, _op("floor_divide", year, 100))
    before = _op("add", before, _op("floor_divide", year, 400))
    return _op("subtract", _op("add", days, 719_163), before)


def _weekday(days: Expr, clock: Expr) -> Expr:
    return _op("remainder", _op("add", days, 3), 7)


#: name -> from days since 1970 and seconds of the day to the field
FIELDS: dict[str, Any] = {
    "year": lambda days, clock: _civil(days)[0],
    "month": lambda days, clock: _civil(days)[1],
    "day": lambda days, clock: _civil(days)[2],
    "quarter": lambda days, clock: _op("floor_divide", _op("add", _civil(days)[1], 2), 3),
    "hour": lambda days, clock: _op("floor_divide", clock, 3600),
    "minute": lambda days, clock: _op("remainder", _op("floor_divide", clock, 60), 60),
    "second": lambda days, clock: _op("remainder", clock, 60),
    "dayofweek": _weekday,
    "day_of_week": _weekday,
    "weekday": _weekday,
    "dayofyear": _day_of_year,
    "day_of_year": _day_of_year,
}

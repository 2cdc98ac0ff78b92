"""Lengths of time as text: `"10m"`, `"7d"`, `"1.5h"`. Where a duration is expected, m is minutes."""

from __future__ import annotations

import datetime as dt
import re
from fractions import Fraction
from typing import Any

from workbench.engine.errors import WorkbenchError

__all__ = ["as_nanoseconds"]

_UNITS = {
    "ns": 1,
    "us": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "min": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 86400 * 10**9,
    "w": 7 * 86400 * 10**9,
}
_DURATION = re.compile(r"\s*(\d+\.?\d*|\.\d+)\s*([A-Za-z]+)\s*\Z")


def as_nanoseconds(value: Any, name: str) -> int:
    """Return a duration in nanoseconds.

    Parameters
    ----------
    value : str or timedelta
        `"90s"`, `"10m"`, `"1.5h"`, `"7d"`, `"2w"`, and so on from ns.
    name : str
        What the message calls it.

    Raises
    ------
    WorkbenchError
        For a bare number or unreadable text.
    """
    if isinstance(value, dt.timedelta):
        return (value // dt.timedelta(microseconds=1)) * 1000
    if isinstance(value, str):
        found = _DURATION.match(value)
        if found and found[2] in _UNITS:
            return int(Fraction(found[1]) * _UNITS[found[2]])
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise WorkbenchError(f"{name} needs a unit, got {value:g}.", f'Write "{value:g}m" for minutes or "{value:g}d".')
    shown = f'"{value}"' if isinstance(value, str) else type(value).__name__
    raise WorkbenchError(f"{name} is a duration; got {shown}.", 'Write "90s", "10m", "24h" or "7d".')

"""Quantities with units, written as text: `"30s"`, `"2min"`, `"80px"`, `"1.5m"`, `"64MiB"`, `"$5"`."""

from __future__ import annotations

import datetime as dt
import math
import re
from dataclasses import dataclass
from typing import Any

from workbench.engine.errors import WorkbenchError

__all__ = [
    "Dimension",
    "Quantity",
    "as_bytes",
    "as_seconds",
    "format_bytes",
    "format_clock",
    "format_moment",
    "parse_quantity",
]


@dataclass(frozen=True, slots=True)
class Dimension:
    """Exponents of the base units; all zero is a plain number.

    Angles count as a dimension of their own, and so does a number of frames, since neither may be mixed with numbers
    by accident.
    """

    px: int = 0
    m: int = 0
    s: int = 0
    deg: int = 0
    frames: int = 0
    percent: int = 0
    byte: int = 0
    dollar: int = 0

    def _powers(self) -> tuple[int, ...]:
        return (self.px, self.m, self.s, self.deg, self.frames, self.percent, self.byte, self.dollar)

    def __mul__(self, other: Dimension) -> Dimension:
        return Dimension(*(a + b for a, b in zip(self._powers(), other._powers(), strict=True)))

    def __truediv__(self, other: Dimension) -> Dimension:
        return Dimension(*(a - b for a, b in zip(self._powers(), other._powers(), strict=True)))

    def __bool__(self) -> bool:
        return any(self._powers())

    def __str__(self) -> str:
        names = ("px", "m", "s", "deg", "frames", "%", "bytes", "$")
        top = "*".join(
            name if power == 1 else "*".join([name] * power)
            for name, power in zip(names, self._powers(), strict=True)
            if power > 0
        )
        low = "*".join(
            "*".join([name] * -power) for name, power in zip(names, self._powers(), strict=True) if power < 0
        )
        return (top or ("1" if low else "number")) + (f"/{low}" if low else "")


_NONE = Dimension()
_TIME, _LENGTH, _PIXEL = Dimension(s=1), Dimension(m=1), Dimension(px=1)
_SPEED, _PIXEL_SPEED, _BYTES = _LENGTH / _TIME, _PIXEL / _TIME, Dimension(byte=1)

#: unit -> (factor to base units, dimension)
UNITS: dict[str, tuple[float, Dimension]] = {
    "ms": (1e-3, _TIME),
    "s": (1.0, _TIME),
    "min": (60.0, _TIME),
    "h": (3600.0, _TIME),
    "frames": (1.0, Dimension(frames=1)),
    "frame": (1.0, Dimension(frames=1)),
    "px": (1.0, _PIXEL),
    "m": (1.0, _LENGTH),
    "cm": (0.01, _LENGTH),
    "km": (1000.0, _LENGTH),
    "px/s": (1.0, _PIXEL_SPEED),
    "m/s": (1.0, _SPEED),
    "km/h": (1 / 3.6, _SPEED),
    "mph": (0.44704, _SPEED),
    "deg": (1.0, Dimension(deg=1)),
    "%": (0.01, Dimension(percent=1)),
    "B": (1.0, _BYTES),
    "kB": (1e3, _BYTES),
    "KB": (1e3, _BYTES),
    "MB": (1e6, _BYTES),
    "GB": (1e9, _BYTES),
    "TB": (1e12, _BYTES),
    "KiB": (2.0**10, _BYTES),
    "MiB": (2.0**20, _BYTES),
    "GiB": (2.0**30, _BYTES),
    "TiB": (2.0**40, _BYTES),
}

_QUANTITY = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Za-z%/]+)\s*\Z")
_DOLLAR = re.compile(r"\s*\$\s*(\d+\.?\d*|\.\d+)\s*\Z")
_CLOCK = re.compile(r"\s*(?:(\d+):)?(\d{1,2}):([0-5]\d(?:\.\d+)?)\s*\Z")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number in base units (s, px, m, deg, bytes, dollars, fractions for %) with its dimension."""

    value: float
    dimension: Dimension
    text: str = ""

    def __str__(self) -> str:
        return self.text or f"{self.value:g}{self.dimension}"


def parse_quantity(text: str) -> Quantity | None:
    """Read `"80px"`; None if the text is no number followed by a known unit."""
    if found := _DOLLAR.match(text):
        return Quantity(float(found[1]), Dimension(dollar=1), text.strip())
    found = _QUANTITY.match(text)
    if not found or found[2] not in UNITS:
        return None
    factor, dimension = UNITS[found[2]]
    return Quantity(float(found[1]) * factor, dimension, text.strip())


def as_seconds(value: Any, name: str, *, clock: bool = True) -> float:
    """Return seconds from `"90s"`, `"2min"`, `"01:30"`, `"1:02:03.5"` or a timedelta.

    Parameters
    ----------
    value : str or timedelta
    name : str
        What the message calls it.
    clock : bool
        Whether `MM:SS` is accepted: a position may be a clock time, a duration may not.

    Raises
    ------
    WorkbenchError
        For a bare number, another dimension or unreadable text.
    """
    example = '"90s", "2min" or "01:30"' if clock else '"0.5s" or "2min"'
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, str):
        if clock and (found := _CLOCK.match(value)):
            return float(found[1] or 0) * 3600 + float(found[2]) * 60 + float(found[3])
        quantity = parse_quantity(value)
        if quantity is not None and quantity.dimension == _TIME:
            return quantity.value
        if quantity is not None:
            raise WorkbenchError(f'{name} is a time and "{value}" is not.', f"Write {example}.")
        if re.fullmatch(r"\s*[+-]?(\d+\.?\d*|\.\d+)\s*", value):
            raise WorkbenchError(f"{name} needs a unit, got {value.strip()}.", f'Write "{value.strip()}s".')
        raise WorkbenchError(f'{name} is a time; got "{value}".', f"Write {example}.")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise WorkbenchError(f"{name} needs a unit, got {value:g}.", f'Write "{value:g}s".')
    raise WorkbenchError(f"{name} is a time; got {type(value).__name__}.", f"Write {example}.")


def as_bytes(value: Any, name: str) -> int:
    """Return a number of bytes from `"64MiB"` or `"2GB"`; a bare number is an error."""
    if isinstance(value, str):
        quantity = parse_quantity(value)
        if quantity is not None and quantity.dimension == _BYTES and 0 <= quantity.value < math.inf:
            return round(quantity.value)
        shown = f'"{value}"'
    else:
        shown = f"{value!r}"
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            raise WorkbenchError(f"{name} needs a unit, got {shown}.", f'Write "{value:g}MiB".')
    raise WorkbenchError(f"{name} is a size; got {shown}.", 'Write "64MiB" or "2GB".')


def format_bytes(count: float) -> str:
    """Write a number of bytes for people: `1.5 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.3g} TiB"


def format_clock(seconds: float) -> str:
    """Write a position in a video: `02:10`, or `1:02:03` from an hour on."""
    whole = int(seconds + 1e-6)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


def format_moment(seconds: float) -> str:
    """Return Unix seconds as local date and time, `2026-03-01 14:05:09`; nothing for NaN."""
    return "" if math.isnan(seconds) else dt.datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")

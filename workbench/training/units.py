"""Quantities of training: durations, sizes, bandwidths and prices, as numbers or as text with a unit."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.engine.units import Dimension, parse_quantity

if TYPE_CHECKING:
    from workbench.training.errors import TrainingError

__all__ = [
    "Interval", "as_bandwidth", "as_dollars", "as_duration", "as_interval", "as_size", "show_bytes", "show_seconds",
]  # fmt: skip

_BIT = re.compile(r"\s*(\d+\.?\d*|\.\d+)\s*(k|m|g|t)?bit(?:/s|ps)?\s*\Z", re.IGNORECASE)
_STEPS = re.compile(r"\s*(\d+)\s*steps?\s*\Z")
_PREFIX = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}


def as_duration(value: Any, name: str) -> float:
    """Return seconds from a number of seconds or from text such as `"60s"`.

    Raises
    ------
    TrainingError
        For what is neither, and for what is negative or not finite.
    """
    return _read(value, name, Dimension(s=1), "a time", '"60s" or a number of seconds')


@dataclass(frozen=True)
class Interval:
    """The time, or the number of steps, between two of something."""

    seconds: float = 0.0
    steps: int | None = None


def as_interval(value: Any, name: str) -> Interval:
    """Return an interval from seconds, or from text such as `"60s"` or `"100steps"`.

    Raises
    ------
    TrainingError
        For what is neither, and for none at all.
    """
    if isinstance(value, str) and (found := _STEPS.match(value)) and int(found[1]):
        return Interval(steps=int(found[1]))
    example = '"60s" or "100steps"'
    seconds = _read(value, name, Dimension(s=1), "a time or a number of steps", example)
    if not seconds:
        raise _wrong(f"{name} must be above zero; got {value}.", example)
    return Interval(seconds)


def as_size(value: Any, name: str) -> float:
    """Return bytes from a number or from text such as `"2GB"` or `"2GiB"`.

    Raises
    ------
    TrainingError
        For what is neither, and for what is negative or not finite.
    """
    return _read(value, name, Dimension(byte=1), "a size", '"2GB", "2GiB" or a number of bytes')


def as_dollars(value: Any, name: str) -> float:
    """Return dollars from a number or from text such as `"$0.91"`.

    Raises
    ------
    TrainingError
        For what is neither, and for what is negative or not finite.
    """
    return _read(value, name, Dimension(dollar=1), "an amount of money", '"$0.91" or a number of dollars')


def as_bandwidth(value: Any, name: str) -> float:
    """Return bytes per second from a number of them or from text such as `"100mbit"`, `"10gbit"` or `"1GB/s"`.

    Raises
    ------
    TrainingError
        For what is neither, and for what is not above zero or not finite.
    """
    example = '"100mbit", "1GB/s" or a number of bytes per second'
    if isinstance(value, str) and (found := _BIT.match(value)):
        rate = float(found[1]) * _PREFIX[(found[2] or "").lower()] / 8
    else:
        text = re.sub(r"/s\s*\Z", "", value) if isinstance(value, str) else value
        if isinstance(value, str) and text == value:
            raise _wrong(f'{name} is a rate; got "{value}".', example)
        rate = _read(text, name, Dimension(byte=1), "a rate", example)
    if not rate > 0:
        raise _wrong(f"{name} must be above zero; got {value}.", example)
    return rate


def show_bytes(count: float) -> str:
    """Write bytes for people in decimal units: `410 MB`, `3.1 GB`."""
    return _scaled(count, ("B", "kB", "MB", "GB", "TB", "PB"))


def show_seconds(seconds: float) -> str:
    """Write a duration for people: `206 ms`, `1.4 s`, `14 s`, `3.2 min`, `5.1 h`."""
    if seconds >= 7200:
        return f"{_figures(seconds / 3600)} h"
    if seconds >= 120:
        return f"{_figures(seconds / 60)} min"
    if seconds >= 1 or seconds <= 0:
        return f"{_figures(seconds)} s"
    if seconds >= 1e-3:
        return f"{_figures(seconds * 1e3)} ms"
    return f"{_figures(seconds * 1e6)} µs"


def _read(value: Any, name: str, dimension: Dimension, kind: str, example: str) -> float:
    number: float | None = None
    if isinstance(value, str):
        quantity = parse_quantity(value)
        if quantity is not None and quantity.dimension == dimension:
            number = quantity.value
    elif not isinstance(value, bool):
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = None
    if number is None or not math.isfinite(number) or number < 0:
        shown = f'"{value}"' if isinstance(value, str) else f"{value!r}"
        raise _wrong(f"{name} is {kind}; got {shown}.", example)
    return number


def _wrong(message: str, example: str) -> TrainingError:
    from workbench.training.errors import TrainingError  # which itself writes quantities

    return TrainingError(message, f"Write {example}.")


def _scaled(count: float, units: tuple[str, ...]) -> str:
    for unit in units[:-1]:
        if abs(count) < 999.5:
            return f"{_figures(count)} {unit}"
        count /= 1000
    return f"{_figures(count)} {units[-1]}"


def _figures(number: float) -> str:
    """Write two figures below ten, whole numbers from there on."""
    return f"{number:.0f}" if number == 0 or abs(number) >= 9.95 else f"{number:.1f}"

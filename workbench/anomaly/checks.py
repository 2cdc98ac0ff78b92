"""Checks of single options: a value out of its range is told with what would be in it."""

from __future__ import annotations

import math
from typing import Any

from workbench.engine.errors import WorkbenchError

__all__ = [
    "check_count",
    "check_decay",
    "check_known",
    "check_min_ratio",
    "check_number",
    "check_support",
    "check_top",
    "shown",
]


def check_top(top: Any, score: Any = "mad") -> float:
    """Return `top`, a share of rows; with "percentile" that of each tail."""
    if score == "percentile" and _is_number(top) and 0.5 <= top < 1:
        raise WorkbenchError(
            f"top is {shown(top)}; with percentile it is the share of each tail.", "Give 0 < top < 0.5, such as 0.01."
        )
    if not _is_number(top) or not 0 < top < 1:
        raise WorkbenchError(f"top is {shown(top)}; it is a share of rows.", "Give 0 < top < 1, such as 0.01.")
    return float(top)


def check_support(min_support: Any) -> float:
    """Return `min_support`, a share of the outliers."""
    if not _is_number(min_support) or not 0 <= min_support <= 1:
        raise WorkbenchError(
            f"min_support is {shown(min_support)}; it is a share of the outliers.",
            "Give 0 <= min_support <= 1, such as 0.01.",
        )
    return float(min_support)


def check_min_ratio(min_ratio: Any, compare: str = "risk_ratio") -> float:
    """Return `min_ratio`, the least value of the compare metric."""
    return check_number("min_ratio", min_ratio, f"the least value of {compare}", 3.0)


def check_number(name: str, value: Any, what: str, example: float) -> float:
    """Return any number but NaN."""
    if not _is_number(value):
        raise WorkbenchError(f"{name} is {shown(value)}; it is {what}.", f"Give a number, such as {example}.")
    return float(value)


def check_decay(decay: Any) -> float:
    """Return `decay`, the share forgotten at each pane end."""
    if not _is_number(decay) or not 0 <= decay < 1:
        raise WorkbenchError(
            f"decay is {shown(decay)}; it is the share forgotten at each pane end.",
            "Give 0 <= decay < 1, such as 0.01.",
        )
    return float(decay)


def check_count(name: str, value: Any, what: str, least: int, example: int) -> int:
    """Return a whole number that is at least `least`."""
    whole = _is_number(value) and float(value).is_integer()
    if not whole or value < least:
        raise WorkbenchError(f"{name} is {shown(value)}; it is {what}.", f"Give {least} or more, such as {example}.")
    return int(value)


def check_known(what: str, value: Any, known: tuple[str, ...], also: str = "") -> str:
    """Return `value` if it is one of `known`."""
    if not isinstance(value, str) or value not in known:
        named = f'"{value}"' if isinstance(value, str) else shown(value)
        raise WorkbenchError(f"No {what} {named}.", f"Known: {', '.join(known)}{also}")
    return value


def shown(value: Any) -> str:
    """Write a value that was given, for a message."""
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, (bool, int, float)) or value is None:
        return f"{value}"
    try:
        return f"{value.item()}" if hasattr(value, "item") else f"a {type(value).__name__}"
    except (TypeError, ValueError):
        return f"a {type(value).__name__}"


def _is_number(value: Any) -> bool:
    import numbers

    return isinstance(value, numbers.Real) and not isinstance(value, bool) and not math.isnan(value)

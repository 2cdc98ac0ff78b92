"""Aggregates by group: what a loop merges for each, and the value of what was merged."""

from __future__ import annotations

import numpy as np

from workbench.fusion.expr import group_dtype

__all__ = ["accumulator", "value"]

_MERGE = {"sum": "+", "prod": "*", "mean": "+", "any": "or", "all": "and", "var": "moments", "std": "moments"}


def accumulator(op: str, dtype: np.dtype) -> tuple[str, str]:
    """Return with what the values of an aggregate are merged, and as what dtype.

    Parameters
    ----------
    op : str
        sum prod mean var std min max first last any all, or count, for which ones are merged.
    dtype : dtype
        Of the values.
    """
    if op == "count":
        return "+", "int64"
    if op in ("first", "last", "min", "max"):
        return op, dtype.name
    if op in ("any", "all"):
        return _MERGE[op], "bool"
    wide = group_dtype(op, dtype) if op in ("sum", "prod") else np.dtype(np.float64)
    return _MERGE[op], "float64" if wide.kind == "f" else wide.name


def value(op: str, dtype: np.dtype, parts: list[np.ndarray], ddof: int) -> np.ndarray:
    """Return an aggregate of groups, as pandas gives it.

    Parameters
    ----------
    op : str
        As in `accumulator`, or size.
    dtype : dtype
        Of the values.
    parts : list of ndarray, (groups,)
        What was merged; for mean, and for min and max of floats, then how many values there were.
    ddof : int
        Of var and std.
    """
    if op in ("size", "count", "any", "all"):
        return parts[0]
    wanted = group_dtype(op, dtype)
    with np.errstate(all="ignore"):
        if op == "mean":
            return (parts[0] / parts[1]).astype(wanted)
        if op in ("var", "std"):
            count, _, spread = parts
            found = np.where(count > ddof, spread / (count - ddof), np.nan)
            return (np.sqrt(found) if op == "std" else found).astype(wanted)
        if op in ("min", "max", "first", "last") and dtype.kind == "f":
            there = parts[1] >= 0 if op in ("first", "last") else parts[1] > 0
            return np.where(there, parts[0], np.nan).astype(wanted)
        return parts[0].astype(wanted)

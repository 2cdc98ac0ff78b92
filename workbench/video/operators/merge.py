"""The tables of several videos as one: in the order of the videos, events numbered through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from workbench.video.operators.columns import typed

__all__ = ["joined_tables", "merged_answers"]


def merged_answers(parts: Sequence[Mapping[str, pd.DataFrame]]) -> dict[str, pd.DataFrame]:
    """Return the tables of one answer over all videos.

    Parameters
    ----------
    parts : sequence of mappings
        The tables of `answer_tables`, at least one, in the order of the videos.
    """
    if len(parts) == 1:
        return dict(parts[0])
    numbered = [dict(part) for part in parts]
    before = 0
    for part in numbered:
        count = len(part["events"])
        for name in ("events", "frames"):
            units = part[name].attrs
            part[name] = part[name].assign(event=part[name]["event"] + before)
            part[name].attrs = dict(units)
        before += count
    return {name: joined_tables([part[name] for part in numbered]) for name in numbered[0]}


def joined_tables(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return tables of equal columns one after another, each column as if it had been made at once.

    A property of one's own may be whole numbers in one video and missing in all of another: the column is then what it
    would be in one video with both.
    """
    some = [table for table in tables if len(table)] or list(tables[:1])
    if len(some) == 1:
        return some[0].reset_index(drop=True)
    joined = pd.DataFrame({name: _joined([table[name] for table in some]) for name in some[0].columns})
    joined.attrs = dict(some[0].attrs)
    return joined


def _joined(parts: Sequence[pd.Series]) -> pd.Series:
    if len({str(part.dtype) for part in parts}) == 1:
        return pd.concat(parts, ignore_index=True)
    found = [value for part in parts for value in part.tolist()]
    valid = np.array([not _missing(value) for value in found], bool)
    values = np.empty(len(found), object)
    for index in np.flatnonzero(valid).tolist():  # one by one: values may be lists, which numpy would unfold
        values[index] = found[index]
    column = typed(values, valid)
    kind = column.values.dtype.kind
    if not valid.any() or kind == "O":
        return pd.Series(values, dtype=object)
    if kind == "U":
        return pd.Series(list(values), dtype="str")
    if valid.all():
        return pd.Series(column.values)
    if kind == "b":
        return pd.Series(pd.array(list(values), dtype="boolean"))
    numbers = np.full(len(values), np.nan)
    numbers[valid] = column.values[valid]
    return pd.Series(numbers)


def _missing(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and value != value)

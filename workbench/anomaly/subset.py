"""Asking again on a part of the rows: `within` and `without` an explanation."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.anomaly.conditions import mask, to_series
from workbench.anomaly.frames import read
from workbench.anomaly.labels import marks_of
from workbench.anomaly.language import request as ask

if TYPE_CHECKING:
    import pandas as pd

    from workbench.anomaly.conditions import Conditions
    from workbench.anomaly.data import Data
    from workbench.anomaly.language import Request

__all__ = ["part_of", "request_on"]


def part_of(data: Data, conditions: Conditions, keep: bool) -> tuple[Data, np.ndarray | None]:
    """Return the rows that match the conditions, or the others.

    Parameters
    ----------
    data : Data
    conditions : tuple of (column, value)
    keep : bool
        True: the rows that match; False: all others.

    Returns
    -------
    Data
    bool array (rows of the source,), optional
        Which rows these are; None for a Dask frame, of which nothing is computed here.
    """
    if data.kind == "dask":
        from workbench.anomaly.parted_files import PartedFiles

        frame = data.frame() if isinstance(data, PartedFiles) else data.source
        return read(frame.map_partitions(_kept, conditions, keep, meta=frame._meta), name=data.name), None
    chosen = mask(data, conditions)
    if not keep:
        chosen = ~chosen
    return read(_taken(data, chosen), name=data.name), chosen


def request_on(request: Request, data: Data, part: Data, rows: np.ndarray | None, changes: dict[str, Any]) -> Request:
    """Return the question as it is asked on a part of the rows, with the notes that belong there.

    Parameters
    ----------
    request : Request
    data, part : Data
        All rows, and those asked about.
    rows : bool array, optional
        Which rows these are, as `part_of` gives it.
    changes : dict
        Arguments to replace.
    """
    labels = request.labels
    if labels is not None and rows is not None:
        # By the rules for all rows: a part of them may be all ones.
        labels = marks_of(data, labels)[rows]
    names = [field.name for field in fields(request) if field.name not in ("metrics", "cube", "notes")]
    options = {name: getattr(request, name) for name in names} | {"labels": labels}
    metric: Any = request.cube or list(request.metrics) or None
    if isinstance(metric, list) and len(metric) == 1:
        (metric,) = metric
    by = [name if bins is None else (name, bins) for name, bins in request.by]
    return ask(part, **{**options, "metric": metric, "by": by, **changes})


def _kept(frame: pd.DataFrame, conditions: Conditions, keep: bool) -> pd.DataFrame:
    """Return the rows of a partition that match, or the others."""
    matching = to_series(frame, conditions).fillna(False).to_numpy(dtype=bool)
    return frame[matching if keep else ~matching]


def _taken(data: Data, chosen: np.ndarray) -> Any:
    """Return the rows as the kind of table that they come from, where it has one of its own."""
    if data.kind == "pandas":
        return data.source[chosen]
    if data.kind == "arrow":
        import pyarrow as pa

        return data.source.filter(pa.array(chosen))
    if data.kind == "polars":
        import polars as pl

        frame = data.source.collect() if hasattr(data.source, "collect") else data.source
        return frame.filter(pl.Series(chosen))
    return data.take(np.flatnonzero(chosen))

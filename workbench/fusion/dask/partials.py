"""Partial results of partitions: what each gives, how they merge, and what becomes of the last one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Groups", "Reduction", "exactly", "finished", "merged_parts", "partial_of"]


@dataclass(frozen=True)
class Reduction:
    """A reduction of a column or an array to one value.

    Attributes
    ----------
    name : str
        sum prod min max mean var std count any all.
    ddof : int
        Of var and std.
    numpy : bool
        NaN takes part, as in NumPy; else it is skipped, as in pandas.
    """

    name: str
    ddof: float = 1
    numpy: bool = False

    def lazies(self, x: Any) -> list[Any]:
        """Return what a partition has to compute."""
        if self.name in ("mean", "var", "std"):
            floats = x if x.dtype.kind == "f" else x.astype("float64")
            count = x.size if self.numpy else x.count()
            spread = floats.var(ddof=0) if self.name != "mean" else 0.0
            return [count, floats.sum() if self.name == "mean" else floats.mean(), spread]
        if self.name in ("min", "max"):
            return [getattr(x, self.name)(), x.size if self.numpy else x.count()]
        return [getattr(x, self.name)()]


@dataclass(frozen=True)
class Groups:
    """A reduction by group.

    Attributes
    ----------
    name : str
        sum prod min max mean var std count size first last.
    by : str or list of str
    columns : tuple of str
    alone : bool
        The result is a column.
    sort, dropna : bool
    ddof : int
    title : object
        Of the result, if it is a column.
    """

    name: str
    by: Any
    columns: tuple[Any, ...]
    alone: bool
    sort: bool
    dropna: bool
    ddof: int = 1
    title: Any = None

    def lazies(self, table: Any) -> list[Any]:
        """Return what a partition has to compute."""
        groups = table.groupby(self.by, sort=self.sort, dropna=self.dropna)
        if self.name == "size":
            return [groups.size()]
        found = []
        for column in self.columns:
            one = groups[column]
            if self.name in ("mean", "var", "std"):
                found += [one.count(), one.sum() if self.name == "mean" else one.mean()]
                found += [one.var(ddof=0)] if self.name != "mean" else []
            else:
                found.append(getattr(one, self.name)())
        return found


def partial_of(end: Reduction | Groups, x: Any, options: dict[str, Any]) -> list[Any]:
    """Return the partial result of one partition, computed in one plan."""
    from workbench.fusion.api import compute

    if isinstance(end, Reduction) and end.name in ("min", "max", "mean", "var", "std") and not _rows(x):
        return []
    return list(compute(*end.lazies(x), **options))


def _rows(x: Any) -> int:
    return int(x.size) if hasattr(x, "size") and isinstance(x.size, int) else len(x)


def merged_parts(end: Reduction | Groups, parts: Sequence[Any]) -> list[Any]:
    """Return one partial result for several, which are in the order of their partitions."""
    plain = [_opened(each) for each in parts]
    there = [each for each in plain if each]
    if not there:
        return []
    return _merged_groups(end, there) if isinstance(end, Groups) else _merged_values(end, there)


def _opened(part: Any) -> list[Any]:
    """Return a partial result as a partition gives it, or as a merge does."""
    if isinstance(part, list):
        return part
    found = part.iat[0] if hasattr(part, "iat") else part.flat[0]
    return list(found)


def _merged_values(end: Reduction, parts: list[list[Any]]) -> list[Any]:
    name = end.name
    first = [each[0] for each in parts]
    with np.errstate(all="ignore"):
        if name in ("sum", "prod", "count"):
            found = first[0]
            for each in first[1:]:
                found = found * each if name == "prod" else found + each
            return [found]
        if name in ("any", "all"):
            return [(np.any if name == "any" else np.all)(first)]
        if name in ("min", "max"):
            filled = [each for each in parts if each[1]] or parts[:1]
            found = filled[0][0]
            for value, _ in filled[1:]:
                take = value != value or (value < found if name == "min" else value > found)
                found = value if take and found == found else found
            return [found, sum(int(each[1]) for each in filled)]
        if name == "mean":
            count, total = 0, 0.0
            for many, amount, _ in parts:
                count, total = count + int(many), total + amount
            return [count, total, 0.0]
        return _moments(parts)


def _moments(parts: list[list[Any]]) -> list[Any]:
    """Merge (count, mean, variance with ddof 0) by Chan's formula."""
    count, mean, spread = 0, 0.0, 0.0
    for many, middle, variance in parts:
        n = int(many)
        if not n:
            continue
        both = count + n
        off = middle - mean if count else 0.0
        spread = spread + variance * n + off * off * count * n / both
        mean = mean + off * n / both if count else middle
        count = both
    return [count, mean, spread / count if count else float("nan")]


def _merged_groups(end: Groups, parts: list[list[Any]]) -> list[Any]:
    import pandas as pd

    if len(parts) == 1:
        return parts[0]
    columns = [pd.concat([part[k] for part in parts]) for k in range(len(parts[0]))]

    def together(values: Any, how: str) -> Any:
        keys = list(range(values.index.nlevels))
        return getattr(values.groupby(level=keys, sort=end.sort, dropna=False), how)()

    if end.name in ("mean", "var", "std"):
        step = 2 if end.name == "mean" else 3
        found = []
        for k in range(0, len(columns), step):
            count, amount = columns[k], columns[k + 1]
            many = together(count, "sum")
            if end.name == "mean":
                found += [many, together(amount, "sum")]
                continue
            amount = amount.fillna(0.0)
            mean = together(amount * count, "sum") / many
            off = amount - mean.reindex(amount.index)
            spread = together(columns[k + 2].fillna(0.0) * count + count * off * off, "sum")
            found += [many, mean, spread / many]
        return found
    how = {"count": "sum", "size": "sum"}.get(end.name, end.name)
    return [together(each, how) for each in columns]


def finished(end: Reduction | Groups, part: list[Any]) -> Any:
    """Return the value that the last partial result stands for."""
    if isinstance(end, Groups):
        return _finished_groups(end, part)
    with np.errstate(all="ignore"):
        if not part:
            return float("nan")
        if end.name == "mean":
            return np.float64(part[1]) / part[0]
        if end.name in ("var", "std"):
            left = part[0] - end.ddof
            found = np.float64(part[2]) * part[0] / left if left > 0 else np.float64("nan")
            return np.sqrt(found) if end.name == "std" else found
        return part[0]


def exactly(end: Reduction | Groups, rows: Any) -> Any:
    """Return a reduction of all rows in one plan with correctly rounded sums: no partition is seen in it."""
    from workbench.fusion.api import array, compute
    from workbench.fusion.capture.frame import lazily

    ddof = {"ddof": end.ddof} if end.name in ("var", "std") else {}
    x = array(rows) if isinstance(rows, np.ndarray) else lazily(rows)
    if isinstance(end, Groups):
        x = x.groupby(end.by, sort=end.sort, dropna=end.dropna)
        if end.name != "size":
            x = x[end.columns[0] if end.alone else list(end.columns)]
    return compute(getattr(x, end.name)(**ddof), exact=True)[0]


def _finished_groups(end: Groups, part: list[Any]) -> Any:
    import pandas as pd

    columns = []
    with np.errstate(all="ignore"):
        if end.name in ("mean", "var", "std"):
            step = 2 if end.name == "mean" else 3
            for k in range(0, len(part), step):
                count, amount = part[k], part[k + 1]
                if end.name == "mean":
                    columns.append(amount / count)
                    continue
                left = (count - end.ddof).where(count > end.ddof)
                spread = part[k + 2] * count / left
                columns.append(spread**0.5 if end.name == "std" else spread)
        else:
            columns = list(part)
    if end.alone:
        return columns[0].rename(end.title)
    return pd.concat(columns, axis=1, keys=list(end.columns))

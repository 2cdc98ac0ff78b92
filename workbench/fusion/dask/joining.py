"""Joins over Dask with a table that is here: it goes to the workers, and rows are looked up inside the partitions."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from workbench.fusion.capture.fallback import forced
from workbench.fusion.dask.steps import Step

if TYPE_CHECKING:
    import pandas as pd

    from workbench.fusion.dask.frames import DaskFrame

__all__ = ["LARGEST", "broadcast", "put_together"]

#: bytes of a table that goes to each worker
LARGEST = 64 * 2**20

_ALLOWED = frozenset({"left_on", "right_on", "suffixes"})


def broadcast(left: DaskFrame, right: Any, how: str, on: Any, kwargs: dict[str, Any]) -> DaskFrame | None:
    """Return the record of a join inside the partitions; None if it has to be Dask's own."""
    import pandas as pd

    right = forced(right) if not hasattr(right, "_source") else right
    local = isinstance(right, pd.DataFrame) and isinstance(left._like, pd.DataFrame) and left._end is None
    if not local or how not in ("inner", "left") or not set(kwargs) <= _ALLOWED:
        return None
    if right.memory_usage(deep=True).sum() > LARGEST:
        return None
    like = _like(left._like, right, how, on, kwargs)
    table = Step("leaf", "", (uuid.uuid4().hex,), table=right)
    step = Step("method", "merge", (left._step, table), {"how": how, "on": on, **kwargs})
    return type(left)(left._source, step, like)


def _like(left: pd.DataFrame, right: pd.DataFrame, how: Any, on: Any, kwargs: dict[str, Any]) -> pd.DataFrame:
    """Return made-up joined rows: keys of the right side stand in the left one, so that there are some."""
    first = right.iloc[:1]
    found = left.merge(first, how=how, on=on, **kwargs)  # pandas' own error for keys that are not there
    if not len(first):
        return found
    made = left.copy()
    for mine, theirs in zip(*_keys(left, right, on, kwargs), strict=True):
        made[mine] = [first[theirs].iloc[0]] * len(made)
        made[mine] = made[mine].astype(left[mine].dtype)
    return made.merge(first, how=how, on=on, **kwargs)


def _keys(left: pd.DataFrame, right: pd.DataFrame, on: Any, kwargs: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    mine, theirs = kwargs.get("left_on", on), kwargs.get("right_on", on)
    if mine is None or theirs is None:
        mine = theirs = [each for each in left.columns if each in right.columns]
    return [mine] if isinstance(mine, str) else list(mine), [theirs] if isinstance(theirs, str) else list(theirs)


def put_together(parts: Sequence[Any]) -> Any:
    """Return the rows of all partitions; labels are numbers in the joined rows, and go on from one to the next."""
    import pandas as pd

    rows, begin = [], 0
    whole = True
    for part in parts:
        found, many = part.iat[0]
        whole = whole and len(found) == many
        rows.append(found.set_axis(found.index + begin, axis=0))
        begin += many
    together = pd.concat(rows) if len(rows) > 1 else rows[0]
    return together.set_axis(pd.RangeIndex(begin), axis=0) if whole else together

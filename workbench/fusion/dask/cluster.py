"""On the cluster: a collection computed, and partial results merged by a tree in partition order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from workbench.fusion.dask.partials import merged_parts

__all__ = ["WIDTH", "computed", "tree"]

#: partial results that are merged at a time
WIDTH = 8


def computed(collection: Any) -> Any:
    """Return the value of a Dask collection."""
    from workbench.engine import session

    client = session.session()
    future = client.compute(collection)
    return _awaited(client, future)


def tree(parts: Any, end: Any) -> Any:
    """Return the merged partial result of all partitions, by a tree in their order."""
    from dask import delayed

    from workbench.engine import session

    parts = parts.optimize() if hasattr(parts, "optimize") else parts
    level: list[Any] = list(np.ravel(np.array(parts.to_delayed(), dtype=object)))
    merge: Callable[..., Any] = delayed(merged_parts, pure=False)
    while True:
        level = [merge(end, level[k : k + WIDTH]) for k in range(0, len(level), WIDTH)]
        if len(level) == 1:
            break
    client = session.session()
    return _awaited(client, client.compute(level[0]))


def _awaited(client: Any, future: Any) -> Any:
    try:
        return future.result()
    except KeyboardInterrupt:
        client.cancel([future])
        raise

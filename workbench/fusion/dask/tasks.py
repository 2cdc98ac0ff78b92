"""What runs in tasks: the recorded calls on one partition, compiled there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from workbench.fusion.dask.partials import partial_of
from workbench.fusion.dask.steps import Step, last_merge

__all__ = ["block", "ended", "ended_block", "lazy_part", "numbered", "partition"]


def lazy_part(value: Any) -> Any:
    """Return the lazy form of a partition."""
    from workbench.fusion.api import array as lazy_array
    from workbench.fusion.capture.frame import lazily

    # a partition is borrowed and never written to
    return lazy_array(value) if isinstance(value, np.ndarray) else lazily(value)


def recorded(part: Any, step: Step, tokens: Sequence[Any], tables: Sequence[Any]) -> Any:
    """Return the lazy object that a step makes of a partition; tables that it is joined with go by their tokens."""
    known = {token: lazy_part(table) for token, table in zip(tokens, tables, strict=True)}
    return step.on({0: lazy_part(part), **known})


def partition(part: Any, step: Step, options: dict[str, Any], tokens: Sequence[Any] = (), *tables: Any) -> Any:
    """Return the rows of one partition after a step."""
    from workbench.fusion.api import compute

    return compute(recorded(part, step, tokens, tables), **_on_worker(options))[0]


def numbered(part: Any, step: Step, options: dict[str, Any], tokens: Sequence[Any] = (), *tables: Any) -> Any:
    """Return the rows of one partition after a step, and how many its last join gave, in a column of one."""
    from workbench.fusion.api import compute

    merge = last_merge(step)
    assert merge is not None
    known: dict[int, Any] = {}
    leaves = {token: lazy_part(table) for token, table in zip(tokens, tables, strict=True)}
    rows = step.on({0: lazy_part(part), **leaves}, known)
    joined = known[id(merge)]
    found = compute(rows, joined.iloc[:, 0], **_on_worker(options))
    return _alone((found[0], len(found[1])))


def block(part: Any, step: Step, options: dict[str, Any]) -> Any:
    """Return a block of an array after a step."""
    return np.asarray(partition(np.asarray(part), step, options))


def ended(part: Any, step: Step, end: Any, options: dict[str, Any], tokens: Sequence[Any] = (), *tables: Any) -> Any:
    """Return the partial result of one partition, in a column of one."""
    return _alone(partial_of(end, recorded(part, step, tokens, tables), _on_worker(options)))


def ended_block(part: Any, step: Step, end: Any, options: dict[str, Any]) -> Any:
    """Return the partial result of one block, in an array of one."""
    found = np.empty((1,) * np.ndim(part), object)
    found.flat[0] = partial_of(end, recorded(np.asarray(part), step, (), ()), _on_worker(options))
    return found


def _alone(value: Any) -> Any:
    import pandas as pd

    found = pd.Series([None], dtype=object)
    found.iat[0] = value
    return found


def _on_worker(options: dict[str, Any]) -> dict[str, Any]:
    """Return options with as many threads as the worker has; outside of one, as given."""
    if options.get("threads") is None:
        from distributed import get_worker

        try:
            return {**options, "threads": get_worker().state.nthreads}
        except ValueError:
            return options
    return options

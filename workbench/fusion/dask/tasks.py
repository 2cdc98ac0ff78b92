"""What runs in tasks: the recorded calls on one partition, compiled there."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.fusion.dask.partials import partial_of
from workbench.fusion.dask.steps import Step

__all__ = ["block", "ended", "ended_block", "lazy_part", "partition"]


def lazy_part(value: Any) -> Any:
    """Return the lazy form of a partition."""
    from workbench.fusion.api import array as lazy_array
    from workbench.fusion.capture.frame import lazily

    # a partition is borrowed and never written to
    return lazy_array(value) if isinstance(value, np.ndarray) else lazily(value)


def partition(part: Any, step: Step, options: dict[str, Any]) -> Any:
    """Return the rows of one partition after a step."""
    from workbench.fusion.api import compute

    return compute(step.on([lazy_part(part)]), **_on_worker(options))[0]


def block(part: Any, step: Step, options: dict[str, Any]) -> Any:
    """Return a block of an array after a step."""
    return np.asarray(partition(np.asarray(part), step, options))


def ended(part: Any, step: Step, end: Any, options: dict[str, Any]) -> Any:
    """Return the partial result of one partition, in a column of one."""
    import pandas as pd

    found = pd.Series([None], dtype=object)
    found.iat[0] = partial_of(end, step.on([lazy_part(part)]), _on_worker(options))
    return found


def ended_block(part: Any, step: Step, end: Any, options: dict[str, Any]) -> Any:
    """Return the partial result of one block, in an array of one."""
    found = np.empty((1,) * np.ndim(part), object)
    found.flat[0] = partial_of(end, step.on([lazy_part(np.asarray(part))]), _on_worker(options))
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

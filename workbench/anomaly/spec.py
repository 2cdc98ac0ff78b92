"""A question as JSON can hold it, and back."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.engine.errors import WorkbenchError

if TYPE_CHECKING:
    from workbench.anomaly.cube import Cube
    from workbench.anomaly.language import Request
    from workbench.anomaly.seasonal import Seasonal

__all__ = ["cube_of", "scorer_of", "seasonal_of", "spec_of"]


def spec_of(request: Request) -> dict[str, Any]:
    """Return the arguments of the call, all of them plain."""
    return {
        "metric": _metric(request),
        "by": [name if bins is None else [name, bins] for name, bins in request.by],
        "score": _score(request.score),
        "top": request.top,
        "tail": request.tail,
        "where": request.where,
        "labels": _labels(request.labels),
        "min_support": request.min_support,
        "min_ratio": request.min_ratio,
        "max_combo": request.max_combo,
        "compare": request.compare,
        "threshold": request.threshold,
        "minimal": request.minimal,
        "max_candidates": request.max_candidates,
        "seed": request.seed,
    }


def cube_of(fields: dict[str, Any]) -> Cube:
    """Return the cube that a spec describes; JSON makes text of its shares."""
    from workbench.anomaly.cube import Cube

    quantiles = fields.get("quantiles")
    if quantiles is not None:
        fields = {**fields, "quantiles": {float(share): name for share, name in quantiles.items()}}
    return Cube(**fields)


def seasonal_of(fields: dict[str, Any]) -> Seasonal:
    """Return the seasonal score that a spec describes."""
    from workbench.anomaly.seasonal import Seasonal

    return Seasonal(**fields)


def scorer_of(text: str) -> Callable[..., Any]:
    """Return the function that a spec names as `module:name`, if its module is loaded."""
    module, _, path = text.partition(":")
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise WorkbenchError(f'No score "{text}".', "Pass the function itself as score.")
    return found


def _metric(request: Request) -> Any:
    if request.cube is not None:
        cube = request.cube
        quantiles = None if cube.quantiles is None else {str(share): name for share, name in cube.quantiles.items()}
        return {"count": cube.count, "mean": cube.mean, "std": cube.std, "quantiles": quantiles}
    if not request.metrics:
        return None
    return request.metrics[0] if len(request.metrics) == 1 else list(request.metrics)


def _score(score: Any) -> Any:
    if hasattr(score, "period"):
        return {"time": score.time, "period": score.period, "phases": score.phases}
    if callable(score):
        return f"{getattr(score, '__module__', '')}:{getattr(score, '__qualname__', type(score).__name__)}"
    return score


def _labels(labels: Any) -> Any:
    if labels is None or isinstance(labels, (str, dict)):
        return labels
    from workbench.anomaly.labels import _array, marks_of_array

    marks = marks_of_array(_array(labels))
    return {"rows": len(marks), "outliers": np.flatnonzero(marks).tolist()}

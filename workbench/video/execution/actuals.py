"""The plan of a run after it ran: what each operator really did, beside what was expected of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from workbench.engine.plan import Node, Plan
from workbench.video.execution.job import VideoJob
from workbench.video.execution.pixels import Tally
from workbench.video.operators.evaluate import Evaluation

__all__ = ["Actuals", "actual_plan"]


@dataclass(frozen=True)
class Actuals:
    """What a run did on one video."""

    job: VideoJob
    evaluation: Evaluation
    tables: Mapping[str, pd.DataFrame]
    seconds: float
    tallies: Mapping[str, Tally]


def actual_plan(plan: Plan, actual: Actuals) -> Plan:
    """Return the plan with rows, milliseconds and cache hits filled in.

    Parameters
    ----------
    plan : Plan
        With estimates; operators `decode detect track props filter intervals aggregate`.
    actual : Actuals
    """
    return replace(plan, root=_filled(plan.root, actual))


def _filled(node: Node, actual: Actuals) -> Node:
    children = tuple(_filled(child, actual) for child in node.children)
    return replace(node, children=children, **_figures(node, actual))


def _figures(node: Node, actual: Actuals) -> dict[str, Any]:
    job, evaluation = actual.job, actual.evaluation
    match node.op:
        case "decode":
            # Decoding happens inside the detection tasks, so its own time is not known apart from theirs.
            computed = 0 if job.spec.kind == "given" else job.passed - job.cached
            return {"rows": computed}
        case "detect":
            hits = job.cached / job.passed if job.passed and job.spec.kind != "given" else None
            return {"rows": job.passed, "ms": job.detect_seconds * 1e3, "cache_hits": hits}
        case "track":
            hits = 1.0 if job.tracks_from_store else 0.0 if job.spec.kind != "given" else None
            return {"rows": len(evaluation.properties.tracks), "ms": job.fold_seconds * 1e3, "cache_hits": hits}
        case "props":
            return _of_property(node, actual)
        case "filter":
            return _of_filter(node, actual)
        case "intervals":
            return {"rows": len(evaluation), "ms": evaluation.seconds * 1e3}
        case "aggregate":
            groups = actual.tables["groups"]
            return {"rows": len(groups) if len(groups.columns) else len(actual.tables["events"])}
    return {}


def _of_property(node: Node, actual: Actuals) -> dict[str, Any]:
    names = [name for name in actual.evaluation.properties.calls if name in _words(node.detail)]
    tallies = [actual.tallies[name] for name in names if name in actual.tallies]
    calls = sum(actual.evaluation.properties.calls[name] for name in names)
    if not tallies:
        return {"rows": calls}
    made = sum(tally.calls for tally in tallies)
    return {
        "rows": calls,
        "ms": sum(tally.seconds for tally in tallies) * 1e3,
        "cache_hits": sum(tally.cached for tally in tallies) / made if made else None,
    }


def _of_filter(node: Node, actual: Actuals) -> dict[str, Any]:
    # The root of the condition: its own rows, after all conjuncts.
    stats = actual.evaluation.stats.get(actual.evaluation.query.where)
    return {} if stats is None else {"rows": stats.rows_kept, "ms": stats.ms}


def _words(text: str) -> set[str]:
    words = "".join(letter if letter.isalnum() or letter == "_" else " " for letter in text).split()
    return set(words)

"""The plan of a run after it ran: what each operator really did, beside what was expected of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from workbench.engine.plan import Node, Plan
from workbench.video.execution.job import VideoJob
from workbench.video.execution.pixels import Tally
from workbench.video.language.tree import Node as Condition
from workbench.video.operators.evaluate import Evaluation
from workbench.video.plan.logical import QueryPlan

__all__ = ["Actuals", "actual_plan"]


@dataclass(frozen=True)
class Actuals:
    """What a run did on one video."""

    job: VideoJob
    evaluation: Evaluation
    tables: Mapping[str, pd.DataFrame]
    seconds: float
    tallies: Mapping[str, Tally]
    kept: frozenset[str] | set[str] = frozenset()


def actual_plan(plan: QueryPlan, actual: Actuals) -> Plan:
    """Return the plan's operators with rows, milliseconds and cache hits filled in beside the estimates."""
    made, tests = plan.to_plan(), plan.filters()

    def filled(node: Node) -> Node:
        children = tuple(filled(child) for child in node.children)
        return replace(node, children=children, **_figures(node, actual, tests))

    return replace(made, root=filled(made.root))


def _figures(node: Node, actual: Actuals, tests: Mapping[str, Condition]) -> dict[str, Any]:
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
            stats = evaluation.stats.get(tests[node.detail]) if node.detail in tests else None
            return {} if stats is None else {"rows": stats.rows_kept, "ms": stats.ms}
        case "intervals":
            return {"rows": len(evaluation), "ms": evaluation.seconds * 1e3}
        case "aggregate":
            groups = actual.tables["groups"]
            return {"rows": len(groups) if len(groups.columns) else len(actual.tables["events"])}
    return {}


def _of_property(node: Node, actual: Actuals) -> dict[str, Any]:
    name = node.detail.rpartition(".")[2]
    made, tally = actual.evaluation.properties.calls.get(name, 0), actual.tallies.get(name)
    if name in actual.kept and not made:
        return {"rows": 0, "ms": 0.0, "cache_hits": 1.0}
    if tally is None or not tally.calls:
        return {"rows": made}
    return {"rows": made, "ms": tally.seconds * 1e3, "cache_hits": tally.cached / tally.calls}

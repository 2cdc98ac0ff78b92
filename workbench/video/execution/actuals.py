"""The plan of a run after it ran: what each operator really did, beside what was expected of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from workbench.engine.plan import Node, Plan
from workbench.video.execution.job import VideoJob
from workbench.video.execution.pixels import Tally
from workbench.video.language.tree import Node as Condition
from workbench.video.operators.evaluate import Evaluation
from workbench.video.plan.advice import advice
from workbench.video.plan.logical import QueryPlan

__all__ = ["SUMMED", "Actuals", "actual_plan"]

SUMMED = "ms of decode, detect and props are summed over the workers"


@dataclass(frozen=True)
class Actuals:
    """What a run did on one video."""

    job: VideoJob
    evaluation: Evaluation
    tables: Mapping[str, pd.DataFrame]
    seconds: float
    tallies: Mapping[str, Tally]
    kept: frozenset[str] | set[str] = frozenset()
    #: seconds that the evaluation waited for calls on crops, by property
    waited: Mapping[str, float] = field(default_factory=dict)


def actual_plan(plan: QueryPlan, videos: Sequence[Actuals]) -> Plan:
    """Return the plan's operators with rows, milliseconds and cache hits filled in beside the estimates.

    Milliseconds of decode, detect and props are those of all workers together, and all figures those of all videos.
    The advice is about what was measured.
    """
    made, tests = plan.to_plan(), plan.filters()

    def filled(node: Node) -> Node:
        children = tuple(filled(child) for child in node.children)
        return replace(node, children=children, **_summed(node, videos, tests))

    root = filled(made.root)
    shared = any(node.ms for _, node in root.walk() if node.op in ("decode", "detect", "props"))
    notes = (*made.notes, SUMMED) if shared else made.notes
    return replace(made, root=root, advice=advice(plan, root, measured=True), notes=notes)


def _summed(node: Node, videos: Sequence[Actuals], tests: Mapping[str, Condition]) -> dict[str, Any]:
    parts = [_figures(node, actual, tests) for actual in videos]
    parts = [part for part in parts if part]
    if len(parts) < 2:
        return parts[0] if parts else {}
    summed: dict[str, Any] = {}
    for name in ("rows", "ms"):
        known = [part[name] for part in parts if part.get(name) is not None]
        if known:
            summed[name] = sum(known)
    hits = [(part["cache_hits"], part["rows"]) for part in parts if part.get("cache_hits") is not None]
    if hits:
        # A video counts by what it took; where all came from the store, that is nothing.
        total = sum(rows for _, rows in hits)
        summed["cache_hits"] = sum(share * rows for share, rows in hits) / total if total else hits[0][0]
    return summed


def _figures(node: Node, actual: Actuals, tests: Mapping[str, Condition]) -> dict[str, Any]:
    job, evaluation = actual.job, actual.evaluation
    match node.op:
        case "decode":
            return {"rows": job.passed - job.cached, "ms": job.decode_seconds * 1e3}
        case "detect":
            hits = job.cached / job.passed if job.passed and job.spec.kind != "given" else None
            # Decoding happens inside the tasks of detection, and has an operator of its own.
            own = max(0.0, job.detect_seconds - job.decode_seconds)
            return {"rows": job.passed, "ms": own * 1e3, "cache_hits": hits}
        case "track":
            hits = None
            if job.spec.kind != "given" and job.passed:
                hits = 1.0 if job.tracks_from_store else job.resumed / job.passed
            return {"rows": len(evaluation.properties.tracks), "ms": job.fold_seconds * 1e3, "cache_hits": hits}
        case "props":
            return _of_property(node, actual)
        case "filter":
            stats = evaluation.stats.get(tests[node.detail]) if node.detail in tests else None
            return {} if stats is None else {"rows": stats.rows_kept, "ms": max(0.0, stats.ms - _waited(node, actual))}
        case "intervals":
            tested = sum(stats.ms for test in tests.values() if (stats := evaluation.stats.get(test)) is not None)
            return {"rows": len(evaluation), "ms": max(0.0, evaluation.seconds * 1e3 - tested - _waited(node, actual))}
        case "aggregate":
            groups = actual.tables["groups"]
            rows = len(groups) if len(groups.columns) else len(actual.tables["events"])
            return {"rows": rows, "ms": max(0.0, actual.seconds - evaluation.seconds) * 1e3}
    return {}


def _waited(node: Node, actual: Actuals) -> float:
    """Return the milliseconds that an operator waited for the calls below it, which have operators of their own."""
    total, below = 0.0, node.children
    while below and below[0].op == "props":
        total += actual.waited.get(below[0].detail.rpartition(".")[2], 0.0) * 1e3
        below = below[0].children
    return total


def _of_property(node: Node, actual: Actuals) -> dict[str, Any]:
    name = node.detail.rpartition(".")[2]
    made, tally = actual.evaluation.properties.calls.get(name, 0), actual.tallies.get(name)
    if name in actual.kept and not made:
        return {"rows": 0, "ms": 0.0, "cache_hits": 1.0}
    if tally is None or not tally.calls:
        return {"rows": made}
    return {"rows": made, "ms": tally.seconds * 1e3, "cache_hits": tally.cached / tally.calls}

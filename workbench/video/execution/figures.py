"""What runs have measured, kept for the plans of later ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from workbench.engine import store as artefacts
from workbench.video.execution.actuals import Actuals
from workbench.video.execution.job import detection_key
from workbench.video.execution.options import Options, processed_frames
from workbench.video.language.show import show
from workbench.video.language.tree import CompiledQuery
from workbench.video.models.base import DetectorSpec
from workbench.video.plan.cost import Figures
from workbench.video.plan.logical import QueryPlan, plan_query
from workbench.video.source import Source

__all__ = ["learn", "planned", "replanned"]

_LAYOUT = 2


def planned(query: CompiledQuery, sources: Sequence[Source], spec: DetectorSpec, options: Options) -> QueryPlan:
    """Return the plan of a query over videos, with what was measured before on the first.

    The same query keeps the order of its first run, since another order would ask for values that were never computed;
    the estimates are the newest.
    """
    base = _base(sources[0], spec)
    store = artefacts.store()
    latest = Figures.from_dict(store.get_json(_latest(base)))
    if spec.kind == "given" and spec.payload.has_ids:
        latest = replace(latest, ms={**latest.ms, "track": 0.0})
    frames = sum(len(processed_frames(source.times(), options)) for source in sources)

    def plan(figures: Figures) -> QueryPlan:
        return plan_query(
            query,
            info=sources[0].info(),
            detector="given" if spec.kind == "given" else spec.name,
            frames=frames,
            every=options.every,
            figures=figures,
        )

    first = store.get_json(_of_query(base, query))
    made = plan(latest)
    if first is None:
        return made
    return replace(made, conjuncts=plan(Figures.from_dict(first)).conjuncts, settled=True)


def replanned(plan: QueryPlan, actual: Actuals, spec: DetectorSpec) -> QueryPlan:
    """Return the plan in the order that suits what the first frames have shown; the estimates stay."""
    figures = measured(plan, actual, spec)
    better = plan_query(plan.query, figures=figures).conjuncts
    if better == plan.conjuncts:
        return replace(plan, settled=True)
    return replace(plan, conjuncts=better, settled=True, ordered_by=figures, ordered_at=actual.job.passed)


def learn(plan: QueryPlan, actual: Actuals, spec: DetectorSpec) -> None:
    """Keep what a run has measured on a video."""
    store, base = artefacts.store(), _base(actual.job.source, spec)
    if not store.has(_of_query(base, plan.query)):
        store.put_json(_of_query(base, plan.query), (plan.ordered_by or plan.figures).to_dict(), kind="figures")
    figures = measured(plan, actual, spec)
    if figures != plan.figures:
        store.put_json(_latest(base), figures.to_dict(), kind="figures")


def measured(plan: QueryPlan, actual: Actuals, spec: DetectorSpec) -> Figures:
    """Return the plan's figures with what a run has measured on a video."""
    job, evaluation = actual.job, actual.evaluation
    ms: dict[str, float] = {}
    computed = job.passed - job.cached
    if spec.kind != "given" and computed:
        ms[f"detect:{spec.name}"] = max(0.0, job.detect_seconds - job.decode_seconds) * 1e3 / computed
        # To show every fifth frame a decoder goes through all of them.
        ms["decode"] = job.decode_seconds * 1e3 / (computed * job.options.every)
    if job.fold is not None and job.passed > job.resumed:
        ms["track"] = job.fold_seconds * 1e3 / (job.passed - job.resumed)
    types = {name: kind.name for name, kind in plan.query.types().items()}
    for var, name in plan.properties:
        tally = actual.tallies.get(name)
        if tally is not None and tally.calls > tally.cached:
            ms[f"{types[var]}.{name}"] = tally.seconds * 1e3 / (tally.calls - tally.cached)
    tracks = evaluation.properties.tracks
    return plan.figures.learn(
        ms=ms,
        kept={
            node: (evaluation.stats[node].rows_in, evaluation.stats[node].rows_kept)
            for node in plan.filters().values()
            if node in evaluation.stats
        },
        rows_per_frame=len(tracks) / len(tracks.frames) if len(tracks) else None,
        rows_per_track=len(tracks) / len(tracks.ids) if len(tracks) else None,
    )


def _base(source: Source, spec: DetectorSpec) -> str:
    video = source.video_id()
    return detection_key(video, spec) or artefacts.key("figures of", video, spec.version)


def _latest(base: str) -> str:
    return artefacts.key("figures", _LAYOUT, base)


def _of_query(base: str, query: CompiledQuery) -> str:
    types = [(variable.name, variable.type.name, variable.type.labels) for variable in query.variables]
    return artefacts.key("figures of query", _LAYOUT, base, types, show(query.where))

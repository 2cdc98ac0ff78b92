"""From the cuts that the search chose to a plan: what each stage takes, holds and sends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from workbench.training.cluster import Cluster
from workbench.training.costs import Costs, Place
from workbench.training.graph import Profile
from workbench.training.plan import Options, PipelinePlan, Stage
from workbench.training.solve import Cut
from workbench.training.states import stage_nodes

__all__ = ["microbatches_of", "plan_of"]


def plan_of(profile: Profile, cluster: Cluster, costs: Costs, cuts: Sequence[Cut], options: Options) -> PipelinePlan:
    """Return the plan that some cuts make."""
    states = costs.states
    names = stage_nodes(profile, states.graph, [states.sets[cut.end] for cut in cuts])
    if costs.schedule == "gpipe":
        costs = replace(costs, microbatches=microbatches_of(profile, len(cuts)))
    computed = replace(costs, update=0.0).compute
    stages: list[Stage] = []
    parts: list[tuple[float, float, float, float]] = []
    rank = 0
    total = sum(math.prod(cut.machines) for cut in cuts)
    for index, cut in enumerate(cuts):
        count = math.prod(cut.machines)
        # with machines left out there are fewer after a stage than the search had to allow for
        where = (cut.place, cut.after, cut.machines[0]) if costs.compat else (Place(total - rank - count), 0, count)
        in_flight = costs.in_flight(*where)
        follower = cuts[(index + 1) % len(cuts)]
        time, links = _stage_time(costs, cluster, cut)
        parts.append(links)
        held = float(costs.held(cut.start, cut.end, *where))
        stages.append(
            Stage(
                index=index,
                nodes=names[index],
                replicas=count,
                machines=cut.machines,
                ranks=tuple(range(rank, rank + count)),
                compute_seconds=float(computed[cut.end + 1] - computed[cut.start]) / count,
                communication_seconds=sum(links),
                time=time,
                parameter_bytes=_held(costs.parameters, cut),
                activation_bytes=_held(costs.activation, cut),
                output_bytes=float(costs.output[cut.end + 1]) if index < len(cuts) - 1 else 0.0,
                memory_bytes=held + float(costs.copied(follower.start, follower.end)),
                in_flight=in_flight,
                versions=costs.versions(in_flight),
            )
        )
        rank += count
    single = float(costs.compute[-1])
    parameters = float(states.parameters[-1])
    parallel = _data_parallel_time(costs, cluster, single, parameters)
    time = max(stage.time for stage in stages)
    shrunk = options.activation_compression or 1.0
    sent = sum(2.0 * stage.output_bytes / shrunk for stage in stages)
    reduced = sum(2.0 * (stage.replicas - 1) * stage.parameter_bytes / stage.replicas for stage in stages)
    plan = PipelinePlan(
        stages=tuple(stages),
        config="-".join(str(stage.replicas) for stage in stages),
        time=time,
        data_parallel_time=parallel,
        single_time=single,
        speedup=_ratio(single, time),
        speedup_over_data_parallel=_ratio(parallel, time),
        communication_bytes=sent + reduced,
        data_parallel_bytes=2.0 * (cluster.size - 1) * parameters / cluster.size,
        machines_used=rank,
        states=len(states),
        cluster=cluster,
        profile=profile,
        compat=costs.compat,
    )
    object.__setattr__(plan, "options", replace(options, contracted=states.contracted, parts=tuple(parts)))
    return plan


def microbatches_of(profile: Profile, stages: int) -> int:
    """Return how many microbatches a step has if nothing else is said."""
    return 2 * stages if profile.batch_size is None else max(1, min(2 * stages, profile.batch_size))


def _stage_time(costs: Costs, cluster: Cluster, cut: Cut) -> tuple[float, tuple[float, float, float, float]]:
    """Return seconds of a stage through all levels, and of its all-reduce, input, output and upkeep."""
    time, below = _held(costs.compute, cut), 1
    parts = (0.0, 0.0, 0.0, 0.0)
    for replicas, bandwidth, count, (start, end, begins) in zip(
        cut.machines, cluster.bandwidth, cluster.machines, cut.outer, strict=True
    ):
        time = float(costs.time(time, start, end, replicas, bandwidth, below, begins=begins))
        alone = costs.compat and begins
        reduce = float(costs.reduce(start, end, replicas, bandwidth)) / (below if alone else 1)
        taken, given = (0.0, 0.0) if alone else costs.transfer(start, end, replicas, bandwidth)
        upkeep = float(costs.upkeep(start, end, replicas, bandwidth))
        parts = (
            (parts[0] + reduce) / replicas,
            parts[1] / replicas + float(taken),
            parts[2] / replicas + float(given),
            parts[3] / replicas + upkeep,
        )
        below = count
    return time, parts


def _data_parallel_time(costs: Costs, cluster: Cluster, compute: float, parameters: float) -> float:
    time, below = compute, 1
    for count, bandwidth in zip(cluster.machines, cluster.bandwidth, strict=True):
        reduce = 4 * (count - 1) * parameters / (bandwidth * count)
        time = (time + reduce / (below if costs.compat else 1)) / count
        below = count
    return time


def _held(sums: Any, cut: Cut) -> float:
    return float(sums[cut.end + 1] - sums[cut.start])


def _ratio(first: float, second: float) -> float:
    return first / second if second else math.nan

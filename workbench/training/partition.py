"""Partition: from a profile and a cluster to the plan that is fastest in steady state."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from workbench.training import errors
from workbench.training.build import microbatches_of, plan_of
from workbench.training.cluster import Cluster
from workbench.training.costs import Costs, Place
from workbench.training.graph import Profile
from workbench.training.kept_cuts import known_cuts
from workbench.training.labels import CANDIDATES, cuts_that_fit
from workbench.training.plan import Options, PipelinePlan
from workbench.training.solve import Cut
from workbench.training.states import States, graph_of, states_of
from workbench.training.units import as_size, show_bytes

__all__ = ["partition"]

#: states above which a graph is contracted: all spans of a hierarchy are solved, of one level only those from the start
LIMIT, LIMIT_OF_LEVELS = 5000, 2000

#: how many amounts of room for copies are tried
_RESERVES = 16


def partition(
    profile: Profile,
    cluster: Cluster,
    *,
    straight: bool = False,
    fewer: bool = False,
    memory: float | str | None = None,
    activation_compression: float | None = None,
    compat: bool = False,
    schedule: str = "pipedream",
    redundant: bool = False,
) -> PipelinePlan:
    """Cut a model into stages, and give each its machines, so that a microbatch takes the least time in steady state.

    The answer is exact for the cost model: no other cut of the same states is faster. With a limit on memory, plans
    that are redundant or for gpipe are exact on one level of up to a few hundred states; beyond, they fit, and are
    near to the best.

    Parameters
    ----------
    profile : Profile
        The profiled batch is one microbatch.
    cluster : Cluster
    straight : bool
        No replicas: as many stages as machines.
    fewer : bool
        Leave machines out where that is faster.
    memory : float or str, optional
        Bytes of a machine, `"16GB"`; else the cluster's.
    activation_compression : float, optional
        By how much activations shrink on the wire.
    compat : bool
        PipeDream's formulas in place of this model's. Without `activation_compression` they count no activations.
    schedule : {"pipedream", "gpipe", "1f1b", "2bw", "ddp"}
        Whose memory is counted; "ddp" gives one stage on all machines.
    redundant : bool
        Each stage sends its gradient to the machine before it, which keeps a copy of its weights.

    Returns
    -------
    PipelinePlan

    Raises
    ------
    StageMemoryError
        If no plan fits into memory.
    PartitionError
        If the profile has too few places to cut at.
    TrainingError
        For a schedule or option that is none.

    Warns
    -----
    UnbalancedPlanWarning
        If a layer that is not replicated takes more than half of the time.
    """
    if not isinstance(profile, Profile) or not isinstance(cluster, Cluster):
        wrong = cluster if isinstance(profile, Profile) else profile
        raise errors.TrainingError(
            f"partition takes a Profile and a Cluster, not {type(wrong).__name__}.",
            "Use wb.training.profile(model, batch) and wb.training.Cluster([4], [1e9]).",
        )
    options = Options(
        bool(straight),
        bool(fewer),
        cluster.memory if memory is None else as_size(memory, "memory"),
        _compression(activation_compression),
        _schedule(schedule),
        bool(redundant),
    )
    limit = LIMIT if len(cluster.machines) == 1 else LIMIT_OF_LEVELS
    states = states_of(graph_of(profile), compat=compat, limit=limit)
    plan = solved(profile, cluster, states, options, compat)
    if plan is None:
        raise _no_plan(profile, cluster, states, options, compat)
    _warn_unbalanced(profile, cluster, states, plan, options)
    return plan


def solved(profile: Profile, cluster: Cluster, states: States, options: Options, compat: bool) -> PipelinePlan | None:
    """Return the best plan, or None if none fits into memory or there are too few places to cut at."""
    costs = Costs(
        states,
        compat,
        options.activation_compression,
        options.memory,
        options.schedule,
        options.redundant,
        recompute=options.recompute,
        update=0.0 if compat else _update(profile, cluster, options.schedule),
    )
    if options.schedule == "ddp":
        cuts = [_everything(states, cluster)]
        replicated = plan_of(profile, cluster, costs, cuts, options)
        return replicated if _fits(replicated, options.memory) else None
    if options.memory is None or compat:
        return _best(profile, cluster, costs, options)
    size = len(states) * cluster.size
    if (options.schedule == "gpipe" or options.redundant) and len(cluster.machines) == 1 and size**2 <= CANDIDATES:
        return _labelled(profile, cluster, costs, options)
    if options.schedule != "gpipe":
        return _with_copies(profile, cluster, costs, options)
    # how many microbatches gpipe holds goes by the number of stages, which is known only when they are cut
    found = []
    for count in range(1, cluster.size + 1):
        held = replace(costs, microbatches=microbatches_of(profile, count))
        plan = _with_copies(profile, cluster, held, options)
        if plan is not None and len(plan.stages) <= count:
            found.append(plan)
    return min(found, key=lambda plan: (plan.time, len(plan.stages)), default=None)


def _update(profile: Profile, cluster: Cluster, schedule: str) -> float:
    """Return the seconds of an update for each byte, shared among the microbatches that it is made from."""
    if schedule in ("pipedream", "ddp"):
        return cluster.pace.update
    each = cluster.pace.update if schedule == "2bw" else cluster.pace.kept
    return each / microbatches_of(profile, cluster.size)


def _best(profile: Profile, cluster: Cluster, costs: Costs, options: Options) -> PipelinePlan | None:
    if options.fewer and costs.memory is not None and not costs.compat and len(cluster.machines) == 1:
        # how many microbatches are in flight goes by the machines that are used: each number of them on its own
        smaller = [Cluster([count], cluster.bandwidth) for count in range(1, cluster.size + 1)]
        tried = [known_cuts(costs, each, straight=options.straight) for each in smaller]
        plans = [plan_of(profile, cluster, costs, cuts, options) for cuts in tried if cuts]
        return min(plans, key=lambda plan: (plan.time, plan.machines_used), default=None)
    cuts = known_cuts(costs, cluster, straight=options.straight, fewer=options.fewer)
    return plan_of(profile, cluster, costs, cuts, options) if cuts else None


def _labelled(profile: Profile, cluster: Cluster, costs: Costs, options: Options) -> PipelinePlan | None:
    """Return the best plan where what fits hangs on the next stage, or on how many stages there are."""
    best: PipelinePlan | None = None
    for count in range(1 if options.fewer else cluster.size, cluster.size + 1):
        used = Cluster([count], cluster.bandwidth)
        for most in range(1, count + 1) if options.schedule == "gpipe" else (count,):
            held = replace(costs, microbatches=microbatches_of(profile, most))
            cuts = known_cuts(held, used, straight=options.straight)
            plan = plan_of(profile, cluster, held, cuts, options) if cuts else None
            bound = math.inf if best is None else best.time
            if plan is None or plan.time >= bound:
                continue
            # without what hangs on others it is as fast as can be; if it fits with it, it is the best
            if not _fits(plan, costs.memory) or len(cuts) > most:
                cuts = cuts_that_fit(held, used, most, plan.time, bound, straight=options.straight)
                plan = plan_of(profile, cluster, held, cuts, options) if cuts else None
            best = plan if plan is not None and plan.time < bound else best
    return best


def _with_copies(profile: Profile, cluster: Cluster, costs: Costs, options: Options) -> PipelinePlan | None:
    """Return the best plan in which the copies of the following stages fit into memory too."""
    plan = _best(profile, cluster, costs, options)
    if plan is None or _fits(plan, costs.memory):
        return plan
    # The search knows what a stage holds, but not what its successor will: so room for a copy is kept free in each,
    # and no stage may need more than that. How much is best is tried.
    assert costs.memory is not None
    largest = min(costs.memory, float(costs.copied(0, len(costs.states) - 1)))
    found = []
    for share in range(1, _RESERVES + 1):
        plan = _best(profile, cluster, replace(costs, reserve=largest * share / _RESERVES), options)
        if plan is not None and _fits(plan, costs.memory):
            found.append(plan)
    return min(found, key=lambda plan: (plan.time, len(plan.stages)), default=None)


def _everything(states: States, cluster: Cluster) -> Cut:
    last = len(states) - 1
    return Cut(0, last, cluster.machines, tuple((0, last, True) for _ in cluster.machines), Place(), 0)


def _fits(plan: PipelinePlan, memory: float | None) -> bool:
    return memory is None or all(stage.memory_bytes <= memory for stage in plan.stages)


def _no_plan(
    profile: Profile, cluster: Cluster, states: States, options: Options, compat: bool
) -> errors.TrainingError:
    """Return the error for a profile of which no plan exists: which stage is too large, and what would fit."""
    free = replace(options, memory=None)
    plan = solved(profile, cluster, states, free, compat)
    if plan is None or options.memory is None:
        return errors.too_few_cuts(cluster.size, _longest(states))
    stage = max(plan.stages, key=lambda stage: stage.memory_bytes)
    named = stage.versions * stage.parameter_bytes + stage.in_flight * stage.activation_bytes
    return errors.stage_memory(
        stage.index,
        (stage.nodes[0], stage.nodes[-1]),
        stage.memory_bytes,
        options.memory,
        versions=stage.versions,
        parameter_bytes=stage.parameter_bytes,
        in_flight=stage.in_flight,
        activation_bytes=stage.activation_bytes,
        kept_bytes=0.0 if compat else stage.memory_bytes - named,
        remedies=[] if compat else list(_remedies(profile, cluster, states, options)),
    )


def _remedies(profile: Profile, cluster: Cluster, states: States, options: Options) -> Iterator[str]:
    for schedule in ("2bw", "1f1b"):
        if schedule != options.schedule:
            plan = solved(profile, cluster, states, replace(options, schedule=schedule), False)
            if plan is not None:
                yield f'schedule="{schedule}" ({_most(plan)})'
                break
    plan = solved(profile, cluster, states, replace(options, recompute=True), False)
    if plan is not None:
        yield f"recompute=True ({_most(plan)})"
    if len(cluster.machines) == 1 and options.schedule != "ddp":
        for count in range(cluster.size + 1, min(2 * cluster.size, len(states)) + 1):
            larger = Cluster([count], cluster.bandwidth)
            if solved(profile, larger, states, replace(options, straight=True, fewer=False), False) is not None:
                yield f"{count} stages"
                return


def _most(plan: PipelinePlan) -> str:
    return show_bytes(max(stage.memory_bytes for stage in plan.stages))


def _longest(states: States) -> int:
    """Return the most stages that the states can be cut into."""
    depth = np.ones(len(states), dtype=np.int64)
    for state in range(1, len(states)):
        inside = states.inside(state)
        depth[state] = 1 + depth[:state][inside].max(initial=0)
    return int(depth[-1])


def _warn_unbalanced(profile: Profile, cluster: Cluster, states: States, plan: PipelinePlan, options: Options) -> None:
    graph = states.graph
    heaviest = int(graph.compute.argmax())
    share = float(graph.compute[heaviest]) / plan.single_time if plan.single_time else 0.0
    name = graph.names[heaviest][0]
    stage = next(stage for stage in plan.stages if name in stage.nodes)
    if share <= 0.5 or cluster.size == 1 or stage.replicas > 1 or len(graph.names[heaviest]) > 1:
        return
    other = None
    if options.straight:
        other = solved(profile, cluster, states, replace(options, straight=False), plan.compat)
    better = other is not None and other.time < min(plan.time, plan.single_time)
    warning = errors.unbalanced(
        name,
        share,
        max(len(plan.stages), 2),
        other.config if other is not None and better else None,
        other.speedup if other is not None and better else 0.0,
    )
    warnings.warn(warning, stacklevel=3)


def _compression(value: Any) -> float | None:
    if value is None:
        return None
    try:
        ratio = float(value)
    except (TypeError, ValueError):
        ratio = math.nan
    if isinstance(value, bool) or not (math.isfinite(ratio) and ratio > 0):
        raise errors.TrainingError(
            f"activation_compression is a ratio above zero; got {value!r}.",
            "Write 2 for activations in half as many bytes, or None.",
        )
    return ratio


def _schedule(name: Any) -> str:
    known = [schedule for schedule in errors.SCHEDULES if schedule != "auto"]
    if name not in known:
        raise errors.unknown("schedule", name, known)
    return str(name)

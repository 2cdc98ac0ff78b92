"""From a plan's profile and cluster to what its operations take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

from workbench.training.layout import Layout
from workbench.training.pace import Pace
from workbench.training.simulate.interpreter import Durations

if TYPE_CHECKING:
    from workbench.training.plan import PipelinePlan, Stage

__all__ = ["durations_of"]


def durations_of(
    plan: PipelinePlan, layout: Layout, pipelines: int = 1, *, microbatches: int = 1, kept: bool = False
) -> Durations:
    """Return what operations take under the profile's times, the planner's link model and the machines' pace.

    Parameters
    ----------
    plan : PipelinePlan
    layout : Layout
        Of the plan, or with all ranks in one stage.
    pipelines : int
        How many of them reduce their gradients together.
    microbatches : int
        Whose gradients are added up for an update, of all replicas.
    kept : bool
        Whether each update is a commit.
    """
    forward, backward = _compute(plan)
    weights = [stage.parameter_bytes for stage in plan.stages]
    whole = len(layout.stages) < len(plan.stages)
    if whole:
        forward, backward, weights = [sum(forward)], [sum(backward)], [sum(weights)]
    bandwidth, pace = plan.cluster.bandwidth, plan.cluster.pace
    levels = [] if whole else _levels(plan)
    count = len(layout.stages)
    shrunk = plan.options.activation_compression or 1.0
    crossing = [stage.output_bytes / shrunk for stage in plan.stages[:-1]][: count - 1]

    # the first microbatch's gradient is the sum; of the others, the profile does not have what adding them takes
    for stage, members in enumerate(layout.stages):
        own = max(1.0, microbatches / len(members))
        backward[stage] += pace.add * weights[stage] * (1 - 1 / own)

    slower = 1 + pace.drag
    forward, backward = [seconds * slower for seconds in forward], [seconds * slower for seconds in backward]
    # who sends does nothing else meanwhile
    for stage in range(count - 1):
        forward[stage] += pace.post + pace.fill * crossing[stage]
        backward[stage + 1] += pace.post + pace.fill * crossing[stage]

    def rate(stage: int) -> float:
        """Bytes per second between a stage and the one before it."""
        return bandwidth[levels[stage - 1]] if stage else bandwidth[-1]

    def reduce(stage: int, members: int) -> float:
        together = members * pipelines
        crowded = _times(pace.memory, together)[-1] if pace.memory else 1.0
        copies = (pace.reduce * crowded + pace.collective) * weights[stage] if together > 1 else 0.0
        if pipelines == 1 and not whole and members == len(layout.stages[stage]):
            return copies + _reduce_seconds(plan.stages[stage], bandwidth)
        return copies + 4 * (together - 1) * weights[stage] / (bandwidth[-1] * together)

    def reduce_bytes(stage: int, members: int) -> float:
        together = members * pipelines
        return 2 * (together - 1) * weights[stage] / together

    sent = {
        "send_act": {stage: crossing[stage] for stage in range(count - 1)},
        "send_grad": {stage: crossing[stage - 1] for stage in range(1, count)},
        "send_replica": dict(enumerate(weights)),
    }
    at = {"send_act": 1, "send_grad": 0, "send_replica": 0}
    busy = {
        "forward": dict(enumerate(forward)),
        "backward": dict(enumerate(backward)),
        "frc": dict(enumerate(forward)),
        "brc": {stage: forward[stage] + backward[stage] for stage in range(count)},
        "step": {stage: (pace.kept if kept else pace.update) * weights[stage] * slower for stage in range(count)},
    }
    transfer = {
        kind: {stage: size / rate(stage + at[kind]) for stage, size in sizes.items()} for kind, sizes in sent.items()
    }
    made = Durations(
        busy, transfer, sent, reduce, reduce_bytes, lag=_lag(pace, transfer), crowd=_crowd(pace, layout.ranks),
        one_way=pace.one_way, toll=(pace.outgoing, pace.incoming), spread=pace.spread,
    )  # fmt: skip
    if len(bandwidth) == 1 or whole:
        return made
    level = {
        kind: {stage: levels[stage + at[kind] - 1] if stage + at[kind] else len(bandwidth) - 1 for stage in sizes}
        for kind, sizes in sent.items()
    }
    return replace(made, level=level, units=_units(plan, levels))


def _lag(pace: Pace, transfer: Mapping[str, Mapping[int, float]]) -> dict[str, dict[int, float]]:
    """Return by how much a message is later than its channel is free."""
    # what its sender spends on it is over before it has the channel
    message = max(pace.message - pace.post, 0.0)
    return {kind: dict.fromkeys(sizes, message) for kind, sizes in transfer.items()} if message else {}


def _crowd(pace: Pace, ranks: int) -> dict[str, tuple[float, ...]]:
    """Return how many times as long each kind of work takes with none, one, two, … ranks at work."""
    if all(times <= 1.0 for _, times in (*pace.compute, *pace.memory)):
        return {}
    computing, updating = _times(pace.compute, ranks), _times(pace.memory, ranks)
    return {"forward": computing, "backward": computing, "frc": computing, "brc": computing, "step": updating}


def _times(known: tuple[tuple[int, float], ...], most: int) -> tuple[float, ...]:
    """Return what was measured of some numbers of workers for each: between two of them and beyond in a line."""
    found = [1.0, 1.0]
    for count in range(2, most + 1):
        above = next((place for place, (number, _) in enumerate(known) if number >= count), len(known) - 1)
        if above <= 0:
            found.append(1.0)
            continue
        (first, low), (second, high) = known[above - 1], known[above]
        found.append(low + (high - low) * (count - first) / (second - first))
    return tuple(found)


def _compute(plan: PipelinePlan) -> tuple[list[float], list[float]]:
    """Return forward and backward seconds of each stage: what the planner counts, shared as the profile has it.

    Input nodes are in a stage, and their time, which is that of reading data, is not.
    """
    nodes = {node.id: node for node in plan.profile.nodes if not node.description.startswith("Input")}
    forward, backward = [], []
    for stage in plan.stages:
        held = [nodes[name] for name in stage.nodes if name in nodes]
        first, second = sum(node.forward_ms for node in held), sum(node.backward_ms for node in held)
        share = first / (first + second) if first + second > 0 else 1 / 3
        seconds = stage.compute_seconds * stage.replicas
        forward.append(seconds * share)
        backward.append(seconds * (1 - share))
    return forward, backward


def _levels(plan: PipelinePlan) -> list[int]:
    """Return the level at which each boundary is cut.

    Stages that together have all units of a level make up one unit of the next.
    """
    sizes = plan.cluster.machines
    used = [0] * len(sizes)
    found = []
    for stage in plan.stages:
        level = 0
        while True:
            used[level] += stage.machines[level]
            if used[level] < sizes[level] or level == len(sizes) - 1:
                break
            used[level] = 0
            level += 1
        found.append(level)
    return found[:-1]


def _units(plan: PipelinePlan, levels: list[int]) -> list[dict[int, int]]:
    """Return for each level rank -> the unit whose link it shares with the other ranks of the unit."""
    found: list[dict[int, int]] = []
    named = 0
    for level in range(len(plan.cluster.machines)):
        units: dict[int, int] = {}
        for stage in plan.stages:
            inside = prod(stage.machines[:level])
            for replica, rank in enumerate(stage.ranks):
                units[rank] = named + replica // inside
            if stage.index == len(levels) or levels[stage.index] >= level:
                named += stage.replicas // inside
        found.append(units)
    return found


def _reduce_seconds(stage: Stage, bandwidth: tuple[float, ...]) -> float:
    """Return the seconds of an all-reduce through all levels, as the planner counts it."""
    seconds, below = 0.0, 1
    for replicas, rate in zip(stage.machines, bandwidth, strict=True):
        seconds += below * 4 * (replicas - 1) * stage.parameter_bytes / (rate * replicas)
        below *= replicas
    return seconds

"""Plans built by hand, for tests that need stages and ranks and no partition."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.training.cluster import Cluster
from workbench.training.graph import Node, Profile
from workbench.training.plan import PipelinePlan, Stage


def plan_of(
    replicas: Sequence[int],
    *,
    forward: float | Sequence[float] = 1.0,
    backward: float | Sequence[float] = 2.0,
    output: float | Sequence[float] = 0.0,
    parameters: float | Sequence[float] = 0.0,
    bandwidth: float = 1.0,
    batch_size: int | None = 4,
) -> PipelinePlan:
    """Return a chain of one node for each stage: seconds, bytes, and one link of so many bytes per second."""
    count = len(replicas)

    def each(value: float | Sequence[float]) -> list[float]:
        return [float(value)] * count if isinstance(value, (int, float)) else [float(one) for one in value]

    forwards, backwards, outputs, weights = each(forward), each(backward), each(output), each(parameters)
    nodes = tuple(
        Node(f"node{s}", "Linear", forwards[s] * 1000, backwards[s] * 1000, (outputs[s],), weights[s], s)
        for s in range(count)
    )
    profile = Profile(nodes, tuple((f"node{s}", f"node{s + 1}") for s in range(count - 1)), batch_size)
    machines = sum(replicas)
    stages, first, times = [], 0, []
    for s, r in enumerate(replicas):
        compute = (forwards[s] + backwards[s]) / r
        gather = 4 * (r - 1) * weights[s] / (bandwidth * r) / r
        edge = 2 / (bandwidth * r)
        link = edge * ((outputs[s - 1] if s else 0.0) + (outputs[s] if s < count - 1 else 0.0))
        times.append(max(compute + gather, link))
        ranks = tuple(range(first, first + r))
        first += r
        left = machines - first
        flight = -(-left // r) + 1
        stages.append(
            Stage(
                s, (f"node{s}",), r, (r,), ranks, compute, gather + link, times[-1], weights[s], outputs[s],
                0.0 if s == count - 1 else outputs[s], 0.0, flight, flight,
            )
        )  # fmt: skip
    single = sum(forwards) + sum(backwards)
    time = max(times)
    return PipelinePlan(
        tuple(stages), "-".join(str(r) for r in replicas), time, single / machines, single, single / time, 1.0, 0.0,
        0.0, machines, count, Cluster([machines], [bandwidth]), profile, False,
    )  # fmt: skip

"""Solutions that took long are kept: the same states on the same cluster are searched once."""

from __future__ import annotations

import dataclasses
import time

from workbench.training.cluster import Cluster
from workbench.training.costs import Costs, Place
from workbench.training.solve import Cut, best_cuts

__all__ = ["known_cuts"]

#: changes when the search may find something else
VERSION = 1

#: candidates below which searching again is quicker than looking up
LARGE = 20_000_000


def known_cuts(costs: Costs, cluster: Cluster, *, straight: bool = False, fewer: bool = False) -> list[Cut]:
    """Return what `best_cuts` does; of a large search, what the store has of it."""
    size, most = len(costs.states), max(cluster.machines)
    candidates = size * size * most * most // 4
    if len(cluster.machines) > 1:
        candidates = candidates * size // 3
    if candidates < LARGE:
        return best_cuts(costs, cluster, straight=straight, fewer=fewer)
    from workbench.engine.keys import key
    from workbench.engine.store import store

    states = costs.states
    options = {field.name: getattr(costs, field.name) for field in dataclasses.fields(costs) if field.name != "states"}
    sums = [states.compute, states.activation, states.parameters, states.output, states.words]
    kept = key("training.cuts", VERSION, sums, options, cluster.machines, cluster.bandwidth, straight, fewer)
    found = store().get_json(kept)
    if found is None:
        begin = time.perf_counter()
        cuts = best_cuts(costs, cluster, straight=straight, fewer=fewer)
        plain = [dataclasses.asdict(cut) for cut in cuts]
        store().put_json(kept, plain, kind="plan", cost_s=time.perf_counter() - begin)
        return cuts
    return [
        Cut(
            cut["start"],
            cut["end"],
            tuple(cut["machines"]),
            tuple((start, end, begins) for start, end, begins in cut["outer"]),
            Place(**cut["place"]),
            cut["after"],
        )
        for cut in found
    ]

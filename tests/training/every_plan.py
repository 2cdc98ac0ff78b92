"""The best plan by going through all of them: sets of nodes, no shared sums, nothing that the planner uses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from workbench.training import Cluster, Profile

Set = frozenset[str]


@dataclass(frozen=True)
class EveryPlan:
    profile: Profile
    cluster: Cluster
    straight: bool = False
    fewer: bool = False
    memory: float | None = None
    activation_compression: float | None = None
    compat: bool = False
    schedule: str = "pipedream"
    redundant: bool = False

    @cached_property
    def nodes(self) -> dict[str, tuple[float, float, float]]:
        return {
            node.id: ((node.forward_ms + node.backward_ms) / 1000, sum(node.activation_bytes), node.parameter_bytes)
            for node in self.profile.nodes
        }

    def parents(self, name: str) -> Set:
        return frozenset(start for start, end in self.profile.edges if end == name)

    def children(self, name: str) -> Set:
        return frozenset(end for start, end in self.profile.edges if start == name)

    def ancestors(self, name: str) -> Set:
        found = self.parents(name)
        return found.union(*(self.ancestors(parent) for parent in found))

    @cached_property
    def states(self) -> list[Set]:
        first = next(name for name in self.nodes if not self.parents(name))
        found, left = {frozenset([first])}, [frozenset([first])]
        while left:
            state = left.pop()
            around = {child for name in state for child in self.children(name)} - state
            if not around and len(state) < len(self.nodes):
                around = {next(name for name in self.nodes if name not in state and not self.parents(name))}
            for name in around:
                following = state | {name} | self.ancestors(name)
                if following not in found:
                    found.add(following)
                    left.append(following)
        return sorted(found, key=len)

    def total(self, state: Set, what: int) -> float:
        return sum(self.nodes[name][what] for name in state)

    def output(self, state: Set) -> float:
        if not self.compat:
            if len(state) == len(self.nodes):
                return 0.0
            return sum(self.nodes[name][1] for name in state if self.children(name) - state)
        counted = {name for name in state if not self.children(name) & state}
        for name in list(counted):
            own = self.ancestors(name) | {name}
            counted |= {other for other in self.ancestors(name) if self.children(other) - own}
        return sum(self.nodes[name][1] for name in counted)

    def time(self, level: int, compute: float, before: Set, after: Set, r: int, begins: bool) -> float:
        bandwidth = self.cluster.bandwidth[level]
        weights = self.total(after - before, 2)
        reduce = 4 * (r - 1) * weights / (bandwidth * r)
        if self.compat and begins:
            below = self.cluster.machines[level - 1] if level else 1
            return (compute + reduce / below) / r
        shrunk = self.activation_compression
        taken = 2 * self.output(before) / (bandwidth * r) / (shrunk or 1) if before else 0.0
        given = 2 * self.output(after) / (bandwidth * r) / (shrunk or 1) if len(after) < len(self.nodes) else 0.0
        if self.compat:
            return max([(compute + reduce) / r, *([taken, given] if shrunk is not None else [])])
        upkeep = weights / (bandwidth * r) if self.redundant else 0.0
        return max((compute + reduce) / r, taken + given + upkeep)

    def fits(self, before: Set, after: Set, later: int, copies: int, r: int) -> bool:
        """Whether a segment on `copies` machines in all, with `later` machines after it, fits."""
        if self.memory is None:
            return True
        weights, kept = self.total(after - before, 2), self.total(after - before, 1)
        if self.compat:
            return math.ceil(later / r) * (weights + kept) <= self.memory
        flying = math.ceil(later / copies) + 1
        versions = {"pipedream": flying, "2bw": 2}.get(self.schedule, 1)
        return (versions + 3) * weights + flying * kept <= self.memory

    def best(self, level: int, before: Set, after: Set, later: int, copies: int) -> float:
        """Return the time of the best way to cut one span over the units of a level."""
        key = (level, before, after, later, copies)
        if key not in self.known:
            self.known[key] = self.searched(*key)
        return self.known[key]

    @cached_property
    def known(self) -> dict[tuple[int, Set, Set, int, int], float]:
        return {}

    def searched(self, level: int, before: Set, after: Set, later: int, copies: int) -> float:
        count = self.cluster.machines[level]
        unit = math.prod(self.cluster.machines[:level])
        found = math.inf
        for segments in self.ways(before, after, count):
            left, worst = count, 0.0
            if self.fewer:
                # what is left out counts as standing before what follows the first segment, as far as it is known
                left = sum(r for _, _, r in segments) if not self.compat else count
            for start, end, r in segments:
                left -= r
                inner_later, inner_copies = later + left * unit * copies, copies * r
                if level:
                    compute = self.best(level - 1, start, end, inner_later, inner_copies)
                    if self.compat and not self.fits(start, end, left, inner_copies, r):
                        compute = math.inf
                else:
                    fitting = self.fits(start, end, left if self.compat else inner_later, inner_copies, r)
                    compute = self.total(end - start, 0) if fitting else math.inf
                worst = max(worst, self.time(level, compute, start, end, r, start == before))
            found = min(found, worst)
        return found

    def ways(self, before: Set, after: Set, count: int, first: bool = True) -> Iterator[list[tuple[Set, Set, int]]]:
        most = 1 if self.straight else count
        for r in range(1, most + 1):
            if r == count or self.fewer:
                yield [(before, after, r)]
        for state in self.states:
            if before < state < after:
                for r in range(1, min(most, count - 1) + 1):
                    for rest in self.ways(state, after, count - r, False):
                        yield [(before, state, r), *rest]

    def time_of_best(self) -> float:
        return self.best(len(self.cluster.machines) - 1, frozenset(), frozenset(self.nodes), 0, 1)

    def time_with_neighbours(self) -> float:
        """Return the time of the best plan on one level that fits with the copies of the next stages, or for gpipe."""
        (count,) = self.cluster.machines
        found = math.inf
        for segments in self.ways(frozenset(), frozenset(self.nodes), count):
            left = sum(r for _, _, r in segments)
            worst, fits = 0.0, True
            for place, (start, end, r) in enumerate(segments):
                left -= r
                weights, kept = self.total(end - start, 2), self.total(end - start, 1)
                flying = math.ceil(left / r) + 1
                if self.schedule == "gpipe":
                    flying = math.ceil(min(2 * len(segments), self.profile.batch_size or math.inf) / r)
                held = ((flying if self.schedule == "pipedream" else 1) + 3) * weights + flying * kept
                if self.redundant:
                    following = segments[(place + 1) % len(segments)]
                    held += 3 * self.total(following[1] - following[0], 2)
                fits = fits and (self.memory is None or held <= self.memory)
                compute = self.total(end - start, 0)
                worst = max(worst, self.time(0, compute, start, end, r, not start))
            if fits:
                found = min(found, worst)
        return found

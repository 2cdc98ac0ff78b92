"""Which vertices of a graph are worth one kernel: the best patterns that begin at each of them.

A pattern is a set of vertices, written as a number whose bit k is vertex k. Those that begin at a vertex are made of
the best patterns of its consumers, the last vertices first; lists of consumers are halved until one is left, so that
the number of patterns looked at grows with the edges of the graph and not with what can be chosen of them. What several
vertices read, an array or the result of a call, begins patterns too: those that read it once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from workbench.fusion.plan.cost import Costs, bits
from workbench.fusion.plan.kernels import MOST_OPS

__all__ = ["BEST", "MOST_CONSUMERS", "explore"]

#: patterns kept of each vertex
BEST = 3
#: consumers of one vertex beyond which the rest is left to other patterns
MOST_CONSUMERS = 64


def explore(costs: Costs) -> list[tuple[float, int]]:
    """Return patterns of two vertices or more that save time, best first.

    Parameters
    ----------
    costs : Costs

    Returns
    -------
    list of (float, int)
        Milliseconds saved against a kernel for each vertex, and the set of vertices. Ties by the first vertex.
    """
    vertices = costs.parts.vertices
    best: dict[int, list[int]] = {}
    found: dict[int, float] = {}
    for vertex in reversed(vertices):
        if vertex.root is None:
            continue
        own = 1 << vertex.number
        consumers = [each for each in bits(costs.users[vertex.number]) if vertices[each].root is not None]
        best[vertex.number] = _combined(own, consumers, best, costs) if consumers else [own]
        found.update(_worth(best[vertex.number], costs))
    for readers in _shared(costs):
        found.update(_worth(_combined(0, readers, best, costs), costs))
    return sorted(
        [(gain, mask) for mask, gain in found.items()], key=lambda each: (-each[0], each[1] & -each[1], each[1])
    )


def _combined(own: int, consumers: Sequence[int], best: dict[int, list[int]], costs: Costs) -> list[int]:
    """Return the best patterns of a vertex, or of none, and what its consumers' patterns make together."""
    if len(consumers) == 1:
        return _ranked([own, *[own | each for each in best[consumers[0]]]], costs)
    half = len(consumers) // 2
    left = _combined(own, consumers[:half], best, costs)
    right = _combined(own, consumers[half:], best, costs)
    return _ranked([own, *[one | other for one in (own, *left) for other in (own, *right)]], costs)


def _ranked(masks: Sequence[int], costs: Costs) -> list[int]:
    """Return the best of some patterns that one kernel can be."""
    known: dict[int, float] = {}
    for mask in masks:
        if mask and mask not in known:
            single = not mask & (mask - 1)
            found = costs.kernel(mask) if single else costs.tried(mask)
            if found is not None and (single or found.ops <= MOST_OPS):
                known[mask] = found.gain
    return sorted(known, key=lambda mask: (-known[mask], mask))[:BEST]


def _worth(masks: Sequence[int], costs: Costs) -> Iterator[tuple[int, float]]:
    for mask in masks:
        found = costs.kernel(mask)
        if found is not None and mask & (mask - 1) and found.gain > 0:
            yield mask, found.gain


def _shared(costs: Costs) -> Iterator[list[int]]:
    """Return for each array that several vertices read which they are."""
    readers: dict[int, list[int]] = {}
    own = {id(each.node) for each in costs.parts.vertices if each.root is not None}
    for vertex in costs.parts.vertices:
        if vertex.root is not None:
            for each in vertex.loads:
                if id(each) not in own:
                    readers.setdefault(id(each), []).append(vertex.number)
    for found in readers.values():
        if len(found) > 1:
            yield found[:MOST_CONSUMERS]

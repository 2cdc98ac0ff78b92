"""States of a graph: the node sets closed under predecessors, between which a model can be cut."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from workbench.training import errors
from workbench.training.graph import Node, Profile, topological

__all__ = ["Graph", "States", "graph_of", "states_of"]

#: what a description says of another node that its node must be in one stage with
TOGETHER = re.compile(r" \[(?:shares parameters|stays) with ([^\]]+)\]")

_Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Graph:
    """The nodes that a planner deals out, by position; sets of nodes are bits of an int.

    Attributes
    ----------
    names : tuple of tuple of str
        Nodes that each position stands for: more than one where chains were merged.
    parents, children : tuple of int
    compute : array, seconds
    activation, output, parameters : array, bytes
        `output` is what leaves the last node of a position, `activation` what all its nodes keep.
    together : tuple of int
        Sets that must be in one stage.
    """

    names: tuple[tuple[str, ...], ...]
    parents: tuple[int, ...]
    children: tuple[int, ...]
    compute: _Floats
    activation: _Floats
    output: _Floats
    parameters: _Floats
    together: tuple[int, ...]

    @cached_property
    def ancestors(self) -> tuple[int, ...]:
        """All predecessors of each position, itself left out."""
        found = [0] * len(self.names)
        missing = [bits.bit_count() for bits in self.parents]
        ready = [position for position, count in enumerate(missing) if not count]
        while ready:
            position = ready.pop()
            for child in each_bit(self.children[position]):
                found[child] |= found[position] | 1 << position
                missing[child] -= 1
                if not missing[child]:
                    ready.append(child)
        return tuple(found)


@dataclass(frozen=True)
class States:
    """States in their order, smallest first, with what they hold.

    Attributes
    ----------
    graph : Graph
    sets : tuple of int
        The last one holds every node.
    compute, activation, parameters : array
        Sums over each state: seconds, bytes, bytes.
    output : array
        Bytes that leave each state.
    words : array of uint64
        The sets, one row each.
    contracted : str
        How the graph was made smaller; empty if it was not.
    """

    graph: Graph
    sets: tuple[int, ...]
    compute: _Floats
    activation: _Floats
    parameters: _Floats
    output: _Floats
    words: np.ndarray[Any, np.dtype[np.uint64]]
    contracted: str

    def __len__(self) -> int:
        return len(self.sets)

    def inside(self, state: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Return which of the states before `state` are strictly inside it."""
        rest = ~self.words[state]
        return np.asarray(~(self.words[:state] & rest).any(axis=1))


def graph_of(profile: Profile) -> Graph:
    """Return the graph that is planned: inputs, and items of outputs that nobody takes, are left out.

    Raises
    ------
    PartitionError
        For a profile of which nothing is left.
    """
    sources = {node.id for node in profile.nodes} - {end for _, end in profile.edges}
    kept = [node for node in profile.nodes if not (node.id in sources and node.description.startswith("Input"))]
    names = {node.id for node in kept}
    used = {start for start, end in profile.edges if start in names and end in names}
    kept = [node for node in kept if node.id in used or not node.description.startswith("__getitem__")]
    if not kept:
        raise errors.PartitionError(
            "The profile has no layer that could be planned.", "Profile a model that does more than take its inputs."
        )
    place = {node.id: position for position, node in enumerate(kept)}
    parents, children = [0] * len(kept), [0] * len(kept)
    for start, end in profile.edges:
        if start in place and end in place:
            parents[place[end]] |= 1 << place[start]
            children[place[start]] |= 1 << place[end]
    output = np.array([sum(node.activation_bytes) for node in kept], dtype=np.float64)
    return Graph(
        tuple((node.id,) for node in kept),
        tuple(parents),
        tuple(children),
        np.array([(node.forward_ms + node.backward_ms) / 1000.0 for node in kept], dtype=np.float64),
        output,
        output,
        np.array([node.parameter_bytes for node in kept], dtype=np.float64),
        tuple(_together(kept, place)),
    )


def states_of(graph: Graph, *, compat: bool = False, limit: int = 5000) -> States:
    """Return the states of a graph; of one with more than `limit` states, those of a smaller graph.

    Parameters
    ----------
    graph : Graph
    compat : bool
        Whether a state's output is counted as PipeDream does, with some tensors that do not cross the cut.
    limit : int
    """
    contracted = ""
    found = _enumerate(graph, limit)
    if found is None:
        before = len(graph.names)
        graph = _merged(graph)
        contracted = f"contracted: {before} nodes became {len(graph.names)}"
        found = _enumerate(graph, limit)
        boundary = 5
        while found is None:
            boundary -= 1
            contracted = (
                f"contracted: {before} nodes became {len(graph.names)}, cuts with more than {boundary} "
                f"{'outputs' if boundary > 1 else 'output'} left out"
            )
            found = _enumerate(graph, limit, boundary)
    width = len(graph.names)
    # of sets of one size that one comes first which has the lower position where they differ: its bits, lowest first
    sets = sorted(found, key=lambda bits: (bits.bit_count(), -int(f"{bits:0{width}b}"[::-1], 2)))
    size = -(-len(graph.names) // 64)
    packed = b"".join(bits.to_bytes(size * 8, "little") for bits in sets)
    words = np.frombuffer(packed, dtype="<u8").reshape(len(sets), size)
    held = np.unpackbits(words.view(np.uint8), axis=1, bitorder="little")[:, : len(graph.names)].astype(np.float64)
    crossing = _compat_outputs(graph, held) if compat else _outputs(graph, held)
    return States(
        graph,
        tuple(sets),
        held @ graph.compute,
        held @ graph.activation,
        held @ graph.parameters,
        crossing @ graph.output,
        words,
        contracted,
    )


def each_bit(bits: int) -> Iterator[int]:
    """Return the positions of a set, smallest first."""
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest


def _enumerate(graph: Graph, limit: int, boundary: int | None = None) -> list[int] | None:
    """Return all states, or None if there are more than `limit`.

    From the first source with its ancestors, each child of a node inside, with its ancestors, gives the next one.
    With `boundary`, states of which more nodes have a child outside are not gone on from; the search then begins at
    each narrow state on the way through the nodes in order, too.
    """
    everything = (1 << len(graph.names)) - 1
    children, ancestors, parents = graph.children, graph.ancestors, graph.parents
    # some states are left out at the end if they part nodes that belong together
    most = 8 * limit if graph.together else limit

    def grown(held: int, around: int, position: int) -> tuple[int, int]:
        added = (ancestors[position] | 1 << position) & ~held
        for each in each_bit(added):
            around |= children[each]
        held |= added
        return held, around & ~held

    def narrow(held: int) -> bool:
        return boundary is None or sum(1 for each in each_bit(held) if children[each] & ~held) <= boundary

    left = [grown(0, 0, next(position for position, bits in enumerate(parents) if not bits))]
    if boundary is not None:
        state = left[0]
        while state[0] != everything:
            rest = state[1] or next(1 << each for each in each_bit(everything & ~state[0]) if not parents[each])
            state = grown(*state, next(each_bit(rest)))
            if narrow(state[0]):
                left.append(state)
    seen = {held for held, _ in left}
    while left:
        held, around = left.pop()
        if not around and held != everything:
            # what is not connected with the first source begins with a source of its own
            around = next(1 << each for each in each_bit(everything & ~held) if not parents[each])
        for position in each_bit(around):
            following = held | ancestors[position] | 1 << position
            if following not in seen and narrow(following):
                seen.add(following)
                if len(seen) > most:
                    return None
                left.append(grown(held, around, position))
    # a cut may not part nodes that belong together
    allowed = [bits for bits in seen if all(not bits & group or bits & group == group for group in graph.together)]
    return allowed if len(allowed) <= limit else None


def _outputs(graph: Graph, held: _Floats) -> _Floats:
    """Return which nodes' outputs leave each state: those with a child outside."""
    crossing = np.zeros_like(held)
    for position, bits in enumerate(graph.children):
        if bits:
            inside = held[:, list(each_bit(bits))].all(axis=1)
            crossing[:, position] = held[:, position] * ~inside
    return crossing


def _compat_outputs(graph: Graph, held: _Floats) -> _Floats:
    """Return which nodes' outputs PipeDream counts: the maximal ones, and ancestors of one with a child elsewhere."""
    before = _matrix(graph.ancestors)
    upto = before | np.eye(len(before), dtype=bool)
    extra = np.zeros_like(held, shape=before.shape)
    maximal = held.copy()
    for position, bits in enumerate(graph.children):
        if bits:
            children = list(each_bit(bits))
            extra[:, position] = before[:, position] & ~upto[:, children].all(axis=1)
            maximal[:, position] = held[:, position] * ~held[:, children].any(axis=1)
    return np.minimum(maximal + maximal @ extra, 1.0)


def _matrix(sets: Sequence[int]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return sets of positions as rows of a square table."""
    size = -(-len(sets) // 8)
    packed = np.frombuffer(b"".join(bits.to_bytes(size, "little") for bits in sets), dtype=np.uint8)
    return np.unpackbits(packed.reshape(len(sets), size), axis=1, bitorder="little")[:, : len(sets)].astype(bool)


def _merged(graph: Graph) -> Graph:
    """Return the graph with the chains merged; a cut inside one stays where less leaves than at both its ends."""
    # a node of more than a 64th of the time is not made longer, or plans would lose their balance
    largest = float(graph.compute.sum()) / 64
    single = [
        bits.bit_count() == 1 and graph.parents[bits.bit_length() - 1].bit_count() == 1 for bits in graph.children
    ]
    follows = {graph.children[position].bit_length() - 1 for position, alone in enumerate(single) if alone}
    groups: list[list[int]] = []
    for position in range(len(graph.names)):
        if position in follows:
            continue
        chain = [position]
        while single[chain[-1]]:
            chain.append(graph.children[chain[-1]].bit_length() - 1)
        before = sum(float(graph.output[each]) for each in each_bit(graph.parents[position]))
        after = float(graph.output[chain[-1]])
        group: list[int] = []
        for each in chain:
            group.append(each)
            thin = graph.output[each] < before and graph.output[each] < after
            if thin or graph.compute[group].sum() >= largest:
                groups.append(group)
                group = []
        if group:
            groups.append(group)
    groups.sort(key=min)
    place = {each: number for number, group in enumerate(groups) for each in group}

    def moved(sets: Sequence[int], number: int) -> int:
        bits = 0
        for each in groups[number]:
            for other in each_bit(sets[each]):
                bits |= 1 << place[other]
        return bits & ~(1 << number)

    def summed(values: _Floats) -> _Floats:
        return np.array([values[group].sum() for group in groups], dtype=np.float64)

    tied = []
    for bits in graph.together:
        tied.append(sum(1 << number for number in {place[each] for each in each_bit(bits)}))
    return Graph(
        tuple(tuple(name for each in group for name in graph.names[each]) for group in groups),
        tuple(moved(graph.parents, number) for number in range(len(groups))),
        tuple(moved(graph.children, number) for number in range(len(groups))),
        summed(graph.compute),
        summed(graph.activation),
        np.array([graph.output[group[-1]] for group in groups], dtype=np.float64),
        summed(graph.parameters),
        tuple(tied),
    )


def _together(nodes: Sequence[Node], place: dict[str, int]) -> Iterator[int]:
    for position, node in enumerate(nodes):
        for name in TOGETHER.findall(node.description):
            if name in place:
                yield 1 << position | 1 << place[name]


def stage_nodes(profile: Profile, graph: Graph, sets: Sequence[int]) -> list[tuple[str, ...]]:
    """Return the nodes of each stage, in topological order.

    Parameters
    ----------
    profile : Profile
    graph : Graph
    sets : sequence of int
        What is done at the end of each stage; the last one holds every node.
    """
    stage_of: dict[str, int] = {}
    held = 0
    for index, bits in enumerate(sets):
        for position in each_bit(bits & ~held):
            stage_of |= dict.fromkeys(graph.names[position], index)
        held = bits
    order = topological(profile.nodes, profile.edges)
    for start, end in sorted(profile.edges, key=lambda edge: -stage_of.get(edge[0], -1)):
        # an item that nobody takes stays with what it is an item of
        if end not in stage_of and start in stage_of:
            stage_of[end] = stage_of[start]
    stages: list[list[str]] = [[] for _ in sets]
    for name in order:
        stages[stage_of.get(name, 0)].append(name)
    return [tuple(names) for names in stages]

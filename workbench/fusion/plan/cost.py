"""What plans cost: by difference while they are searched, by latency when the best are compared.

Both look at an element of a nominal size, never at lengths: a plan is a pure function of graph and device.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from workbench.fusion.expr import Dim, Expr, Shape
from workbench.fusion.passes.cost import own_cost
from workbench.fusion.plan.kernels import Partition, Root, Vertex
from workbench.fusion.plan.model import DeviceModel
from workbench.fusion.plan.schemes import Built, schemes_of
from workbench.fusion.structure import SMALL

__all__ = ["NOMINAL", "Costs", "Kernel", "bits", "gain", "latency", "spread", "work"]

#: elements of an array, for what does not depend on lengths
NOMINAL = 1_000_000
#: beyond so many operations in a loop values no longer fit the registers
REGISTERS, SPILL_NS = 60, 0.05
#: what keeping a value of a row for its next loop takes: a store and a load near the core
KEPT_NS = 0.3
#: registers that every loop takes
LEAST_REGISTERS = 16
#: kinds of nodes with a value for each point of their shape, and no other work
_ELEMENTWISE = ("Map", "Cast", "Select")
#: vertices of kernels that are looked at for one set of stored values, so that large graphs are planned in time
MOST_LOOKED = 2_000


def gain(model: DeviceModel, cost: float, uses: float, itemsize: int, share: float = 1.0) -> float:
    """Return the nanoseconds an element saved by keeping a value in memory: the delta evaluator.

    Parameters
    ----------
    model : DeviceModel
    cost : float
        Nanoseconds an element, of the value and all below it that only it needs.
    uses : float
        How often an element would be computed: by each kernel that needs it, by each row that it is broadcast to.
    itemsize : int
    share : float
        Elements of the value for each element of the loop that uses it; smaller ones stay in cache.
    """
    bandwidth = model.memory if share == 1.0 else model.bandwidth_gbps["L2"]  # GB/s is bytes a nanosecond
    return share * (cost * (uses - 1) - itemsize * (1 + uses) / bandwidth)


def spread(node: Expr, space: Shape) -> float:
    """Return how often a loop over a space computes each element of a node that is broadcast along leading axes.

    What is the same along the last axis is moved out of the innermost loop, and so counts once.
    """
    if not 0 < len(node.shape) <= len(space) or node.shape[-1] != space[-1] or space[-1] == 1:
        return 1.0
    own = (*(1,) * (len(space) - len(node.shape)), *node.shape)
    return math.prod([_length(d, 1000.0) for a, d in zip(own, space, strict=True) if a == 1 and d != 1])


@dataclass(eq=False)
class Kernel:
    """What is known of a kernel of some vertices.

    Attributes
    ----------
    mask : int
        Set of its vertices: bit k is vertex k.
    built : Built
    ops : int
        Nodes that it computes.
    bytes : float
        Moved between memory and the kernel, each array once.
    ns : float
        Of computing on one core, what several of its loops compute counted as often.
    registers : int
        Values that are there at the same time, in the loop that has most.
    ms : float
        Predicted time without the start.
    gain : float
        Milliseconds saved against a kernel for each vertex: what the search adds up.
    """

    mask: int
    built: Built
    ops: int
    bytes: float
    ns: float
    registers: int
    ms: float
    gain: float = 0.0


class Costs:
    """The two evaluators, over kernels of the vertices of one graph.

    Parameters
    ----------
    parts : Partition
    model : DeviceModel
    """

    def __init__(self, parts: Partition, model: DeviceModel) -> None:
        self.parts, self.model = parts, model
        spaces = [each.root.space for each in parts.vertices if each.root is not None]
        most = max([sum(_length(d, 0.0) == 0.0 for d in space) for space in spaces], default=1)
        self.one = NOMINAL ** (1 / max(most, 1))  # so that the largest arrays have the nominal size
        self.schemes = schemes_of(model, self.length)
        #: for each vertex the set of those that read it
        self.users = [0] * len(parts.vertices)
        #: set of the vertices that are asked for
        self.asked = 0
        for vertex in parts.vertices:
            for need in vertex.needs:
                self.users[need] |= 1 << vertex.number
            if id(vertex.node) in parts.outputs:
                self.asked |= 1 << vertex.number
        self.known: dict[int, Kernel | None] = {}
        #: vertices of all kernels that were looked at: what the search is measured by
        self.looked = 0
        self._loads: dict[int, dict[int, float]] = {}
        self._nodes: dict[int, dict[int, float]] = {}
        self._steps: dict[int, list[tuple[int, tuple[int, ...]]]] = {}
        self._spans: dict[int, tuple[int, int]] = {}

    def span(self, mask: int) -> tuple[int, int]:
        """Return what a set of vertices is computed from, and what is computed from it, directly or not."""
        found = self._spans.get(mask)
        if found is None:
            above = below = 0
            for number in bits(mask):
                vertex = self.parts.vertices[number]
                above |= vertex.above
                below |= vertex.below
            found = self._spans[mask] = above, below
        return found

    def length(self, d: Dim) -> float:
        """Return what a length counts as: plans do not depend on those of a CPU's arrays, but on the small ones."""
        return _length(d, self.one) if self.model.device == "cpu" or not isinstance(d, int) else float(d)

    def kernel(self, mask: int) -> Kernel | None:
        """Return the kernel of a set of vertices, None if there is none: it would wait for itself, or not fit."""
        if mask not in self.known:
            self.known[mask] = self._kernel(mask)
        return self.known[mask]

    def tried(self, mask: int) -> Kernel | None:
        """Return the kernel of a set of vertices as long as there is time to look at more, then None."""
        return self.kernel(mask) if mask in self.known or self.looked < MOST_LOOKED else None

    def latency(self, plan: Sequence[int], launches: int | None = None) -> float:
        """Return predicted milliseconds of kernels, all of which there are: the latency evaluator."""
        ms = 0.0
        for mask in plan:
            found = self.kernel(mask)
            ms += found.ms if found is not None else math.inf
        return ms + (len(plan) if launches is None else launches) * self.model.launch_us / 1e3

    def _kernel(self, mask: int) -> Kernel | None:
        vertices = [self.parts.vertices[number] for number in bits(mask)]
        self.looked += len(vertices)
        above, below = self.span(mask)
        if above & below & ~mask:  # someone else would be computed from the kernel, and it from them
            return None
        built = self.schemes.built(vertices, self.parts)
        if built is None:
            return None
        if vertices[0].root is None:
            return Kernel(mask, built, 1, 0.0, 0.0, 0, 0.0)
        found = self._evaluated(mask, vertices, built)
        if len(vertices) > 1:
            found.gain = self._gain(found, vertices)
        return found

    def _gain(self, found: Kernel, vertices: Sequence[Vertex]) -> float:
        """Return what one kernel saves against a kernel for each vertex: the delta evaluator."""
        alone = [self.kernel(1 << each.number) for each in vertices]
        saved = sum(each.bytes for each in alone if each is not None) - found.bytes
        again = found.ns - sum(each.ns for each in alone if each is not None)
        launches = (
            len(vertices) - 1
        ) * self.model.launch_us / 1e3 - self.model.limits.barrier_us / 1e3 * found.built.barriers
        again = self.computing(abs(again), found.built, NOMINAL, found.registers) * (1 if again > 0 else -1)
        return saved / self.model.memory / 1e6 + launches - again / 1e6 - self.penalty(found)

    def penalty(self, found: Kernel) -> float:
        """Return the milliseconds that a kernel loses for being so large: registers that it lacks."""
        volume = max([self.volume(root.space) for root in self.roots(found.mask)], default=0.0)
        return self.spill(found.registers) * volume / 1e6

    def spill(self, live: int) -> float:
        """Return the nanoseconds an element of storing and loading values beyond the registers."""
        return SPILL_NS * max(0, live - self.model.limits.registers)

    def roots(self, mask: int) -> list[Root]:
        """Return what the vertices of a set leave behind."""
        found = [self.parts.vertices[number].root for number in bits(mask)]
        return [each for each in found if each is not None]

    def _evaluated(self, mask: int, vertices: Sequence[Vertex], built: Built) -> Kernel:
        model, rows = self.model, built.rows
        own = {id(each.node) for each in vertices}
        stages: dict[int, list[Vertex]] = {}
        for vertex in vertices:
            stages.setdefault(built.stages[vertex.number], []).append(vertex)
        loaded: dict[int, float] = {}
        computed: dict[int, float] = {}
        total_bytes = total_ns = ms = 0.0
        registers = 0
        for _, members in sorted(stages.items()):
            loads: dict[int, float] = {}
            nodes: dict[int, float] = {}
            written = 0.0
            for vertex in members:
                loads.update(self.loads(vertex))
                nodes.update(self.nodes(vertex))
                if 1 << vertex.number & self.asked or self.users[vertex.number] & ~mask:
                    written += self.size(vertex.node)
            loads = {key: size for key, size in loads.items() if key not in own}
            fresh = sum(size for key, size in loads.items() if key not in loaded)
            again = sum(size for key, size in loads.items() if key in loaded)
            # what a row's later loops compute again they may have kept instead, where that is dear
            ns = sum(self.kept(each, computed) if rows else each[1] for each in nodes.items())
            near = again / model.bandwidth_gbps["L2"] if rows else again / model.memory
            live = self.live(members)
            registers = max(registers, live)
            volume = self.volume(members[0].root.space if members[0].root is not None else ())
            computing = self.computing(ns + self.spill(live) * volume, built, volume, live)
            ms += max((fresh + written) / model.memory + near, computing) / 1e6
            total_bytes += fresh + written
            total_ns += ns
            loaded.update(loads)
            computed.update(nodes)
        ms += built.barriers * model.limits.barrier_us / 1e3
        return Kernel(mask, built, len(computed), total_bytes, total_ns, registers, ms)

    def computing(self, ns: float, built: Built, volume: float, live: int) -> float:
        """Return the nanoseconds of a loop that takes so many on one core of a CPU.

        Parameters
        ----------
        ns : float
        built : Built
            The kernel that it is in.
        volume : float
            Its iterations.
        live : int
            Values that it has at the same time.
        """
        return ns

    def kept(self, node: tuple[int, float], computed: Mapping[int, float]) -> float:
        """Return the nanoseconds of a node in a loop over rows that earlier loops over them may have computed."""
        return min(node[1], KEPT_NS * NOMINAL) if node[0] in computed else node[1]

    def loads(self, vertex: Vertex) -> dict[int, float]:
        """Return the bytes of each array that a vertex reads, by id."""
        found = self._loads.get(vertex.number)
        if found is None:
            found = self._loads[vertex.number] = {id(each): self.size(each) for each in vertex.loads if each.shape}
        return found

    def nodes(self, vertex: Vertex) -> dict[int, float]:
        """Return the nanoseconds of each node that a vertex computes, by id."""
        found = self._nodes.get(vertex.number)
        if found is None:
            assert vertex.root is not None
            space = vertex.root.space
            volume = self.volume(space)
            found = {}
            for node in (*vertex.inside, vertex.node):
                moves = node is vertex.node or (node.shape and _length(node.shape[-1], 2.0) != 1.0)
                ns = self.model.op_ns.get(node.name, own_cost(node)) if node.kind == "Map" else own_cost(node)
                found[id(node)] = ns * volume if moves else 0.0  # what is the same along a row is moved out of its loop
            self._nodes[vertex.number] = found
        return found

    def live(self, vertices: Sequence[Vertex]) -> int:
        """Return how many values one loop has at the same time, computing one vertex after another; 16 at least."""
        if sum(1 + len(each.inside) for each in vertices) <= 2 * LEAST_REGISTERS:
            return LEAST_REGISTERS
        made: dict[int, int] = {}
        last: dict[int, int] = {}
        place = 0
        for vertex in vertices:
            for key, inputs in self.steps(vertex):
                if key not in made:
                    place += 1
                    made[key] = place
                    for each in inputs:
                        last[each] = place
        ends = [0] * (place + 1)
        most = now = 0
        for key, begin in made.items():
            now -= ends[begin]
            end = last.get(key, begin)
            if end > begin:
                now += 1
                ends[end] += 1
            if now >= most:
                most = now + 1
        return max(most, LEAST_REGISTERS)

    def steps(self, vertex: Vertex) -> list[tuple[int, tuple[int, ...]]]:
        """Return ids of the nodes that a vertex computes, each with those of its inputs."""
        found = self._steps.get(vertex.number)
        if found is None:
            found = self._steps[vertex.number] = [
                (id(node), tuple(map(id, node.inputs))) for node in (*vertex.inside, vertex.node)
            ]
        return found

    def size(self, node: Expr) -> float:
        """Return the bytes of an array."""
        return node.dtype.itemsize * self.volume(node.shape) if node.shape else 0.0

    def volume(self, shape: Shape) -> float:
        """Return the elements of an array."""
        return math.prod([self.length(d) for d in shape])


def latency(parts: Partition, model: DeviceModel) -> float:
    """Return predicted milliseconds of a plan: for each kernel the longer of moving bytes and computing."""
    number = {id(each.node): each.number for each in parts.vertices}
    plan = [sum(1 << number[id(root.node)] for root in group.roots) for group in parts.groups]
    plan += [1 << number[id(node)] for _, node in parts.calls]
    from workbench.fusion.plan.gpu_cost import costs_of

    return costs_of(parts, model).latency(plan)


def bits(mask: int) -> Iterator[int]:
    """Return the numbers in a set."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def _length(d: Dim, other: float) -> float:
    """Return a length that plans may depend on, or what stands for the others."""
    return float(d) if isinstance(d, int) and d <= SMALL else other


def work(nodes: Collection[Expr], model: DeviceModel, space: Shape = ()) -> float:
    """Return the nanoseconds an element that computing nodes in one loop over a space takes on one core.

    What is the same along the loop is computed before it.
    """
    along = bool(space) and space[-1] != 1
    ns = 0.0
    for node in nodes:
        if along and node.kind in _ELEMENTWISE and (not node.shape or node.shape[-1] == 1):
            continue
        ns += model.op_ns.get(node.name, own_cost(node)) if node.kind == "Map" else own_cost(node)
    return ns + SPILL_NS * max(0, len(nodes) - REGISTERS)

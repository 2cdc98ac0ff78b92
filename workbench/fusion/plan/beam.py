"""The search for a plan: what to keep in memory, and which of it one kernel computes.

Fusing all that can be fused is one plan. Values that it computes more than once may be stored instead: a beam over
them, best gain first, keeps three sets, of which the latency model picks one. Then patterns are explored, a beam picks
those that share no vertex and save most together, and what is left joins or is packed with what it does not depend on.
The latency model picks among these plans and the one of kernels that are as large as they get.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from workbench.fusion.expr import Expr
from workbench.fusion.passes.cost import costs
from workbench.fusion.plan.cost import MOST_LOOKED, Costs, bits, gain, spread
from workbench.fusion.plan.gpu_cost import costs_of
from workbench.fusion.plan.grouping import joined
from workbench.fusion.plan.kernels import MOST_OPS, Partition
from workbench.fusion.plan.model import DeviceModel
from workbench.fusion.plan.partition import cut, settle
from workbench.fusion.plan.patterns import explore

__all__ = ["WIDTH", "Plan", "apart", "candidates", "largest_of", "plans", "search"]

#: plans kept while searching, and candidates looked at
WIDTH, MOST = 3, 12
#: nodes of a graph beyond which one set of stored values is tried
LARGE = 400
#: kernels that another one is tried to be joined or packed with
MOST_TRIES = 24
#: how many times the registers of one of two packed loops the other one may take
RATIO = 2.0
#: kinds of loops that a launch on a GPU selects among
MOST_KINDS = 8


@dataclass
class Plan:
    """Kernels as sets of vertices, and which of them are one launch."""

    kernels: list[int]
    packs: list[int] = field(default_factory=list)


def search(roots: Sequence[Expr], model: DeviceModel) -> Partition:
    """Return the best partition of a graph that was found.

    Parameters
    ----------
    roots : sequence of Expr
    model : DeviceModel
    """
    parts, largest = largest_of(roots)
    evaluate = costs_of(parts, model)
    found = candidates(parts, largest, model)
    single = evaluate.kernel(largest.kernels[0]) if len(largest.kernels) == 1 else None
    if single is not None and not found and not evaluate.penalty(single):
        settle(parts, [list(bits(mask)) for mask in largest.kernels], None, evaluate.schemes)
        return parts
    sets: list[tuple[int, ...]] = [()]
    beam: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    for saved, node in found[:MOST]:
        longer = [(total + saved, (*chosen, id(node))) for total, chosen in beam]
        # ties go to the one that stores less
        beam = sorted([*beam, *longer], key=lambda each: (-each[0], len(each[1])))[:WIDTH]
    sets += [chosen for _, chosen in beam if chosen][: WIDTH if len(parts.order) <= LARGE else 1]
    best: tuple[float, Plan, Costs] | None = None
    for chosen in sets:
        if chosen:
            parts, largest = largest_of(roots, chosen)
            evaluate = costs_of(parts, model)
        best = _faster(largest, evaluate, best)
    assert best is not None
    _, largest, evaluate = best
    for plan in plans(evaluate, largest):
        best = _faster(plan, evaluate, best)
    _, plan, evaluate = best
    parts = evaluate.parts
    settle(parts, [list(bits(mask)) for mask in plan.kernels], plan.packs, evaluate.schemes)
    parts.refused = refused(plan, evaluate, {each for chosen in sets for each in chosen})
    return parts


def _faster(plan: Plan, evaluate: Costs, best: tuple[float, Plan, Costs] | None) -> tuple[float, Plan, Costs]:
    """Return what is predicted faster: a plan, once it is packed, or the best one so far."""
    pack(plan, evaluate)
    ms = evaluate.latency(plan.kernels, len(set(plan.packs)))
    return best if best is not None and ms >= best[0] * (1 - 1e-9) else (ms, plan, evaluate)


def refused(plan: Plan, evaluate: Costs, stored: Collection[int]) -> list[tuple[Expr, str]]:
    """Return what is not computed in the kernel that reads it though it could be, and why.

    Parameters
    ----------
    plan : Plan
        That was chosen.
    evaluate : Costs
    stored : collection of int
        Ids of nodes that were candidates to be stored.
    """
    vertices = evaluate.parts.vertices
    found = [(each.node, "predicted slower fused") for each in vertices if id(each.node) in stored]
    home = {number: mask for mask in plan.kernels for number in bits(mask)}
    for vertex in vertices:
        for need in vertex.needs:
            one, other = home[need], home[vertex.number]
            if one == other or vertices[need].root is None or vertex.root is None or id(vertices[need].node) in stored:
                continue
            both, first, second = evaluate.tried(one | other), evaluate.kernel(one), evaluate.kernel(other)
            if both is None or first is None or second is None:
                continue
            spilled = evaluate.penalty(both) - evaluate.penalty(first) - evaluate.penalty(second)
            crowded = spilled > 0 and both.gain + spilled > first.gain + second.gain > both.gain
            found.append((vertex.node, "registers over limit" if crowded else "predicted slower fused"))
    return found


def largest_of(roots: Sequence[Expr], chosen: Sequence[int] = ()) -> tuple[Partition, Plan]:
    """Return a graph whose chosen nodes are stored, and the plan of kernels that are as large as they get."""
    parts = cut(roots, chosen)
    return parts, Plan([sum(1 << each for each in kernel) for kernel in joined(parts)])


def plans(evaluate: Costs, largest: Plan) -> list[Plan]:
    """Return plans of patterns that share no vertex, at most three; none where there is nothing to choose.

    Parameters
    ----------
    evaluate : Costs
    largest : Plan
        Of kernels that are as large as they get.
    """
    ours = [each for each in evaluate.parts.vertices if each.root is not None]
    if len(ours) < 2 or (len(largest.kernels) == 1 and not _crowded(largest.kernels[0], evaluate)):
        return []
    evaluate.looked = 0
    patterns = explore(evaluate)
    states: list[tuple[float, int, tuple[int, ...]]] = [(0.0, 0, ())]
    for saved, mask in patterns:
        longer = [
            (total + saved, used | mask, (*chosen, mask))
            for total, used, chosen in states
            if not used & mask and apart(mask, chosen, evaluate)
        ]
        # ties go to the one of fewer patterns, then to the lower vertices
        states = sorted([*states, *longer], key=lambda each: (-each[0], len(each[2]), each[2]))[:WIDTH]
    return [Plan(_completed(chosen, evaluate)) for _, _, chosen in states]


def _crowded(mask: int, evaluate: Costs) -> bool:
    found = evaluate.kernel(mask)
    return found is not None and evaluate.penalty(found) > 0


def apart(mask: int, chosen: Iterable[int], evaluate: Costs) -> bool:
    """Return whether no kernel waits for itself through others once a pattern is one, given that none does without."""
    above, below = evaluate.span(mask)
    reached = below & ~mask
    if not reached or not above & ~mask:
        return True
    waiting = list(chosen)
    # a circle leaves the pattern and comes back to it, each time through another one
    if not any(each & above for each in waiting) or not any(each & below for each in waiting):
        return True
    if evaluate.looked > MOST_LOOKED:  # no time to find out
        return False
    evaluate.looked += len(evaluate.parts.vertices) // 4
    while True:
        later = []
        for each in waiting:
            if not each & reached:
                later.append(each)
                continue
            beyond = evaluate.span(each)[1]
            if beyond & mask:
                return False
            reached |= beyond
        if len(later) == len(waiting):
            return True
        waiting = later


def _completed(chosen: Sequence[int], evaluate: Costs) -> list[int]:
    """Return the kernels of a plan: patterns, and what is in none of them, joined where that saves something."""
    used = 0
    for mask in chosen:
        used |= mask
    alone = [1 << each.number for each in evaluate.parts.vertices if not 1 << each.number & used]
    kernels: list[int] = []
    for mask in sorted([*chosen, *alone], key=lambda mask: mask & -mask):
        for place in range(max(0, len(kernels) - MOST_TRIES), len(kernels)):
            both = mask | kernels[place]
            one, other, found = evaluate.kernel(mask), evaluate.kernel(kernels[place]), evaluate.tried(both)
            if found is None or one is None or other is None or found.ops > MOST_OPS:
                continue
            placed = _union(kernels) | both
            rest = [each for each in kernels if not each & both] + [each for each in chosen if not each & placed]
            if found.gain > one.gain + other.gain and apart(both, rest, evaluate):
                kernels[place] = both
                break
        else:
            kernels.append(mask)
    return kernels


def pack(plan: Plan, evaluate: Costs) -> None:
    """Make kernels one launch that do not depend on each other, and take registers alike.

    Parameters
    ----------
    plan : Plan
        Its `packs` are set: for each kernel the number of the first one of its launch.
    evaluate : Costs
    """
    kernels = plan.kernels
    evaluate.looked = 0
    plan.packs = list(range(len(kernels)))
    above = [_union(evaluate.parts.vertices[each].above for each in bits(mask)) for mask in kernels]
    packs: list[tuple[int, int, int, set[tuple[str, ...]], int]] = []  # first kernel, vertices, above, kinds, registers
    ops: dict[int, int] = {}
    cpu = evaluate.model.device == "cpu"
    for number, mask in enumerate(kernels):
        found = evaluate.kernel(mask)
        root = evaluate.parts.vertices[(mask & -mask).bit_length() - 1].root
        if found is None or root is None or root.kind == "group":
            continue
        registers = max(found.registers, 1)
        inside_of = [evaluate.parts.vertices[each] for each in bits(mask)]
        kind = tuple([node.name for each in inside_of for node in (*each.inside, each.node)])
        for place in range(max(0, len(packs) - MOST_TRIES), len(packs)):
            first, inside, over, kinds, most = packs[place]
            if over & mask or above[number] & inside:
                continue
            if ops[first] + found.ops > MOST_OPS if cpu else len(kinds | {kind}) > MOST_KINDS:
                continue
            if max(registers, most) > RATIO * min(registers, most):
                continue
            others = [each[1] for k, each in enumerate(packs) if k != place]
            taken = _union(others) | inside | mask
            others += [each for each in kernels if not each & taken]
            if apart(inside | mask, others, evaluate):
                plan.packs[number] = first
                packs[place] = first, inside | mask, over | above[number], kinds | {kind}, max(most, registers)
                ops[first] += found.ops
                break
        else:
            packs.append((number, mask, above[number], {kind}, registers))
            ops[number] = found.ops


def _union(masks: Iterable[int]) -> int:
    found = 0
    for mask in masks:
        found |= mask
    return found


def candidates(parts: Partition, plan: Plan, model: DeviceModel) -> list[tuple[float, Expr]]:
    """Return values that are computed more than once, with what storing each saves an element; best first.

    They are the dominants of the graph beside reductions and outputs: what several kernels compute, and dear values
    that are broadcast.
    """
    users: dict[int, set[int]] = {}
    repeats: dict[int, float] = {}
    nodes: dict[int, Expr] = {}
    for number, mask in enumerate(plan.kernels):
        for vertex in [parts.vertices[each] for each in bits(mask)]:
            space = vertex.root.space if vertex.root is not None else ()
            for node in vertex.inside:
                if node is not vertex.node and node.shape and id(node) not in parts.virtual:
                    users.setdefault(id(node), set()).add(number)
                    repeats[id(node)] = max(repeats.get(id(node), 1.0), spread(node, space))
                    nodes[id(node)] = node
    shared = [
        node for key, node in nodes.items() if (len(users[key]) > 1 or repeats[key] > 1) and key not in parts.outputs
    ]
    if not shared:
        return []
    cost = costs(parts.order, model.op_ns)
    ranked = [
        (gain(model, cost[key], len(users[key]) * repeats[key], node.dtype.itemsize, 1 / repeats[key]), node)
        for key, node in [(id(node), node) for node in shared]
    ]
    # of a chain that is shared as a whole, its end alone is worth storing
    ends = [
        (saved, node)
        for saved, node in ranked
        if saved > 0
        and not any(
            node in other.inputs and users[id(other)] >= users[id(node)] and repeats[id(other)] >= repeats[id(node)]
            for _, other in ranked
        )
    ]
    return sorted(ends, key=lambda each: (-each[0], each[1].number))

"""Plans of random graphs: each vertex in one kernel, none that waits for itself, none predicted slower than unfused."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings

from tests.fusion.plan.graphs import graphs
from workbench.fusion import expr as ir
from workbench.fusion.plan.beam import largest_of, pack, search
from workbench.fusion.plan.cost import Costs
from workbench.fusion.plan.inline import base_of
from workbench.fusion.plan.kernels import Partition
from workbench.fusion.plan.model import device_model
from workbench.fusion.run import force

MODEL = device_model()


def told(parts: Partition) -> Any:
    """Return what two equal plans share."""
    number = {id(each.node): each.number for each in parts.vertices}
    groups = [
        (each.level, each.rows, each.pack, [(number[id(r.node)], r.stage, r.inner) for r in each.roots])
        for each in parts.groups
    ]
    return groups, sorted((level, number[id(node)]) for level, node in parts.calls)


def checked(parts: Partition) -> None:
    """Raise if a vertex is in no kernel or two, or read before it is there."""
    places = [id(root.node) for group in parts.groups for root in group.roots] + [id(n) for _, n in parts.calls]
    assert sorted(places) == sorted(id(each.node) for each in parts.vertices)
    launches: dict[int, int] = {}
    for group in parts.groups:
        assert launches.setdefault(group.pack, group.level) == group.level
        for root in group.roots:
            for need in parts.cone(root.node)[1]:
                home = parts.where.get(id(need))
                if home is not group:
                    assert parts.levels.get(id(need), -1) < group.level
                    continue
                made = parts.roots[id(need)]
                at_once = made.kind == "scan" and group.roots.index(made) < group.roots.index(root)
                assert made.stage < root.stage or (made.stage == root.stage and at_once)
    for level, node in parts.calls:
        assert all(parts.levels.get(id(base_of(each)), -1) < level for each in node.inputs)


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_random_plans_are_sound_and_not_predicted_slower(roots: list[ir.Expr]) -> None:
    found = search(roots, MODEL)
    checked(found)
    fused, largest = largest_of(roots)
    costs = Costs(fused, MODEL)
    pack(largest, costs)
    launches = len({group.pack for group in found.groups}) + len(found.calls)
    own = Costs(found, MODEL)
    number = {id(each.node): each.number for each in found.vertices}
    kernels = [sum(1 << number[id(root.node)] for root in group.roots) for group in found.groups]
    kernels += [1 << number[id(node)] for _, node in found.calls]
    chosen = own.latency(kernels, launches)
    unfused = costs.latency([1 << each.number for each in fused.vertices])
    assert chosen <= unfused * (1 + 1e-9)
    assert chosen <= costs.latency(largest.kernels, len(set(largest.packs))) * (1 + 1e-9)
    assert told(search(roots, MODEL)) == told(found)


@settings(max_examples=25, deadline=None)
@given(graphs(25))
def test_random_plans_give_what_the_calls_give(roots: list[ir.Expr]) -> None:
    with np.errstate(all="ignore"):
        values, plan = force(roots, device="interpreter")
        wanted = force(roots, device="eager")[0]
    for value, other in zip(values, wanted, strict=True):
        np.testing.assert_allclose(value, other, rtol=1e-9, atol=1e-9)
    assert plan.bytes_after <= plan.bytes_before

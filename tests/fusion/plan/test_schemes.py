"""Schemes of a GPU, which is planned for without one: what is stitched, what is demoted, what a unit holds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from tests.fusion.plan.graphs import graphs
from workbench.fusion import expr as ir
from workbench.fusion.plan import model as models
from workbench.fusion.plan.beam import search
from workbench.fusion.plan.cost import Costs
from workbench.fusion.plan.gpu_cost import GpuCosts, costs_of, resident_warps
from workbench.fusion.plan.kernels import Partition
from workbench.fusion.plan.model import device_model
from workbench.fusion.plan.partition import cut
from workbench.fusion.plan.schemes import SCHEMES, Stitches

GPU, CPU = device_model("cuda:sm_90"), device_model()


def leaf(*shape: int) -> ir.Expr:
    """Return an array of some shape that takes no memory."""
    return ir.leaf(np.broadcast_to(np.float32(1.0), shape))


def softmax(x: ir.Expr) -> ir.Expr:
    e = ir.map_("exp", ir.map_("subtract", x, ir.reduce_("max", x, [1], keepdims=True)))
    return ir.map_("divide", e, ir.reduce_("sum", e, [1], keepdims=True))


def schemes(parts: Partition) -> list[str]:
    return [root.scheme for group in parts.groups for root in group.roots]


def launches(parts: Partition) -> int:
    return len({group.pack for group in parts.groups})


def test_constants_of_devices_are_those_of_the_design() -> None:
    known = json.loads(Path(models.__file__).with_name("devices.json").read_text(encoding="utf-8"))
    assert set(known) == {"cpu", "cuda:sm_80", "cuda:sm_90", "cuda:sm_100"}
    limits = GPU.limits
    assert (limits.units, limits.registers, limits.threads) == (132, 65_536, 2_048)
    assert (limits.shared_bytes, limits.l2_bytes) == (232_448, 50 << 20)
    assert set(CPU.bandwidth_gbps) == {"L1", "L2", "L3", "memory"}


@pytest.mark.parametrize(
    ("row", "scheme"), [(64, "warp"), (512, "warp"), (513, "regional"), (8_192, "regional"), (262_144, "global")]
)
def test_c27_c28_c29_a_row_is_a_warps_or_a_blocks_or_the_grids(row: int, scheme: str) -> None:
    parts = search([softmax(leaf(8_192 * 1024 // row, row))], GPU)
    assert launches(parts) == 1
    assert schemes(parts) == [scheme, scheme, "local"]
    assert [root.stage for root in parts.groups[0].roots] == [0, 1, 2]


def test_c36_what_is_over_the_shared_limit_is_demoted_largest_first() -> None:
    x = leaf(64, 20_000)
    wide = ir.reduce_("sum", ir.cast(x, np.float64), [1], keepdims=True)
    narrow = ir.reduce_("max", x, [1], keepdims=True)
    root = ir.map_("add", ir.map_("multiply", x, wide), narrow)
    parts = cut([root])
    costs = costs_of(parts, GPU)
    built = Stitches(GPU, costs.length).built(parts.vertices, parts)
    assert built is not None
    found = {parts.vertices[k].node.name: scheme for k, scheme in built.schemes.items()}
    assert found == {"sum": "global", "max": "regional"}
    assert built.kept_bytes == 4 * 20_000 <= GPU.limits.shared_bytes
    assert built.barriers == 1


def test_rows_and_then_columns_are_stitched_by_a_barrier_on_a_gpu_only() -> None:
    x = leaf(8_192, 1_024)
    column = ir.reduce_("sum", softmax(x), [0])
    assert launches(search([column], GPU)) <= 2
    scaled = ir.map_("divide", ir.map_("subtract", x, ir.reduce_("mean", x, [0], keepdims=True)), leaf(1, 1_024))
    assert launches(search([scaled], GPU)) == 1 < launches(search([scaled], CPU))


def test_c30_many_small_tensors_are_one_launch() -> None:
    roots = []
    for _ in range(60):
        p, g, m, v = (leaf(4_096) for _ in range(4))
        m = ir.map_("add", ir.map_("multiply", m, ir.const(0.9)), ir.map_("multiply", g, ir.const(0.1)))
        v = ir.map_("add", ir.map_("multiply", v, ir.const(0.99)), ir.map_("square", g))
        roots += [m, v, ir.map_("subtract", p, ir.map_("divide", m, ir.map_("sqrt", v)))]
    found = search(roots, GPU)
    assert launches(found) == 1
    assert len(found.groups) >= 1
    assert {root.node.name for group in found.groups for root in group.roots} == {"add", "subtract"}


def test_a_unit_holds_as_many_warps_as_threads_registers_and_shared_memory_allow() -> None:
    assert resident_warps(GPU, 1, 0.0) == 2_048 // 32
    assert resident_warps(GPU, 60, 0.0) == 65_536 // (255 * 256) * 8
    assert resident_warps(GPU, 1, 100_000.0) == 232_448 // 100_000 * 8
    assert resident_warps(GPU, 1, 1e9) == 8  # one block in any case


def test_waves_are_whole_and_barriers_take_their_time() -> None:
    x = leaf(1 << 24)
    parts = cut([ir.map_("divide", ir.map_("subtract", x, ir.reduce_("mean", x)), ir.reduce_("max", x))])
    costs = costs_of(parts, GPU)
    assert isinstance(costs, GpuCosts)
    both = costs.kernel((1 << len(parts.vertices)) - 1)
    assert both is not None
    assert both.built.barriers == 1
    assert both.ms >= 2 * 4 * 2**24 / GPU.memory / 1e6 + GPU.limits.barrier_us / 1e3
    assert costs.computing(1e6, both.built, 1e6, 1) <= costs.computing(1e6, both.built, 1e2, 1)


@settings(max_examples=30, deadline=None)
@given(graphs(40))
def test_random_graphs_have_legal_schemes_on_both_devices(roots: list[ir.Expr]) -> None:
    for model, allowed in ((CPU, {"local", "regional", "global"}), (GPU, set(SCHEMES))):
        parts = search(roots, model)
        assert set(schemes(parts)) <= allowed
        costs: Costs = costs_of(parts, model)
        number = {id(each.node): each.number for each in parts.vertices}
        for group in parts.groups:
            kernel = costs.kernel(sum(1 << number[id(root.node)] for root in group.roots))
            assert kernel is not None
            assert kernel.built.kept_bytes <= model.limits.shared_bytes
            for root in group.roots:
                for need in parts.cone(root.node)[1]:
                    if parts.where.get(id(need)) is not group:
                        assert parts.levels.get(id(need), -1) < group.level

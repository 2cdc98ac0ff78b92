"""What tiles take of the registers, and what becomes of kernels that spill."""

from __future__ import annotations

import pytest

from tests.fusion.gpu.patterns import layer_norm, leaf, reduced
from workbench.fusion import expr as ir
from workbench.fusion.expr import Expr
from workbench.fusion.gpu import aot
from workbench.fusion.gpu.planning import planned
from workbench.fusion.gpu.registers import MOST_REGISTERS, fitted, live_values
from workbench.fusion.gpu.source import Source
from workbench.fusion.plan.model import device_model


def source_of(*roots: Expr) -> Source:
    [found] = planned(roots, device_model("cuda:sm_90")).kernels
    return found


def crowded(n: int, d: int, many: int) -> Expr:
    """Return what reads many arrays before and after a reduction of their rows."""
    xs = [leaf(n, d) for _ in range(many)]
    y = xs[0]
    for x in xs[1:]:
        y = ir.map_("add", ir.map_("multiply", y, x), x)
    most = reduced("max", y, [1])
    z = xs[0]
    for x in xs[1:]:
        z = ir.map_("multiply", z, ir.map_("subtract", x, most))
    return z


def test_a_tile_takes_as_many_warps_as_its_values_need() -> None:
    assert fitted(4, 1024, 2) == 4
    assert fitted(4, 128 * MOST_REGISTERS, 1) == 4
    assert fitted(4, 128 * MOST_REGISTERS + 128, 1) == 8
    assert fitted(4, 16_384, 3) == 16  # 96 of a thread, of the 112 that 512 threads have each
    assert fitted(4, 16_384, 4) == 0
    assert fitted(1, 256, 49) == 2  # 196 of a thread, which loads 16 bytes at once: with less it could not
    assert fitted(1, 256, 70) == 4  # 280 are more than there are


def test_values_are_counted_while_someone_needs_them() -> None:
    rows = source_of(layer_norm(leaf(64, 256), leaf(256), leaf(256)))
    assert rows.launch is not None
    assert live_values(rows.launch.tasks[0], rows.launch.reach) == 2  # x until its end, and what is made of it
    many = source_of(crowded(64, 256, 7))
    assert many.launch is not None
    assert live_values(many.launch.tasks[0], many.launch.reach) == 8


def test_rows_that_do_not_fit_the_registers_are_walked() -> None:
    assert source_of(crowded(1024, 16_384, 8)).walks
    assert "for at in range(0, 16384, 2048)" in source_of(crowded(1024, 16_384, 8)).text
    assert not source_of(crowded(1024, 2048, 8)).walks
    assert not source_of(layer_norm(leaf(1024, 8192), leaf(8192), leaf(8192))).walks


def test_a_kernel_that_spills_is_planned_again(monkeypatch: pytest.MonkeyPatch) -> None:
    source = source_of(layer_norm(leaf(1024, 8192), leaf(8192), leaf(8192)))
    source.rename("mine")
    tried: list[tuple[int, bool]] = []

    def spills(source: Source, arch: str) -> aot.CompiledKernel:
        tried.append((source.warps, source.walks))
        left = 0 if source.walks else 16
        return aot.CompiledKernel("", arch, 255, left, 0, source.warps, 16, {}, False, 1, "", b"", walks=source.walks)

    monkeypatch.setattr(aot, "_compiled", spills)
    found = aot.compiled(source)
    assert tried == [(16, False), (32, False), (4, True)]
    assert (found.walks, found.retries, found.spills) == (True, 2, 0)
    assert "def mine(" in source.text
    assert "for at in range(0, 8192, 2048)" in source.text


def test_a_kernel_that_cannot_be_planned_otherwise_tells_its_spills(monkeypatch: pytest.MonkeyPatch) -> None:
    source = source_of(ir.map_("exp", leaf(1 << 20)))

    def spills(source: Source, arch: str) -> aot.CompiledKernel:
        return aot.CompiledKernel("", arch, 255, 16, 0, source.warps, 16, {}, False, 1, "", b"")

    monkeypatch.setattr(aot, "_compiled", spills)
    assert aot.compiled(source).spills == 16

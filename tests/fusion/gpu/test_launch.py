"""What launches keep and refuse, as far as that can be known without a device: kernels here are functions."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.fusion.gpu.interpreted import GPU, SMALL
from tests.fusion.gpu.patterns import PATTERNS, leaf, number
from workbench.fusion import expr as ir
from workbench.fusion.eager import view_of
from workbench.fusion.gpu.driver import spilled
from workbench.fusion.gpu.launch import Program, looked_at
from workbench.fusion.gpu.memory import Spec
from workbench.fusion.gpu.planning import planned, program_of, program_of_plan
from workbench.fusion.gpu.tasks import Unsupported
from workbench.fusion.gpu.writing import written_over

CPU = torch.device("cpu")


class Kernel:
    """Stands for a compiled kernel: starts blocks up to a number, and has a barrier count what arrives."""

    def __init__(self, most: int, barrier: int, spills: list[int] | None = None) -> None:
        self.most, self.barrier, self.grids = most, barrier, [0]
        self.n_regs, self.spills = 32, spills or [0]
        self.metadata = SimpleNamespace(shared=0, target=SimpleNamespace(arch=90))

    def __getitem__(self, grid: tuple[int]) -> Any:
        def run(*args: Any, **_: Any) -> None:
            if grid[0] > self.most:
                raise RuntimeError("Triton Error [CUDA]: too many blocks in cooperative launch")
            assert int(args[self.barrier]) % grid[0] == 0  # else blocks go on too early, or never
            args[self.barrier].add_(2 * grid[0])
            self.grids.append(grid[0])

        return run


@pytest.fixture
def norm(monkeypatch: pytest.MonkeyPatch) -> Program:
    """A program of one launch with a barrier, as if it was compiled."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    leaves, roots, stored = PATTERNS["global norm"][0](True)
    return program_of(leaves, roots, SMALL, stored)


def test_a_grid_that_is_refused_is_halved_and_its_barrier_counts_anew(norm: Program) -> None:
    place = [each.what for each in norm.sources[0].arguments].index("barrier")
    kernel = Kernel(1 << 20, place)
    norm.functions = [kernel]
    ready = norm.ready(torch.ones(300))
    norm.grids[CPU, 0] = 9
    norm.start(ready)
    kernel.most = 5  # other work came
    norm.start(ready)
    norm.start(ready)
    assert kernel.grids == [0, 9, 4, 4]
    assert ready.room.barriers[0].grid == norm.grids[CPU, 0] == 4
    kernel.most = 0
    with pytest.raises(RuntimeError, match="cooperative"):
        norm.start(ready)


def test_two_streams_have_a_barrier_each_and_tables_of_their_own(norm: Program) -> None:
    norm.functions = [Kernel(9, 0)]
    one, two = (norm.ready(torch.ones(300), room=name) for name in ("one", "two"))
    again = norm.ready(torch.ones(300), room="one")
    assert one.room is again.room
    assert one.room.barriers[0].counter is not two.room.barriers[0].counter


def test_partial_results_are_taken_anew_where_a_kernel_has_more_of_them(norm: Program) -> None:
    norm.functions = [Kernel(9, 0)]
    [part] = [each for each in norm.sources[0].arguments if each.what == "part"]
    small = torch.empty(part.size - 1)
    known: dict[Any, Any] = {(id(part.node), part.number): small}
    assert norm.bound(part, known, CPU).numel() == part.size
    assert norm.bound(part, known, CPU) is norm.bound(part, known, CPU)


def test_what_the_compiler_refuses_is_told_before_anything_has_started(norm: Program) -> None:
    def warmup(*_: Any, **__: Any) -> Any:
        raise RuntimeError("out of resource: shared memory\nmore")

    norm.functions = [SimpleNamespace(warmup=warmup)]
    with pytest.raises(Unsupported, match=r"does not compile for this GPU \(RuntimeError: out of resource.*memory\)$"):
        norm.loaded(0, [], {})


def test_memory_of_a_thread_that_is_no_spill_is_not_taken_for_one() -> None:
    """A sine has a table in it for large numbers, which the driver counts like what registers did not hold."""
    pytest.importorskip("triton", reason="Triton is there for Linux on x86-64 only")
    from workbench.fusion.gpu.aot import compiled

    x = leaf(4096)
    [source] = planned([ir.map_("sin", x)], GPU).kernels
    code = compiled(source)
    held: Any = Kernel(1, 0)
    held.n_spills, held.asm = 8, {"ptx": code.ptx}
    assert code.spills == 0
    assert spilled(held) == 0
    held.n_spills, held.asm = 0, {}
    assert spilled(held) == 0


def test_an_input_that_does_not_begin_at_sixteen_bytes_is_not_written_over_by_a_kernel() -> None:
    """Stores of a packed kernel are as wide as what is taken anew allows."""
    for aligned, direct in ((True, {0: 0}), (False, {})):
        x = ir.leaf(Spec((64,), (1,), "float32", aligned))
        found = planned([ir.map_("add", x, number(1))], GPU)
        found.leaves, found.looks = [x], [None]
        assert written_over(found, program_of_plan(found, [x]), {0: 0}) == direct


BACK = ("slice", None, None, -1)


@pytest.mark.parametrize(
    "spec",
    [
        (BACK,),
        (1, ("slice", 4, 0, -2)),
        (("slice", 1, None, None), None, ("slice", 5, None, -3)),
        (None, BACK, 2),
        (("slice", 2, 2, -1),),
        (("slice", 0, 3, 2), BACK),
    ],
)
def test_steps_backwards_are_what_numpy_sees(spec: Any) -> None:
    x = np.arange(24.0).reshape(4, 6)
    np.testing.assert_array_equal(looked_at(torch.from_numpy(x), spec).numpy(), view_of(x, "index", spec))

"""Kernels compiled for a GPU that is not there, and what is read from the code."""

from __future__ import annotations

import pytest

from tests.fusion.gpu.patterns import PATTERNS
from workbench.fusion.gpu.aot import CompiledKernel, accesses_of, compiled, target_of
from workbench.fusion.gpu.planning import planned
from workbench.fusion.plan.model import device_model

pytest.importorskip("triton", reason="Triton is there for Linux on x86-64 only")

GPU = device_model("cuda:sm_90")


def kernels(name: str) -> list[CompiledKernel]:
    make, _ = PATTERNS[name]
    _, roots, stored = make(False)
    return [compiled(each) for each in planned(roots, GPU, stored).sources]


def test_the_layer_norm_chain_is_one_kernel_without_spills_that_loads_sixteen_bytes() -> None:
    [found] = kernels("layer norm chain")
    assert found.spills == 0
    assert 0 < found.registers <= 128
    assert found.vector_bytes == 16
    assert found.accesses.get("ld.global.v4.b32", 0) >= 2
    assert set(found.accesses) == {"ld.global.v4.b32", "st.global.v4.b32"}
    assert not found.barrier
    assert found.resident_blocks >= 4
    assert len(found.cubin) > 1000


def test_a_barrier_is_in_the_code_of_a_kernel_of_several_phases() -> None:
    [found] = kernels("global norm")
    assert found.barrier
    assert found.spills == 0
    assert "atom" in found.ptx
    assert found.vector_bytes == 16


@pytest.mark.slow
@pytest.mark.parametrize("name", [each for each in PATTERNS if each not in ("layer norm chain", "global norm")])
def test_patterns_are_compiled_without_spills_and_load_sixteen_bytes(name: str) -> None:
    for found in kernels(name):
        assert found.spills == 0
        assert found.vector_bytes == 16


def test_accesses_are_counted_by_their_form() -> None:
    text = """
    @%p1 ld.global.v4.b32 { %r1, %r2, %r3, %r4 }, [ %rd1 + 0 ];
    ld.global.cg.b32 { %r5 }, [ %rd2 + 0 ];
    st.global.v2.b64 [ %rd3 + 0 ], { %r9, %r10 };
    ld.shared.b32 %r7, [%r8];
    """
    assert accesses_of(text) == {"ld.global.v4.b32": 1, "ld.global.b32": 1, "st.global.v2.b64": 1}


def test_an_architecture_and_its_variant_are_one_target() -> None:
    assert target_of("sm_90a") == target_of("sm_90") == target_of("cuda:sm_90") == 90

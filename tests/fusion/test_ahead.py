"""`aot(plan, "host")`: the kernels of a plan for the CPU as machine code, without running anything."""

import numpy as np
import pytest
import torch

import workbench as wb
from workbench.fusion.ahead import HostKernel, _widest


def _plans():
    x = wb.fusion.array(np.arange(5000.0))
    yield wb.fusion.explain((x * 2 + 1).sum(), x.astype("float32").reshape(50, 100).cumsum(1))
    yield wb.fusion.plan_graph(lambda x: (x.softmax(-1), x @ x.t()), [torch.ones(30, 40)], device="cpu")


def test_each_kernel_of_a_cpu_plan_is_compiled_and_nothing_runs():
    for plan in _plans():
        found = wb.fusion.aot(plan, "host")
        assert [each.name for each in found] == [k.name for k in plan.kernels if k.kind != "extern"]
        assert found
        for each in found:
            assert isinstance(each, wb.fusion.CompiledKernel)
            assert isinstance(each, HostKernel)
            assert each.arch == "host"
            assert (each.registers, each.spills, each.shared_bytes) == (None, None, None)
            assert each.vector_bytes in (16, 32, 64)
            assert "ret" in each.asm
        assert plan.asm == "\n\n".join(each.asm for each in found)
        assert all(kernel.measured_ms is None for kernel in plan.kernels)
        assert plan.explain() == plan.explain("text")


def test_a_plan_for_another_device_is_refused_and_told_how():
    plan = next(_plans())
    for arch in ("sm_90a", "sm_90"):
        with pytest.raises(wb.fusion.FusionError, match=f"This plan is for cpu, not {arch}") as told:
            wb.fusion.aot(plan, arch)
        assert told.value.hint == f'Plan again with device="cuda:{arch}".'
    gpu = wb.fusion.plan_graph(lambda x: x + 1, [torch.ones(3)])
    with pytest.raises(wb.fusion.FusionError, match="This plan is for cuda:sm_90, not host") as told:
        wb.fusion.aot(gpu, "host")
    assert told.value.hint == 'Plan again with device="cpu".'


@pytest.mark.parametrize(
    ("asm", "wide"), [("vaddpd %zmm1, %ymm2", 64), ("vaddps %ymm13", 32), ("addsd %xmm0", 16), ("fadd v0.2d", 16)]
)
def test_the_widest_register_tells_the_width(asm, wide):
    assert _widest(asm) == wide


def test_a_plan_is_shown_in_three_forms_and_no_other():
    plan = next(_plans())
    assert plan.explain(form="text") == plan.explain(format="text") == plan.explain()
    assert plan.explain(form="html").lstrip().startswith("<")
    assert plan.explain(form="dict") == plan.to_dict()
    with pytest.raises(wb.fusion.FusionError, match='Unknown form "picture"'):
        plan.explain("picture")

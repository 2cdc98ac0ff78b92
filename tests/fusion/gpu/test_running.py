"""Cells and models where a GPU is asked for: run on one, for which the interpreter stands in; planned for none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import workbench as wb
from tests.fusion.gpu.triton_runs import interpret
from workbench.fusion.errors import FusionError
from workbench.fusion.gpu import running


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return interpret("tests.fusion.gpu.running_cases")


@pytest.mark.parametrize("name", ["cell", "table", "gpu", "checked", "measured"])
def test_what_runs_there_gives_what_the_cpu_gives(found: dict[str, Any], name: str) -> None:
    assert found[name] <= 1e-4


def test_a_position_outside_is_an_error_there_too(found: dict[str, Any]) -> None:
    assert found["raised"] == "an index is out of bounds for axis 0 with size 333"


def test_a_cell_is_planned_and_compiled_for_a_gpu_that_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("triton", reason="Triton is there for Linux on x86-64 only")
    monkeypatch.setattr(running, "available", lambda: False)
    x = np.linspace(-1, 1, 4096, dtype=np.float32)
    result = wb.fusion.run_cell("y = np.exp(-x * x)\n(y - y.mean()) / y.std()", {"x": x, "np": np}, device="cuda")
    plain = np.exp(-x * x)
    np.testing.assert_allclose(result.value, (plain - plain.mean()) / plain.std(), rtol=1e-3, atol=1e-5)
    plan = result.plan
    assert (plan.device, plan.launches, plan.kernels[0].scheme) == ("cuda:sm_90", 1, "global")
    assert plan.kernels_before == result.ran.kernels_before == 7
    assert plan.bytes_before == result.ran.bytes_before > plan.bytes_after
    [code] = plan.compiled
    assert (code.name, code.spills, code.vector_bytes) == (plan.kernels[0].name, 0, 16)
    assert "ld.global" in plan.asm
    assert plan.kernels[0].measured_ms is None
    said = plan.explain()
    assert "not measured" in said and "resident_blocks" in said
    assert {"compiled, not run", "kernels"} <= {
        each["name"] for each in result.view_data()["blocks"] if each["kind"] == "table"
    }
    assert all(node["kernel"] == plan.kernels[0].name for node in plan.graph["nodes"] if node["op"] == "exp")


def test_several_plans_for_a_gpu_are_one_with_all_their_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "available", lambda: False)
    x = np.arange(64.0)
    result = wb.fusion.run_cell("y = x * 2\nif y.sum() > 1:\n    z = y + x.max()", {"x": x, "np": np}, device="cuda")
    names = [each.name for each in result.plan.kernels]
    assert result.plan.segments == 2
    assert len(set(names)) == len(names) >= 2
    assert [each.name for each in result.plan.sources] == names
    assert all(f"def {name}(" in result.plan.triton for name in names)


def test_expressions_are_explained_for_any_gpu() -> None:
    x = wb.fusion.array(np.ones((64, 32), np.float32))
    for device in ("cuda", "cuda:sm_80", "cuda:sm_90", "cuda:sm_100"):
        plan = wb.fusion.explain((x * 2 + 1).sum(), device=device)
        assert (plan.launches, plan.kernels_before) == (1, 3)
        assert plan.device == device or device == "cuda"
    with pytest.raises(FusionError, match='Unknown device "cuda:sm_91"') as caught:
        wb.fusion.explain(x + 1, device="cuda:sm_91")
    assert caught.value.hint == "Did you mean 'cuda:sm_90'?"
    with pytest.raises(FusionError, match="exact=True runs on the CPU only"):
        wb.fusion.explain(x + 1, device="cuda", exact=True)


def test_a_compiled_model_is_explained_for_a_gpu_that_it_does_not_run_on() -> None:
    torch = pytest.importorskip("torch")

    def function(x: Any) -> Any:
        return torch.softmax(x @ x, 1) * 2

    torch._dynamo.reset()
    compiled = torch.compile(function, backend="workbench")
    compiled(torch.randn(64, 64))
    here = wb.fusion.explain(compiled)
    plan = wb.fusion.explain(compiled, device="cuda:sm_90")
    assert (here.device, plan.device) == ("cpu", "cuda:sm_90")
    assert [each.kind for each in plan.kernels] == ["extern", "reduce"]
    assert plan.kernels[1].scheme in ("warp", "regional")
    assert next(iter(plan.ops.op)) == "mm"
    assert wb.fusion.explain(compiled, device="cpu").device == "cpu"
    torch._dynamo.reset()

"""Operations of the op table on the GPU: what the interpreter gives, and what compiles."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fusion.gpu.interpreted import GPU
from tests.fusion.gpu.patterns import leaf
from tests.fusion.gpu.triton_runs import interpret
from workbench.fusion import expr as ir
from workbench.fusion.gpu.planning import planned


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return interpret("tests.fusion.gpu.operation_cases")


@pytest.mark.parametrize(("dtype", "allowed"), [("float32", 1e-5), ("float64", 2e-14)])
def test_floats_give_what_numpy_gives_signs_of_zeros_and_infinities_too(
    found: dict[str, Any], dtype: str, allowed: float
) -> None:
    own = {name: error for name, error in found.items() if name.endswith(dtype)}
    assert len(own) >= 65
    assert {name: error for name, error in own.items() if not isinstance(error, float) or error > allowed} == {}


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "bool"])
def test_whole_numbers_give_what_numpy_gives_and_what_has_no_form_is_told(found: dict[str, Any], dtype: str) -> None:
    own = {name.split()[0]: error for name, error in found.items() if name.endswith(f" {dtype}")}
    assert {name for name, error in own.items() if error is None} <= {"power", "reciprocal"}
    assert {error for error in own.values() if isinstance(error, str)} <= {"unsupported operation"}  # float16 in NumPy
    assert {name: error for name, error in own.items() if isinstance(error, float) and error > 1e-5} == {}


def test_what_triton_has_for_float32_alone_compiles_for_float64_too() -> None:
    pytest.importorskip("triton", reason="Triton is there for Linux on x86-64 only")
    from workbench.fusion.gpu.aot import compiled

    for storage, form in (("float32", "rn.f32"), ("float64", "rn.f64")):  # rounded correctly
        x, y = leaf(4096, stored=storage), leaf(4096, stored=storage)
        [source] = planned([ir.map_("floor_divide", ir.map_("sqrt", x), y), ir.map_("arctan2", x, y)], GPU).kernels
        code = compiled(source)
        assert {f"sqrt.{form}", f"div.{form}"} <= set(code.ptx.split())
        assert code.spills == 0

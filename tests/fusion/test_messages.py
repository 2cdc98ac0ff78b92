"""Each row of the design's table of errors and warnings, brought about by what a user does, with its words."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from workbench.engine.errors import WorkbenchError, WorkbenchWarning
from workbench.fusion import check, errors

TABLE = pd.DataFrame({"price": [1.0, 2.0, 3.0], "b": [1, 2, 3]})


def _tensor() -> Any:
    torch = pytest.importorskip("torch")
    return torch.ones(3, requires_grad=True)


def _module() -> Any:
    return pytest.importorskip("torch").nn.Linear(2, 2)


def _cell(source: str, **options: Any) -> Any:
    return wb.fusion.run_cell(source, {"df": TABLE.copy(), "a": np.arange(3.0), "np": np}, **options)


def _x() -> Any:
    return wb.fusion.array(np.arange(3.0)) + 1


ROWS: dict[str, tuple[Callable[[], Any], type[Exception], str, str]] = {
    "a table where an array is asked for": (
        lambda: wb.fusion.array(TABLE), TypeError,
        "Cannot fuse a value of type DataFrame.",
        "Pass a NumPy array, a torch tensor, or use wb.fusion.frame for tables.",
    ),
    "dtype": (
        lambda: wb.fusion.array(np.ones(3, np.complex128)), TypeError,
        "Cannot fuse dtype complex128.",
        'Convert with .astype("float64"), or leave it to NumPy.',
    ),
    "gradient": (
        lambda: wb.fusion.array(_tensor()), TypeError,
        "This tensor requires grad.",
        'Use torch.compile(model, backend="workbench"), or detach it.',
    ),
    "missing column": (
        lambda: _cell("df.prise if False else df['prise']"), KeyError,
        'No column "prise".',
        'Did you mean "price"? Columns: price, b.',
    ),
    "module": (
        lambda: wb.fusion.fuse(_module()), TypeError,
        "fuse() takes a function, not a torch module.",
        'Use torch.compile(model, backend="workbench").',
    ),
    "peer": (
        lambda: _cell("a + 1", compare=("matlab",)), WorkbenchError,
        'Unknown peer "matlab".',
        "Peers: numpy, pandas, numba, polars, jax, inductor.",
    ),
    "no gpu": (
        lambda: _x().compute(device="cuda"), WorkbenchError,
        "No CUDA device is available.",
        "Use --device cpu; wb.fusion.plan_graph inspects GPU plans without one.",
    ),
    "interpreter off": (
        lambda: _x().compute(device="triton-interpreter"), WorkbenchError,
        "The Triton interpreter is off.",
        "Set TRITON_INTERPRET=1 before triton is imported.",
    ),
    "exact on cuda": (
        lambda: _x().compute(device="cuda", exact=True), WorkbenchError,
        "exact=True runs on the CPU only.",
        'Use device="cpu", or drop exact.',
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_errors(name: str) -> None:
    work, kind, message, hint = ROWS[name]
    with pytest.raises(kind) as caught:
        work()
    assert isinstance(caught.value, WorkbenchError)
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_an_array_where_a_table_is_asked_for() -> None:
    with pytest.raises(TypeError) as caught:
        wb.fusion.frame(np.ones(3))
    assert isinstance(caught.value, WorkbenchError)
    assert caught.value.message == "Cannot fuse a value of type ndarray."
    assert "wb.fusion.array" in caught.value.hint


def test_shapes_that_do_not_broadcast_are_told_with_the_line() -> None:
    with pytest.raises(ValueError, match="broadcast") as caught:
        _cell("b = a * 2\nc = b + np.ones(4)")
    assert isinstance(caught.value, WorkbenchError)
    assert caught.value.message == "Shapes (3,) and (4,) do not broadcast (add, line 2)."
    assert caught.value.hint == "Reshape one of them, or add an axis with [:, None]."


def test_a_check_that_fails_keeps_both_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "evaluate", lambda exprs, known: [np.array([1.0, 2.0, 4.0]) for _ in exprs])
    with pytest.raises(errors.FusionError) as caught:
        wb.fusion.compute(_x(), check=True)
    assert caught.value.message == "Fused and eager results differ: max error 0.25 in add (allowed 1e-09)."
    assert caught.value.hint == 'Use device="eager", and file a bug with plan.to_dict().'
    np.testing.assert_array_equal(caught.value.fused, [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(caught.value.eager, [1.0, 2.0, 4.0])


def test_a_fallback_warns_once_for_each_operation_and_cell() -> None:
    source = "for k in range(3):\n    y = df.price.interpolate()"
    for _ in range(2):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            result = _cell(source)
        told = [each.message for each in caught if isinstance(each.message, WorkbenchWarning)]
        assert [(each.message, each.hint) for each in told] == [
            ("interpolate ran in pandas, unfused (line 2).", "See plan.reasons for the cause.")
        ]
        assert result.plan.reasons.op.tolist().count("interpolate") >= 1


def test_a_leaf_that_was_changed_warns() -> None:
    data = np.arange(100.0)
    lazy = wb.fusion.array(data, name="prices") * 2
    data[:] = 7
    with pytest.warns(WorkbenchWarning) as caught:
        lazy.compute()
    first = caught[0].message
    assert isinstance(first, WorkbenchWarning)
    assert first.message == '"prices" was changed outside the plan before it ran.'
    assert first.hint == "Use copy=True, or write through the lazy object."

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import workbench as wb

A = np.arange(1.0, 50.0)


@wb.fusion.fuse
def both(x: Any, y: Any) -> dict[str, Any]:
    """Two results."""
    return {"sum": (x * y).sum(), "max": np.maximum(x, y), "n": len(x)}


def test_results_are_computed_in_one_plan() -> None:
    found = both(A, A[::-1])
    assert found["sum"] == (A * A[::-1]).sum() and found["n"] == 49
    assert type(found["max"]) is np.ndarray and np.array_equal(found["max"], np.maximum(A, A[::-1]))
    assert both.plan.launches == 1 and both.__doc__ == "Two results." and both.original(A, A)["n"] == 49


def test_options_and_containers() -> None:
    @wb.fusion.fuse(check=True, threads=1)
    def work(arrays: list[Any], *, by: Any = 1) -> Any:
        return [each * by for each in arrays]

    assert work.plan is None
    assert [each.tolist() for each in work([A, A], by=2)] == [(A * 2).tolist()] * 2
    assert work.plan.max_error == 0.0


def test_writes_reach_the_caller() -> None:
    @wb.fusion.fuse
    def double(x: Any) -> None:
        x *= 2

    mine = A.copy()
    double(mine)
    assert np.array_equal(mine, A * 2)


def test_what_is_not_lazy_passes_through() -> None:
    assert wb.fusion.fuse(lambda text, n: (text, n))("a", 3) == ("a", 3)


def test_a_module_is_refused() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(wb.fusion.FusionTypeError) as caught:
        wb.fusion.fuse(torch.nn.Linear(2, 2))
    assert caught.value.message == "fuse() takes a function, not a torch module."
    with pytest.raises(wb.fusion.FusionTypeError) as caught:
        wb.fusion.array(torch.ones(2, requires_grad=True))
    assert caught.value.message == "This tensor requires grad."

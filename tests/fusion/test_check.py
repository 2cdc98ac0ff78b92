from __future__ import annotations

import numpy as np
import pytest

import workbench as wb
from workbench.fusion import check as checks
from workbench.fusion.check import difference


def test_c49_a_check_gives_the_error() -> None:
    x = wb.fusion.array(np.random.default_rng(0).normal(size=1000))
    y = np.exp(x).sum()
    y.compute(check=True)
    assert wb.fusion.plans()[-1].max_error < 1e-12


def test_a_check_that_fails_keeps_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "evaluate", lambda exprs, known: [np.array([1.0, 2.5])])
    monkeypatch.setattr(checks, "_slack", lambda root, known: 0.0)
    with pytest.raises(wb.fusion.FusionError, match=r"Fused and eager results differ: max error 0.2 in add") as caught:
        (wb.fusion.array(np.array([0.0, 1.0])) + 1).compute(check=True)
    assert caught.value.fused.tolist() == [1, 2] and caught.value.eager.tolist() == [1, 2.5]


def test_differences() -> None:
    nan = np.array([1.0, np.nan, np.inf])
    assert difference(nan, nan) == (0.0, 1e-9, True)
    assert not difference(np.array([1.0, 0.0, np.inf]), nan)[2]
    assert not difference(np.array([1]), np.array([2]))[2] and difference(np.array([1]), np.array([1]))[2]
    assert (
        difference(np.ones(2) * (1 + 1e-10), np.ones(2))[2] and not difference(np.ones(2) * (1 + 1e-8), np.ones(2))[2]
    )
    assert difference(np.ones(2, "f4") * np.float32(1 + 1e-5), np.ones(2, "f4"))[2]
    assert not difference(np.ones(2), np.ones(3))[2] and not difference(np.ones(2), np.ones(2, "f4"))[2]
    assert difference(np.zeros(2) + 1e-6, np.zeros(2), slack=1e-5)[2]

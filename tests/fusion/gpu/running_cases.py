"""Cells and expressions that run through Triton's interpreter, as they do on a GPU; called as `interpret` does.

What is printed is, for each, the largest difference from the CPU's answer, or what came of it in words.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

import workbench as wb
from workbench.fusion.gpu import running

SOURCE = "z = np.exp(-x * x) + y\ns = z.sum()\nt = z[::2] * 3\n(z - z.mean()) / z.std()"
TABLE = "big = df[df.a > 0]\nwhole = (df.a * 2 + df.b).sum()\ndf['c'] = df.a.abs() + 1\nbig.groupby('b').a.sum()"


def names() -> dict[str, Any]:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2, 333)).astype(np.float32)
    frame = pd.DataFrame({"a": rng.normal(size=60), "b": rng.integers(0, 4, 60)})
    return {"np": np, "x": x, "y": y, "df": frame}


def _both(source: str, device: str, written: list[str]) -> tuple[Any, float]:
    ours, plain = names(), names()
    found = wb.fusion.run_cell(source, ours, device=device)
    wanted = wb.fusion.run_cell(source, plain, device="cpu")
    worst = _differ(found.value, wanted.value)
    for name in written:
        assert type(ours[name]) is type(plain[name]), name
        worst = max(worst, _differ(ours[name], plain[name]))
    return found.plan, worst


def _differ(one: Any, two: Any) -> float:
    assert np.shape(one) == np.shape(two)
    return float(np.max(np.abs(np.asarray(one, np.float64) - np.asarray(two, np.float64)), initial=0.0))


def cell() -> Any:
    plan, worst = _both(SOURCE, "triton-interpreter", ["z", "s", "t"])
    assert plan.launches == len(plan.kernels) == 1
    assert plan.device == "triton-interpreter"
    assert all(each.measured_ms > 0 for each in plan.kernels)
    return worst


def table() -> Any:
    plan, worst = _both(TABLE, "triton-interpreter", ["big", "whole", "df"])
    assert {"filtered rows on the GPU"} <= set(plan.reasons.reason)
    assert plan.triton
    assert len(plan.sources) < len(plan.kernels)
    return worst


def gpu() -> Any:
    """A machine with a GPU, for which the interpreter stands in."""
    held = running.available
    running.available = lambda: True  # type: ignore[assignment]
    try:
        plan, worst = _both(SOURCE, "cuda", ["z", "s", "t"])
    finally:
        running.available = held
    assert all(each.measured_ms is not None for each in plan.kernels)
    return worst


def checked() -> Any:
    x = wb.fusion.array(names()["x"])
    value, plan = (np.tanh(x).reshape(3, 111) * 2).sum(0), None
    found = value.compute(device="triton-interpreter", check=True)
    plan = value.plan
    assert plan.max_error is not None
    return _differ(found, (np.tanh(names()["x"]).reshape(3, 111) * 2).sum(0))


def raised() -> Any:
    x = wb.fusion.array(names()["x"])
    try:
        np.take(x, wb.fusion.array(np.array([1, 399])) + 1).compute(device="triton-interpreter")
    except IndexError as error:
        return str(error)
    return "nothing"


def measured() -> Any:
    """A compiled model's second step is measured, launch by launch."""
    import torch

    from tests.fusion.gpu.compiling import compiled

    made: list[Any] = []
    call = compiled(lambda x: torch.softmax(x.sin(), 1), made)
    x = torch.randn(4, 32)
    call(x)
    assert [each.measured_ms for each in made[0].plan().kernels] == [None]
    for _ in range(2):
        worst = _differ(call(x), torch.softmax(x.sin(), 1))
    assert made[0].plan().kernels[0].measured_ms > 0
    return worst


CASES: dict[str, Callable[[], Any]] = {each.__name__: each for each in (cell, table, gpu, checked, raised, measured)}

if __name__ == "__main__":
    print(json.dumps({name: case() for name, case in CASES.items()}))

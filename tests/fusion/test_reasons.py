"""Each reason of the design that a CPU can give, by its words, with the operation and its line."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

import workbench as wb

RNG = np.random.default_rng(0)

#: reason -> code whose second line is the operation, and how that is told
CASES = {
    "unsupported operation": ("b = a + 1\nc = np.tile(b, 2)", "tile"),
    "data-dependent dtype": ("s = df.i + 1\nt = s // df.z", "__floordiv__"),
    "index must be aligned": ("s = df.a + 1\nt = s + other", "__add__"),
    "user function": ("g = df.groupby('k')\nt = g.apply(lambda part: part.a.sum() * 2)", "groupby.apply"),
    "library call (matmul)": ("n = m + 1\nc = n @ m", "matmul"),
    "library call (sort)": ("b = a.astype('float16')\nc = np.sort(b)", "sort"),
    "value needed by Python": ("s = a.sum()\nt = float(s)", "sum"),
    "numpy error state is raise": ("b = a + 1\nwith np.errstate(all='raise'): c = b * 2", "multiply"),
    "forced in a loop": ("for k in range(40):\n    t = float((a[:50] + k).sum())", "sum"),
}


def names() -> dict[str, Any]:
    a = RNG.normal(size=300)
    z = RNG.integers(0, 2, 300)
    df = pd.DataFrame({"a": a, "i": np.arange(300), "z": z, "k": np.arange(300) % 5})
    other = pd.Series(np.arange(300.0), index=np.arange(299, -1, -1))
    return {"np": np, "a": a, "m": RNG.normal(size=(40, 40)), "df": df, "other": other}


@pytest.mark.parametrize("reason", CASES)
def test_c45_why_it_did_not_fuse(reason: str) -> None:
    code, op = CASES[reason]
    plain = names()
    fused = dict(plain)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        told = wb.fusion.run_cell(code, fused).plan.reasons
        exec(code, plain)
    rows = told[told.reason == reason]
    assert rows.op.tolist() == [op] and rows["where"].tolist() == ["<cell>:2"]
    for name in ("c", "t"):
        if name in plain:
            np.testing.assert_allclose(np.asarray(fused[name]), np.asarray(plain[name]), rtol=1e-12)
            assert type(fused[name]) is type(plain[name])


def test_c45_too_many_operations_are_slower_fused() -> None:
    a = wb.fusion.array(np.ones(3))
    b = a
    for _ in range(9_000):
        b = b + 1.0
    b.compute()
    assert b.plan is not None and b.plan.reasons.reason.tolist() == ["predicted slower fused"]

"""Joins on a key that the right side has once: positions from a table, in the kernels that use them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fusion.capture.pairs import both
from workbench.fusion import explain
from workbench.fusion.capture.frame import frame

RNG = np.random.default_rng(21)
KEYS = {
    "dense": np.arange(50),
    "shuffled": RNG.permutation(50),
    "from_100": np.arange(100, 150),
    "negative": np.arange(-20, 30).astype(np.int32),
    "holes": np.array([3, 9, 4, 40, 7]),
    "far_apart": np.array([0, 10**12, 5]),
    "words": pd.array([f"w{k % 70}" for k in RNG.permutation(50)], dtype="str"),
    "missing": pd.array(["w1", None, "w5"], dtype="str"),
}


def _sides(name: str, rows: int = 300) -> tuple[pd.DataFrame, pd.DataFrame]:
    keys = KEYS[name]
    right = pd.DataFrame({"k": keys, "y": RNG.normal(size=len(keys)), "n": np.arange(len(keys))})
    right["w"] = pd.Series(RNG.choice(["a", "b", None], len(keys)), dtype="str")
    right["t"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(len(keys)), unit="D")
    some = RNG.choice(np.arange(len(keys)), rows)
    left = pd.DataFrame({"k": right["k"].to_numpy()[some], "x": RNG.normal(size=rows)})
    if left["k"].dtype == object:
        left["k"] = left["k"].astype("str")
    left["k"] = left["k"].astype(right["k"].dtype)
    return left, right


CODES: dict[str, Any] = {
    "inner": lambda f, g: f.merge(g, on="k"),
    "left": lambda f, g: f.merge(g, on="k", how="left"),
    "group": lambda f, g: f.merge(g, on="k").groupby("w").x.sum(),
    "left_group": lambda f, g: f.merge(g, on="k", how="left").groupby("w").x.agg(["sum", "size"]),
    "left_lengths": lambda f, g: f.merge(g, on="k", how="left").w.str.len(),
    "left_days": lambda f, g: f.merge(g, on="k", how="left").t.dt.day,
    "filter": lambda f, g: (lambda m: m[m.y > 0].x.sum())(f.merge(g, on="k")),
    "filtered_before": lambda f, g: f[f.x > 0].merge(g, on="k"),
    "filtered_right": lambda f, g: f.merge(g[g.n > 2], on="k"),
    "sorted_after": lambda f, g: f.merge(g, on="k").sort_values("x").head(7),
    "twice": lambda f, g: f.merge(g, on="k").merge(g[["n", "y"]], on="n"),
    "assigned": lambda f, g: f.merge(g, on="k").assign(z=lambda m: m.x * m.y).z.mean(),
}


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("strangers", [False, True])
def test_lookup(name: str, code: str, strangers: bool) -> None:
    left, right = _sides(name)
    if strangers:  # keys on the left that the right side has not
        right = right.iloc[: max(1, len(right) - 3)]
    both(CODES[code], left, right)


def test_a_merge_and_a_group_by_are_one_kernel() -> None:
    left, right = _sides("dense", 30_000)
    f, g = frame(left), frame(right.assign(w="a"))
    plan = explain(f.merge(g, on="k").groupby("w").x.sum())
    assert [each.kind for each in plan.kernels] == ["group"]


@settings(max_examples=12, deadline=None)
@given(
    st.lists(st.integers(-3, 9), min_size=1, max_size=12, unique=True),
    st.lists(st.integers(-5, 11), min_size=1, max_size=40),
    st.sampled_from(["inner", "left"]),
)
def test_any_keys(right: list[int], left: list[int], how: str) -> None:
    f = pd.DataFrame({"k": left, "x": np.arange(len(left)) + 0.5})
    g = pd.DataFrame({"k": right, "y": np.arange(len(right)) + 0.25, "s": [f"s{each % 3}" for each in right]})

    def code(f: Any, g: Any) -> Any:
        return f.merge(g, on="k", how=how)

    both(code, f, g)
    both(lambda f, g: code(f, g).groupby("s").agg({"x": "sum", "y": "max"}), f, g)

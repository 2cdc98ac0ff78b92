"""Merge: rows by equal keys, in the order of the left frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fusion.capture.pairs import both
from workbench.fusion import explain
from workbench.fusion.capture.frame import frame

RNG = np.random.default_rng(3)
LEFT = pd.DataFrame(
    {
        "k": RNG.integers(0, 8, 40),
        "w": pd.Series(RNG.choice(["a", "b", "c", None], 40), dtype="str"),
        "t": pd.Timestamp("2020-01-01") + pd.to_timedelta(RNG.integers(0, 5, 40), unit="D"),
        "x": RNG.normal(size=40),
        "v": RNG.integers(0, 9, 40),
        "o": [[k] for k in range(40)],
    }
)
RIGHT = pd.DataFrame(
    {
        "k": [5, 3, 1, 9, 3],
        "w": pd.Series(["c", "a", None, "z", "a"], dtype="str"),
        "t": pd.to_datetime(["2020-01-01", "2020-01-03", None, "2020-01-02", "2021-01-01"]),
        "y": [0.5, np.nan, 1.5, 2.5, 3.5],
        "v": [1, 2, 3, 4, 5],
        "n": pd.array([1, None, 3, 4, 5], dtype="Int64"),
        "l": [{"a"}, {"b"}, {"c"}, {"d"}, {"e"}],
        "b": [True, False, True, False, True],
    }
)
UNIQUE = RIGHT.drop_duplicates("k")

FUSED: dict[str, Any] = {
    "inner": lambda f, g: f.merge(g, on="k"),
    "inner_text": lambda f, g: f.merge(g, on="w"),
    "inner_times": lambda f, g: f.merge(g, on="t"),
    "inner_two": lambda f, g: f.merge(g, on=["k", "w"]),
    "inner_common": lambda f, g: f[["k", "x"]].merge(g[["k", "y"]]),
    "inner_other_names": lambda f, g: (
        f[["k", "x"]].merge(g.rename(columns={"k": "q"})[["q", "y"]], left_on="k", right_on="q")
    ),
    "inner_suffixes": lambda f, g: f.merge(g, on="k", suffixes=("", "_right")),
    "left_floats": lambda f, g: f.merge(g[["k", "y"]], on="k", how="left"),
    "left_text": lambda f, g: f[["k", "x"]].merge(g[["k", "w", "t", "n"]], on="k", how="left"),
    "left_integers": lambda f, g: f[["k", "x"]].merge(g[["k", "v"]], on="k", how="left"),
    "left_objects": lambda f, g: f[["k", "x"]].merge(g[["k", "l"]], on="k", how="left"),
    "left_two": lambda f, g: f[["k", "t", "x"]].merge(g[["k", "t", "y", "l"]], on=["k", "t"], how="left"),
    "right": lambda f, g: f[["k", "x", "v", "o"]].merge(g[["k", "y"]], on="k", how="right"),
    "right_text": lambda f, g: f[["w", "x", "t"]].merge(g[["w", "y"]], on="w", how="right"),
    "right_two": lambda f, g: f.merge(g[["w", "k", "y", "b"]], on=["k", "w"], how="right"),
    "right_other_names": lambda f, g: (
        f[["k", "w", "x"]].merge(g[["k", "w", "y"]].rename(columns={"k": "q"}), left_on=["w", "k"], right_on=["w", "q"],
                                 how="right")
    ),
    "outer": lambda f, g: f[["k", "x"]].merge(g[["k", "y"]], on="k", how="outer"),
    "outer_text": lambda f, g: f[["w", "x", "v"]].merge(g[["w", "y", "v"]], on="w", how="outer"),
    "outer_two": lambda f, g: f[["t", "k", "x", "w"]].merge(g[["k", "t", "y", "w"]], on=["t", "k"], how="outer"),
    "outer_then_group": lambda f, g: f.merge(g[["k", "w", "y"]], on=["w", "k"], how="outer").groupby("w").y.sum(),
    "filtered": lambda f, g: f[f.x > 0].merge(g[g.v > 1], on="k"),
    "then_group": lambda f, g: f.merge(g, on="k").groupby("w_x").y.sum(),
    "then_filter": lambda f, g: (lambda m: m[m.x > 0])(f.merge(g, on="k")),
    "then_merge": lambda f, g: f[["k", "x"]].merge(g[["k", "w"]], on="k").merge(g[["w", "y"]], on="w"),
    "chain": lambda f, g: f.merge(g, on="k").sort_values("x").head(5),
}  # fmt: skip
FELL: dict[str, Any] = {
    "left_booleans": lambda f, g: f[["k", "x"]].merge(g[["k", "b"]], on="k", how="left"),
    "right_booleans": lambda f, g: g[["k", "b"]].merge(f[["k", "x"]].tail(5), on="k", how="right"),
    "cross": lambda f, g: f[["x"]].merge(g[["y"]], how="cross"),
    "index": lambda f, g: f[["x"]].merge(g[["y"]], left_index=True, right_index=True),
    "sorted": lambda f, g: f[["k", "x"]].merge(g[["k", "y"]], on="k", sort=True),
    "indicator": lambda f, g: f[["k", "x"]].merge(g[["k", "y"]], on="k", indicator=True),
    "join": lambda f, g: f[["x"]].join(g[["y"]]),
    "join_on": lambda f, g: f[["k", "x"]].join(g.set_index("k")[["y"]], on="k"),
    "other_dtypes": lambda f, g: f[["k", "x"]].merge(g[["k", "y"]].astype({"k": "float64"}), on="k"),
}
RAISING: dict[str, Any] = {
    "no_key": lambda f, g: f.merge(g, on="nope"),
    "text_and_number": lambda f, g: f.merge(g, left_on="k", right_on="w"),
    "nothing_common": lambda f, g: f[["x"]].merge(g[["y"]]),
    "not_unique": lambda f, g: f.merge(g, on="k", validate="one_to_one"),
    "suffixes": lambda f, g: f.assign(v_y=1).merge(g, on="k", suffixes=("_y", "_y")),
}


@pytest.mark.parametrize("name", FUSED)
@pytest.mark.parametrize("right", [RIGHT, UNIQUE], ids=["many", "unique"])
def test_merge(name: str, right: pd.DataFrame) -> None:
    both(FUSED[name], LEFT, right, fused=True)


@pytest.mark.parametrize("name", FELL)
def test_merge_in_pandas(name: str) -> None:
    both(FELL[name], LEFT, RIGHT, fused=False)


@pytest.mark.parametrize("name", [*FUSED, *FELL])
def test_merge_with_nothing(name: str) -> None:
    both({**FUSED, **FELL}[name], LEFT, RIGHT.head(0))


@pytest.mark.parametrize("name", RAISING)
def test_merge_raises(name: str) -> None:
    both(RAISING[name], LEFT, RIGHT)


_KINDS: dict[str, Any] = {
    "i": (st.integers(-2, 3), "int64"),
    "far": (st.sampled_from([-(2**62), 0, 2**62, 2**63 - 1]), "int64"),
    "u": (st.sampled_from([0, 7, 2**64 - 1]), "uint64"),
    "e": (st.booleans(), "bool"),
    "x": (st.sampled_from([0.0, -0.0, 1.5, np.nan, np.inf]), "float64"),
    "s": (st.sampled_from(["b", "a", "", None]), "str"),
    "t": (st.sampled_from([None, "2020-01-01", "1960-01-01"]), "datetime64[ns]"),
}


@st.composite
def _side(draw: Any, kinds: list[str], value: str) -> pd.DataFrame:
    rows = draw(st.integers(1, 8))
    columns = {
        f"k{k}": pd.Series(draw(st.lists(_KINDS[kind][0], min_size=rows, max_size=rows)), dtype=_KINDS[kind][1])
        for k, kind in enumerate(kinds)
    }
    return pd.DataFrame({**columns, value: np.arange(rows), "both": np.arange(rows) + 0.5})


@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.lists(st.sampled_from(sorted(_KINDS)), min_size=1, max_size=3))
def test_any_keys_of_several_columns(data: Any, kinds: list[str]) -> None:
    left, right = data.draw(_side(kinds, "v")), data.draw(_side(kinds, "w"))
    how = data.draw(st.sampled_from(["inner", "left", "right", "outer"]))
    names = [f"k{k}" for k in range(len(kinds))]
    if data.draw(st.booleans()):
        right = right.drop_duplicates(names)
    others = data.draw(st.booleans())
    if others:
        right = right.rename(columns={"k0": "q"})

    def code(f: Any, g: Any) -> Any:
        if others:
            return f.merge(g, left_on=names, right_on=["q", *names[1:]], how=how)
        return f.merge(g, on=names, how=how)

    # a column of truth values that rows are missing of is pandas'
    both(code, left, right, fused=None if others and kinds[0] == "e" else True, devices=("auto", "interpreter"))


def test_a_merge_by_several_keys_and_a_group_by_are_one_kernel() -> None:
    rng = np.random.default_rng(5)
    left = pd.DataFrame({"k": rng.integers(0, 20, 30_000), "w": rng.choice(["a", "b"], 30_000), "x": 1.0})
    right = pd.DataFrame({"k": np.repeat(np.arange(20), 2), "w": ["a", "b"] * 20, "y": np.arange(40) % 7})
    f, g = frame(left), frame(right)
    plan = explain(f.merge(g, on=["k", "w"]).groupby("y").x.sum())
    assert [each.kind for each in plan.kernels] == ["group"]


def test_c21_joins_of_many_rows() -> None:
    """Keys that a table by number is too small for, and many rows of one key."""
    rng = np.random.default_rng(6)
    left = pd.DataFrame(
        {"a": rng.integers(0, 10**12, 9000) * 7, "b": rng.integers(0, 300, 9000), "x": rng.random(9000)}
    )
    right = left.sample(6000, random_state=1, replace=True)[["a", "b"]].assign(y=np.arange(6000))
    for how in ("inner", "left", "right", "outer"):
        both(lambda f, g, how=how: f.merge(g, on=["a", "b"], how=how), left, right, fused=True)
        both(lambda f, g, how=how: f.head(500).merge(g.head(900), on="b", how=how), left, right, fused=True)


def test_groups_of_filtered_rows_then_merge() -> None:
    def code(f: Any, g: Any) -> Any:
        part = f[f.v > 2].copy()
        part["total"] = part.groupby("k")["v"].transform("sum")
        return part.merge(g[["k", "y"]], on="k")

    both(code, LEFT, RIGHT, fused=True)


def test_c21_merge_sort_pivot() -> None:
    def code(f: Any, g: Any) -> Any:
        joined = f.merge(g, on="k")
        ordered = joined.sort_values(["w_y", "x"], ascending=[True, False])
        return ordered.pivot_table("x", index="k", columns="b", aggfunc="mean")

    both(code, LEFT, RIGHT, fused=True)

"""Merge: rows by equal keys, in the order of the left frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.fusion.capture.pairs import both

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
    "filtered": lambda f, g: f[f.x > 0].merge(g[g.v > 1], on="k"),
    "then_group": lambda f, g: f.merge(g, on="k").groupby("w_x").y.sum(),
    "then_filter": lambda f, g: (lambda m: m[m.x > 0])(f.merge(g, on="k")),
    "then_merge": lambda f, g: f[["k", "x"]].merge(g[["k", "w"]], on="k").merge(g[["w", "y"]], on="w"),
    "chain": lambda f, g: f.merge(g, on="k").sort_values("x").head(5),
}  # fmt: skip
FELL: dict[str, Any] = {
    "left_booleans": lambda f, g: f[["k", "x"]].merge(g[["k", "b"]], on="k", how="left"),
    "outer": lambda f, g: f[["k", "x"]].merge(g[["k", "y"]], on="k", how="outer"),
    "right": lambda f, g: f[["k", "x"]].merge(g[["k", "y"]], on="k", how="right"),
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

"""Group-bys of more rows than a library's overhead hides: several results of the same groups, keys of all kinds."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.fusion.capture.pairs import both
from workbench.fusion import compute, explain, plans
from workbench.fusion.capture.frame import frame

RNG = np.random.default_rng(17)
ROWS = 30_000


def _table() -> pd.DataFrame:
    words = np.array([f"w{k}" for k in range(300)], dtype=object)
    found = pd.DataFrame(
        {
            "i": RNG.integers(-4, 5, ROWS),
            "j": RNG.integers(0, 3, ROWS).astype(np.int8),
            "sparse": RNG.choice(RNG.integers(-(10**15), 10**15, 900), ROWS),
            "unsigned": RNG.choice(RNG.integers(0, 2**63, 50, dtype=np.uint64) * 2, ROWS),
            "float": RNG.choice([0.5, -0.0, 0.0, np.nan, np.inf, -2.5, 1e300], ROWS),
            "word": pd.Series(words[RNG.integers(0, 300, ROWS)], dtype="str"),
            "x": RNG.normal(size=ROWS),
            "n": RNG.integers(-9, 9, ROWS),
        }
    )
    found["hole"] = found["word"].mask(found["i"] == 0)
    found.loc[found["j"] == 1, "x"] = np.nan
    return found


TABLE = _table()
KEYS: list[Any] = ["i", "sparse", "unsigned", "float", "word", "hole", ["i", "j"], ["float", "word"], ["sparse", "i"]]
OPTIONS = [{}, {"sort": False}, {"dropna": False}]


@pytest.mark.parametrize("keys", KEYS, ids=str)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_keys_of_all_kinds(keys: Any, options: dict[str, Any]) -> None:
    both(lambda f: f.groupby(keys, **options).agg(a=("x", "sum"), b=("n", "max"), c=("x", "std")), TABLE)


@pytest.mark.parametrize("keys", KEYS, ids=str)
def test_rows_within_groups(keys: Any) -> None:
    both(lambda f: f.sort_values("x", ascending=False).groupby(keys).head(3), TABLE)
    both(lambda f: f.groupby(keys, dropna=False).tail(2), TABLE)
    both(lambda f: f[f.n > 0].groupby(keys)["x"].head(1), TABLE)


@pytest.mark.parametrize("names", [["x"], ["n", "x"], ["word", "float"], ["hole", "n"]], ids=str)
@pytest.mark.parametrize("up", [True, False])
def test_stable_order(names: list[str], up: bool) -> None:
    both(lambda f: f.sort_values(names, ascending=up, kind="stable"), TABLE)


def test_what_is_asked_of_the_same_groups_is_one_kernel() -> None:
    def code(f: Any) -> tuple[Any, ...]:
        few = f[f.n > 0]
        groups = few.assign(y=few.x * few.n).groupby(["i", "j"])
        return groups[["x", "y"]].sum(), groups[["x", "n"]].mean(), groups.size(), groups.x.std()

    both(code, TABLE)
    plan = explain(*code(frame(TABLE)))
    assert [each.kind for each in plan.kernels] == ["group"]
    assert plan.kernels_before == 7


def test_groups_that_need_one_another_stay_apart() -> None:
    def code(f: Any) -> Any:
        groups = f.groupby("i")
        far = f.x - groups.x.transform("mean")
        return far.groupby(f.i).max(), groups.x.sum(), far.abs().groupby(f.i).sum()

    both(code, TABLE)


@pytest.mark.parametrize("keys", ["sparse", "float", "word", ["i", "float"]], ids=str)
def test_threads_give_the_same_bits(keys: Any) -> None:
    big = pd.concat([TABLE] * 8, ignore_index=True)

    def found(threads: int) -> pd.DataFrame:
        groups = frame(big).groupby(keys)
        [value] = compute(groups.agg(a=("x", "sum"), b=("x", "var"), c=("n", "first")), threads=threads)
        return value

    one, two = found(1), found(2)
    pd.testing.assert_frame_equal(one, two, check_exact=True)
    assert one["a"].to_numpy().tobytes() == two["a"].to_numpy().tobytes()


@pytest.mark.parametrize("name", ["sparse", "float", "word", "hole", "unsigned", "i"])
def test_unique(name: str) -> None:
    both(lambda f: f[name].unique(), TABLE)
    both(lambda f: f[f.n > 3][name].nunique(), TABLE)
    both(lambda f: f[name].value_counts(), TABLE)
    both(lambda f: f[name].drop_duplicates(), TABLE)


def test_strings_are_encoded_once() -> None:
    first = frame(TABLE)["word"]._column.source.words()
    again = frame(TABLE.copy(deep=False))["word"]._column.source.words()
    assert first[0].data is again[0].data
    other = TABLE.copy()
    other.loc[0, "word"] = "new"
    both(lambda f: f.groupby("word").x.sum(), other)


def _ran(code: Any) -> list[list[str]]:
    """Return the kernels of the plans that a call runs."""
    cleared = plans()[-1:]
    code()
    every = plans()
    start = next((k for k, each in enumerate(every) if cleared and each is cleared[0]), -1)
    return [[kernel.name.partition("_")[2] for kernel in each.kernels] for each in every[start + 1 :]]


def test_places_are_kept_between_forcings() -> None:
    top = frame(TABLE).sort_values("x").groupby("i").head(500)
    names, sums = top.word.str.len(), top.groupby("j").n.sum()
    first, second = _ran(lambda: names.compute()), _ran(lambda: sums.compute())
    assert "argsort" in first[0] and "groupby.head" in first[0]
    assert [each for each in second[0] if each in ("argsort", "groupby.head")] == []
    plain = TABLE.sort_values("x", kind="stable").groupby("i").head(500)
    pd.testing.assert_series_equal(names.compute(), plain.word.str.len())
    pd.testing.assert_series_equal(sums.compute(), plain.groupby("j").n.sum())
    pd.testing.assert_frame_equal(top.compute(), plain)


def test_joins_are_kept_between_forcings() -> None:
    def code(f: Any) -> Any:
        some = f[f.n > 7]
        return some[["i", "x"]].merge(some[["i", "j"]].head(40), on="i")

    both(lambda f: (lambda m: (m.x.sum(), m.groupby("i").x.sum(), m[m.x > 0].x.mean(), m))(code(f)), TABLE)
    joined = code(frame(TABLE))
    found = _ran(lambda: joined.x.sum().compute()), _ran(lambda: joined.x.mean().compute())
    assert "merge" in found[0][0] and "merge" not in found[1][0]


def test_what_is_kept_goes_with_the_table() -> None:
    from workbench.fusion import forcing

    gc.collect()
    before = forcing._held[0]
    ordered = frame(TABLE).sort_values("x")
    assert float(ordered.x.sum()) == pytest.approx(TABLE.x.sum())
    assert forcing._held[0] > before
    del ordered
    gc.collect()
    assert forcing._held[0] == before


@pytest.mark.parametrize("rows", [2, 30_000])
@pytest.mark.parametrize("dropna", [True, False])
@pytest.mark.parametrize("keys", [["t"], ["t", "i"], ["i", "t"]])
def test_dates_of_which_all_are_missing(keys: list[str], dropna: bool, rows: int) -> None:
    table = pd.DataFrame({"t": pd.to_datetime([None] * rows), "i": [1] * rows, "x": [1.0] * rows})

    def grouped(d: Any) -> Any:
        return d.groupby(keys, as_index=False, dropna=dropna).agg(p=("x", "sum"), q=("x", "size"))

    both(grouped, table)
    both(lambda d: grouped(d[d.x > 0].groupby(keys, dropna=dropna).head(1)), table)

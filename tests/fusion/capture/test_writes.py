"""Writes: into the user's own frame, in program order, and not into what was taken before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.fusion.capture.pairs import assert_same, both, table
from workbench.fusion.capture.frame import frame

TABLE = table(40)


def _program(*steps: Any) -> Any:
    def code(d: Any) -> Any:
        for step in steps:
            step(d)
        return d

    return code


def _set(label: str, value: Any) -> Any:
    def step(d: Any) -> None:
        d[label] = value(d) if callable(value) else value

    return step


def _loc(rows: Any, label: str, value: Any) -> Any:
    def step(d: Any) -> None:
        d.loc[rows(d), label] = value(d) if callable(value) else value

    return step


FUSED: dict[str, Any] = {
    "set_new": _program(_set("z", lambda d: d.x * 2)),
    "set_over": _program(_set("x", lambda d: d.x * 2)),
    "set_other_dtype": _program(_set("i", lambda d: d.x)),
    "set_number": _program(_set("z", 1), _set("x", 2.5)),
    "set_word": _program(_set("z", "w"), _set("h", "v")),
    "set_array": _program(_set("z", np.arange(40))),
    "set_scalar": _program(_set("z", lambda d: d.x.mean())),
    "set_filtered_parent": _program(_set("z", lambda d: d.y), _set("q", lambda d: d.z + 1)),
    "loc_number": _program(_loc(lambda d: d.i > 0, "x", 9.5)),
    "loc_integer": _program(_loc(lambda d: d.i > 0, "i", -1)),
    "loc_word": _program(_loc(lambda d: d.i > 0, "h", "new")),
    "loc_missing_word": _program(_loc(lambda d: d.i > 0, "s", None)),
    "loc_series": _program(_loc(lambda d: d.i > 0, "x", lambda d: d.y)),
    "loc_same_rows": _program(_loc(lambda d: d.i > 0, "x", lambda d: d.loc[d.i > 0, "x"] * 2)),
    "order": _program(
        _set("z", lambda d: d.i * 2),
        _loc(lambda d: d.z > 2, "z", 0),
        _set("q", lambda d: d.z),
        _set("z", lambda d: d.q + 1),
    ),
    "chain": _program(_set("h", lambda d: d.h.str.slice(0, 3)), _set("h", lambda d: d.h.mask(d.h == "les"))),
}  # fmt: skip
FELL: dict[str, Any] = {
    "set_list": _program(_set("z", list(range(40)))),
    "set_times": _program(_set("z", pd.Timestamp("2020-01-01"))),
    "set_aligned": _program(_set("z", lambda d: d.sort_values("y").x)),
    "set_part": _program(_set("z", lambda d: d[d.i > 0].x)),
    "loc_new": _program(_loc(lambda d: d.i > 0, "new", 1.0)),
    "loc_rows": _program(_loc(lambda d: [1, 3], "x", 0.0)),
}


@pytest.mark.parametrize("name", FUSED)
def test_write(name: str) -> None:
    both(FUSED[name], TABLE, fused=True)


@pytest.mark.parametrize("name", FELL)
def test_write_in_pandas(name: str) -> None:
    both(FELL[name], TABLE, fused=False)


@pytest.mark.parametrize("name", [*FUSED, *FELL])
def test_write_into_rows_of_another(name: str) -> None:
    if name in ("set_array", "set_list"):
        return

    def code(d: Any) -> Any:
        part = d[d.y > 0].copy()
        return {**FUSED, **FELL}[name](part)

    both(code, TABLE)


def test_other_writes() -> None:
    def code(d: Any) -> Any:
        del d["o"]
        d.insert(1, "new", d.i * 2)
        d.pop("c")
        d.x += 1
        d["y"] *= 2
        d.columns = [each.upper() for each in d.columns]
        d.rename(columns={"I": "i"}, inplace=True)
        d.drop(columns=["B"], inplace=True)
        d.iloc[0, 1] = 7
        d.loc[3, "X"] = 1.25
        d.index = range(100, 140)
        return d

    both(code, TABLE)


def test_writes_raise_where_they_stand() -> None:
    for code in (
        _program(_loc(lambda d: d.i > 0, "i", 1.5)),
        _program(_loc(lambda d: d.i > 0, "i", "word")),
        _program(_set("z", np.arange(3))),
        _program(_loc(lambda d: d.b, "h", 5)),
    ):
        both(code, TABLE)


def test_taken_before_is_not_written_to() -> None:
    def code(d: Any) -> Any:
        before, part = d.x, d[d.i > 0]
        d["x"] = 0.0
        d.loc[d.i > 0, "y"] = 1.0
        other = part.y
        part["y"] = 2.0
        return before.sum(), part.y.sum(), other.sum(), d.y.sum()

    both(code, TABLE, fused=True)


def test_original_is_written_when_it_is_computed() -> None:
    mine, same = TABLE.copy(), TABLE.copy()
    alias = mine
    lazy = frame(mine)
    lazy["z"] = lazy.x * 2
    assert "z" not in mine
    assert lazy.compute() is alias
    same["z"] = same.x * 2
    assert_same(mine, same)
    lazy["z"] = lazy.z + 1
    same["z"] = same.z + 1
    assert lazy.compute() is mine
    assert_same(mine, same)


def test_copy_leaves_the_original_alone() -> None:
    mine = TABLE.copy()
    lazy = frame(mine, copy=True)
    lazy["z"] = 1
    lazy.loc[lazy.i > 0, "x"] = 0.0
    assert "z" in lazy.compute()
    assert_same(mine, TABLE)


def test_results_share_nothing_with_the_original() -> None:
    mine = TABLE[["x", "i", "s"]].copy()
    lazy = frame(mine)
    for found in (lazy[["x", "i"]].compute(), lazy.assign(q=1).compute(), lazy.reset_index(drop=True).compute()):
        found.loc[0, "x"] = 99.0
        found["i"] = 0
    column = lazy.x.compute()
    column.iloc[0] = 99.0
    assert_same(mine, TABLE[["x", "i", "s"]])


def test_series_are_written_too() -> None:
    def code(s: Any) -> Any:
        s[s > 0] = 0.5
        s += 1
        s.loc[s < 0] = -1.0
        s.iloc[2] = 7.0
        return s

    both(code, TABLE.x)


def test_series_of_a_frame_is_its_own() -> None:
    def code(d: Any) -> Any:
        s = d.x
        s[s > 0] = 0.5
        return s.sum(), d.x.sum()

    both(code, TABLE, fused=True)


def test_changes_from_outside_are_not_seen() -> None:
    mine = TABLE.copy()
    lazy = frame(mine)
    total, wanted = lazy.x.sum(), TABLE.x.sum()
    mine.loc[:, "x"] = 0.0
    mine["x"] = 5.0
    assert_same(total.compute(), wanted)

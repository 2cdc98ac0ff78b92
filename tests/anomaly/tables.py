"""Random tables and questions about them, as hypothesis draws them; and the files that MacroBase was tested with."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import strategies as st

from tests.anomaly.brute import Line, brute

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

COMPARE = ("risk_ratio", "global_ratio", "prevalence_ratio", "prevalence_difference", "mean_shift", "mean_deviation")

#: values that look alike as text, order otherwise as numbers than as text, or are easily taken for null
_POOLS: dict[str, tuple[Any, ...]] = {
    "text": ("a", "b", "", "NULL", "1", "0x", "Zürich", "∅", "10", "x", "None", "it's", 'quo"te', "nan"),
    "int": (0, 1, -1, 10, 9, 2**40, -(2**40), 7, 300, 65536),
    "float": (0.0, 1.0, -1.0, 10.0, 9.0, 0.5, -2.25, 1e300, 1e-9, 3.0),
    "bool": (False, True),
}
_NAMES = ("a", "b", "select", "two words", 'quo"te', "support", "ß", "c0", "outlier_count", "x.y")
_SUPPORTS = (0.01, 0.0, 0.05, 0.05, 0.07, 0.07, 0.1, 0.1, 0.125, 0.2, 0.25, 1 / 3, 0.5, 1.0)
_RATIOS = {
    "prevalence_difference": (-0.5, 0.0, 0.05, 0.1, 0.25, 0.5),
    "mean_deviation": (0.0, 0.09, 0.21, 0.47, 0.83, 1.3),
}
_OTHER_RATIOS = (3.0, 0.0, 0.5, 1.0, 1.25, 1.5, 1.5, 2.0, 4.0)


@dataclass
class Table:
    """Columns of Python values (None is null), how much of each row is an outlier, a number a row, and weights."""

    columns: dict[str, list[Any]]
    outliers: list[float]  # 0 or 1, and shares between them for cubes
    metric: list[float]
    weights: list[float] | None = None
    kinds: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.outliers)

    def rows(self) -> list[dict[str, Any]]:
        return [dict(zip(self.columns, row, strict=True)) for row in zip(*self.columns.values(), strict=True)]

    def marked(self) -> list[float]:
        """Return the outliers' weight of each row."""
        return [o * w for o, w in zip(self.outliers, self.weights or [1.0] * len(self), strict=True)]

    def take(self, rows: Sequence[int]) -> Table:
        def of(x: list[Any]) -> list[Any]:
            return [x[i] for i in rows]

        columns = {name: of(column) for name, column in self.columns.items()}
        weights = None if self.weights is None else of(self.weights)
        return Table(columns, of(self.outliers), of(self.metric), weights, self.kinds)

    def encoded(self, seed: int = 0) -> tuple[list[np.ndarray], list[int], list[pa.Array]]:
        """Return codes, their number and their values by column; codes are given out in an order of their own."""
        import pyarrow as pa

        rng = np.random.default_rng(seed)
        codes, cards, values = [], [], []
        for name, column in self.columns.items():
            distinct = list(dict.fromkeys(column))
            distinct = [distinct[i] for i in rng.permutation(len(distinct))]
            code = {value: i for i, value in enumerate(distinct)}
            codes.append(np.array([code[value] for value in column], dtype=np.uint8))
            cards.append(len(distinct))
            values.append(pa.array(distinct, self._type(name)))
        return codes, cards, values

    def _type(self, name: str) -> pa.DataType:
        import pyarrow as pa

        return {"text": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}[self.kinds[name]]

    def to_arrow(self) -> pa.Table:
        import pyarrow as pa

        columns = {name: pa.array(column, self._type(name)) for name, column in self.columns.items()}
        columns["metric #"] = pa.array(self.metric, pa.float64())
        if self.weights is not None:
            columns["weight #"] = pa.array(self.weights, pa.float64())
        return pa.table(columns)

    def to_pandas(self) -> pd.DataFrame:
        """Return a frame; integers and bools with nulls keep their type."""
        import pandas as pd

        types = {"int": pd.Int64Dtype(), "bool": pd.BooleanDtype(), "float": pd.Float64Dtype(), "text": "str"}
        columns = {
            name: pd.array(
                column, dtype=types[self.kinds[name]] if None in column or self.kinds[name] == "text" else None
            )
            for name, column in self.columns.items()
        }
        frame = pd.DataFrame({**columns, "metric #": self.metric})
        return frame if self.weights is None else frame.assign(**{"weight #": self.weights})


@dataclass(frozen=True)
class Question:
    """The options that both the search and the reference know."""

    compare: str = "risk_ratio"
    min_support: float = 0.01
    min_ratio: float = 3.0
    max_combo: int = 3
    minimal: bool = True

    def options(self) -> dict[str, Any]:
        return dict(vars(self))

    def brute(self, table: Table) -> list[Line]:
        return brute(table.rows(), table.marked(), weights=table.weights, metric=table.metric, **self.options())


def table(
    seed: int, n: int, width: int, card: int, share: float, nulls: float, weights: str | None, ties: bool, kinds: str
) -> Table:
    """Make a table by a generator of its own: quicker than to draw it cell by cell, and a seed repeats it."""
    rng = np.random.default_rng(seed)
    names = [_NAMES[i] for i in rng.permutation(len(_NAMES))[:width]]
    columns: dict[str, list[Any]] = {}
    kind_of = {}
    outliers = rng.random(n) < share
    together = outliers & (rng.random(n) < 0.85)  # these outliers have something in common
    shared = names[: rng.integers(0, width + 1)]
    for name in names:
        kind = kinds if kinds != "mixed" else str(rng.choice(["text", "int", "float", "bool"]))
        pool = [_POOLS[kind][i] for i in rng.permutation(len(_POOLS[kind]))[: rng.integers(1, card + 1)]]
        picks = rng.integers(0, len(pool), n)
        if rng.random() < 0.3 and columns:  # a column that follows from another, as city and country
            before = columns[names[len(columns) - 1]]
            picks = np.array([before.index(value) for value in before]) % len(pool)
        if name in shared:
            picks = np.where(together, 0, picks)
        absent = rng.random(n) < nulls
        columns[name] = [None if gone else pool[i] for i, gone in zip(picks, absent, strict=True)]
        kind_of[name] = kind
    metric = rng.integers(-3, 6, n) / 2 if ties else rng.normal(1, 2, n).round(3)
    heavy = None
    shares = outliers.astype(float)
    if weights is not None:
        heavy = (rng.integers(0, 5, n) if weights == "whole" else rng.integers(0, 400, n) / 100).tolist()
    if weights == "cube":
        shares *= rng.integers(0, 5, n) / 4
    return Table(columns, shares.tolist(), metric.tolist(), heavy, kind_of)


def tables(**fixed: Any) -> st.SearchStrategy[Table]:
    """Return random tables of up to 5 columns and 120 rows; keywords pin a parameter of `table`."""
    free: dict[str, st.SearchStrategy[Any]] = {
        "seed": st.integers(0, 2**32 - 1),
        "n": st.sampled_from([1, 2, 7, 20, 50, 80, 100, 100, 120, 120]),
        "width": st.sampled_from([1, 2, 3, 3, 4, 4, 5, 5]),
        "card": st.sampled_from([1, 2, 2, 3, 3, 4, 6]),
        "share": st.sampled_from([0.0, 0.02, 0.1, 0.1, 0.1, 0.2, 0.2, 0.3, 0.6, 1.0]),
        "nulls": st.sampled_from([0.0, 0.0, 0.2]),
        "weights": st.sampled_from([None, None, None, "whole", "fractions", "cube"]),
        "ties": st.booleans(),
        "kinds": st.just("mixed"),
    }
    given = {name: each if isinstance(each, st.SearchStrategy) else st.just(each) for name, each in fixed.items()}
    return st.builds(table, **{**free, **given})


@st.composite
def questions(draw: st.DrawFn, compare: Sequence[str] = COMPARE, max_combo: int = 4) -> Question:
    """Return random options; the least values lie where ties with them are likely."""
    name = draw(st.sampled_from(compare))
    return Question(
        compare=name,
        min_support=draw(st.sampled_from(_SUPPORTS)),
        min_ratio=draw(st.sampled_from(_RATIOS.get(name, _OTHER_RATIOS))),
        max_combo=draw(st.sampled_from([k for k in range(1, max_combo + 1) for _ in range(k)])),
        minimal=draw(st.sampled_from([True, True, True, False])),
    )


def macrobase(name: str) -> Path:
    """Return the path of a MacroBase file of the mirror, or skip the test."""
    root = os.environ.get("WORKBENCH_MIRROR")
    path = Path(root or "") / "macrobase" / name
    if not root or not path.exists():
        pytest.skip(f"needs macrobase/{name} in WORKBENCH_MIRROR")
    return path

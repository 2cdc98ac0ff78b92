"""The short way that most operations of columns go gives what the long one gives."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from workbench.fusion.capture import arithmetic
from workbench.fusion.capture.domains import same_expr

DTYPES = [
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64",
    "datetime64[ns]", "Int64", "boolean", "str", "category", "object",
]  # fmt: skip
NUMBERS = [0, 1, 2, -1, 127, 128, -129, 255, 256, 2**31, 2**63 - 1, 2**63, -(2**63) - 1, 0.0, -0.0, 0.5, np.inf, np.nan]
OPS = sorted({*arithmetic.METHODS.values(), *arithmetic.LOGIC.values()})


def column(dtype: str) -> Any:
    values: Any = [1, 0, 1] if dtype not in ("str", "category", "object") else ["a", "b", "a"]
    return pd.Series(values).astype(dtype).rename("x")


FRAME = pd.DataFrame({dtype: column(dtype) for dtype in DTYPES})


@pytest.mark.parametrize("op", OPS)
def test_both_ways_agree(op: str) -> None:
    lazy = wb.fusion.frame(FRAME)
    columns = [lazy[dtype]._column for dtype in DTYPES]
    went = 0
    for mine, other in [*itertools.product(columns, columns), *itertools.product(columns, [*NUMBERS, "a", None, 1j])]:
        for reflected in (False, True):
            short = arithmetic.shortly(op, mine, other, reflected)
            if short is None:
                continue
            went += 1
            whole = arithmetic.binary(op, other, mine) if reflected else arithmetic.binary(op, mine, other)
            assert whole is not None and whole.dtype == short.dtype and whole.domain is short.domain
            assert same_expr(whole.expr, short.expr) and whole.expr.shape == short.expr.shape
    assert went >= (2 if op in arithmetic.LOGIC.values() else 20)


def test_most_operations_go_the_short_way() -> None:
    lazy = wb.fusion.frame(FRAME)
    numbers = [lazy[dtype]._column for dtype in ("int64", "int32", "uint8", "float32", "float64")]
    for op in ("add", "subtract", "multiply", "divide", "less", "equal"):
        for mine, other in itertools.product(numbers, [*numbers, 2, 0.5]):
            assert arithmetic.shortly(op, mine, other, False) is not None


def test_names_positions_and_notes_are_kept() -> None:
    lazy = wb.fusion.frame(FRAME)
    a, b = lazy["float64"], lazy["int64"]
    assert (
        (a * 2).name == "float64" and (a + b).name is None and (a + a).name == "float64" and (2.5 - a).name == "float64"
    )
    found = a + b * 2
    assert found._column.expr.where[0].co_name == "test_names_positions_and_notes_are_kept"
    assert found._column.expr.inputs[1].where[0].co_name == "test_names_positions_and_notes_are_kept"
    pd.testing.assert_series_equal(found.compute(), FRAME["float64"] + FRAME["int64"] * 2)


def test_rows_that_are_not_the_same_do_not_go_the_short_way() -> None:
    lazy = wb.fusion.frame(FRAME)
    some, other = lazy[lazy["int64"] > 0], wb.fusion.frame(FRAME)
    for each in (some, other):
        assert arithmetic.shortly("add", lazy["float64"]._column, each["float64"]._column, False) is None
    pd.testing.assert_series_equal((lazy["float64"] + other["float64"]).compute(), FRAME["float64"] * 2)

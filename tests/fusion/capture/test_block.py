"""`frame.values`: no copy where the columns stand in one block, and nothing forced where they are computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.fusion.capture.pairs import both, table
from workbench.fusion.capture.frame import frame

BLOCK = pd.DataFrame(np.random.default_rng(2).normal(size=(40, 5)), columns=list("abcde"))

CODES: dict[str, Any] = {
    "all": lambda d: d.values,
    "some": lambda d: d[["b", "d"]].values,
    "turned": lambda d: d[["e", "d", "c"]].values,
    "uneven": lambda d: d[["a", "b", "e"]].values,
    "one": lambda d: d[["c"]].values,
    "computed": lambda d: (d * 2 + 1).values,
    "assigned": lambda d: d.assign(f=d.a + d.b).values,
    "rows": lambda d: d[d.a > 0].values,
    "sums": lambda d: d[["a", "c"]].values.sum(axis=1),
    "product": lambda d: d.values @ np.arange(5.0),
    "means": lambda d: (d.values - d.values.mean(axis=0)).max(),
}


def _made(value: Any) -> Any:
    return value.compute() if hasattr(value, "compute") else value


@pytest.mark.parametrize("name", CODES)
def test_values(name: str) -> None:
    found, wanted = _made(CODES[name](frame(BLOCK))), CODES[name](BLOCK)
    assert np.asarray(found).dtype == np.asarray(wanted).dtype
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


@pytest.mark.parametrize("names", [["i", "x"], ["i", "j"], ["b", "b"], ["x", "f"], ["i", "s"], ["b", "i"], ["t", "t"]])
def test_values_of_several_dtypes(names: list[str]) -> None:
    mine = table()
    found, wanted = _made(frame(mine)[names].values), mine[names].values
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(np.asarray(found), wanted)


def test_one_block_is_not_copied() -> None:
    lazy = frame(BLOCK)
    for some in (lazy, lazy[["b", "d"]], lazy[["e", "d"]]):
        assert np.shares_memory(some.values.compute(), BLOCK["d"].to_numpy())


def test_a_block_is_not_written_through() -> None:
    with pytest.raises(ValueError, match="read-only"):
        BLOCK.values[0, 0] = 1.0
    values = frame(BLOCK).values
    with pytest.raises(ValueError, match="read-only"):
        values[0, 0] = 1.0


def test_what_is_written_later_is_not_seen() -> None:
    def code(d: Any) -> Any:
        before = d.values
        d["a"] = 0.0
        return np.asarray(before).sum(), d

    both(code, BLOCK)

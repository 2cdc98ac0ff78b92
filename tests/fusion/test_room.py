"""What is said when there is no memory for a plan."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest

import workbench as wb
from workbench.fusion.cpu import memory
from workbench.fusion.errors import FusionMemoryError

Free = namedtuple("Free", "available")


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no array of a megabyte or more be made by a kernel, on a machine with 2 GB left."""

    def none(self: Any, shape: tuple[int, ...], dtype: Any) -> Any:
        if np.dtype(dtype).itemsize * int(np.prod(shape)) >= memory.SMALLEST:
            raise MemoryError
        return np.empty(shape, dtype)

    monkeypatch.setattr(memory.Pool, "empty", none)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: Free(2_000_000_000))


def test_it_says_how_much_is_needed_and_free(full: None) -> None:
    x = wb.fusion.array(np.arange(300_000.0))
    with pytest.raises(FusionMemoryError) as raised:
        wb.fusion.compute(x * 2, (x + 1).astype("float32"))
    assert raised.value.lines() == [
        "Not enough memory: the plan needs 3.6 MB, 2 GB is free.",
        "Use wb.fusion.frame on a dask DataFrame, or compute fewer results at once.",
    ]
    assert isinstance(raised.value, MemoryError)
    assert (x * 2).sum().compute() == 2.0 * np.arange(300_000.0).sum()  # what needs less still runs


def test_lengths_that_are_not_known_are_estimated(full: None) -> None:
    x = np.arange(1_000_000.0)
    with pytest.raises(MemoryError, match=r"the plan needs (3\.9\d|4|4\.0\d) MB, 2 GB is free"):
        wb.fusion.array(x)[wb.fusion.array(x) >= 500_000].compute()


def test_columns_of_a_frame(full: None) -> None:
    frame = pd.DataFrame({"a": np.arange(300_000.0), "b": np.ones(300_000)})
    lazy = wb.fusion.frame(frame)
    with pytest.raises(FusionMemoryError, match="Not enough memory"):
        (lazy.a * lazy.b).compute()
    assert list(frame.columns) == ["a", "b"] and frame.a.iloc[-1] == 299_999.0


def test_what_really_is_too_large() -> None:
    huge = np.broadcast_to(np.float64(1), (1 << 50,))
    with pytest.raises(FusionMemoryError, match="the plan needs 9007199 GB"):
        (wb.fusion.array(huge) + 1).compute()

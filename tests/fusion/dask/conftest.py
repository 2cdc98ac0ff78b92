"""One cluster of two workers for all tests over Dask, and a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

from workbench.engine import session


@pytest.fixture(scope="package", autouse=True)
def cluster() -> Iterator[Any]:
    with session.local_workers(2) as client:
        yield client


def rides(rows: int = 3000) -> pd.DataFrame:
    """Return rides, with strings as Dask has them."""
    rng = np.random.default_rng(9)
    found = pd.DataFrame(
        {
            "state": rng.integers(0, 12, rows), "fare": rng.gamma(2.0, 8.0, rows), "tip": rng.normal(size=rows),
            "word": rng.choice(["one", "two", "three"], rows),
        }
    )  # fmt: skip
    found.loc[::37, "tip"] = np.nan
    return dd.from_pandas(found, npartitions=1).compute(scheduler="synchronous")

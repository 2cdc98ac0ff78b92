"""Every operation on no rows, on one, and under labels that are words."""

from __future__ import annotations

import pandas as pd
import pytest

from tests.fusion.capture.operations import FELL, FUSED, TABLE
from tests.fusion.capture.pairs import both

CODE = {**FUSED, **FELL}
NAMED = TABLE.set_index(pd.Index([f"r{k}" for k in range(len(TABLE))], name="row"))


@pytest.mark.parametrize("name", CODE)
def test_operation_of_nothing(name: str) -> None:
    both(CODE[name], TABLE.head(0), devices=("eager",))


@pytest.mark.parametrize("name", CODE)
def test_operation_of_one_row(name: str) -> None:
    both(CODE[name], TABLE.iloc[7:8], devices=("eager",))


@pytest.mark.parametrize("name", [name for name in CODE if name not in ("loc_label", "cell")])
def test_operation_under_labels(name: str) -> None:
    both(CODE[name], NAMED, devices=("eager",))

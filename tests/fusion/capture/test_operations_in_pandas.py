"""Operations that do not fuse run in pandas, and are told; captured calls one by one give what pandas gives too."""

from __future__ import annotations

import pytest

from tests.fusion.capture.operations import FELL, FUSED, TABLE
from tests.fusion.capture.pairs import both


@pytest.mark.parametrize("name", FELL)
def test_operation_in_pandas(name: str) -> None:
    both(FELL[name], TABLE, fused=False)


@pytest.mark.parametrize("name", FUSED)
def test_operation_replayed(name: str) -> None:
    both(FUSED[name], TABLE, devices=("eager",))

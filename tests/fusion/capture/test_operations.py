"""Every operation of frames and Series that fuses, by name: compiled, it gives what pandas gives."""

from __future__ import annotations

import pytest

from tests.fusion.capture.operations import FUSED, TABLE
from tests.fusion.capture.pairs import both


@pytest.mark.parametrize("name", FUSED)
def test_operation(name: str) -> None:
    both(FUSED[name], TABLE, fused=True)

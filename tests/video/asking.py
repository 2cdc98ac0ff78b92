"""Asking a question that fails, or one whose warnings are looked for in its notes alone."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

import workbench as wb
from workbench.engine.errors import WorkbenchError

CARS = """
class Cars(Query):
    car: Car
    where = car.x1 > "20px" and car.score > 0.5
    select = car.id, start, end, max(car.speed)
"""


def error(*args: Any, **options: Any) -> list[str]:
    """Return the lines of the error that `wb.vquery` raises."""
    with pytest.raises(WorkbenchError) as caught:
        wb.vquery(*args, **options)
    return caught.value.lines()


def quietly(*args: Any, **options: Any) -> Any:
    """Ask, and give the answer with the warnings in its notes alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return wb.vquery(*args, **options)

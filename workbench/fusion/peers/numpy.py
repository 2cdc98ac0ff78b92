"""NumPy: the captured calls, one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from workbench.fusion.eager import evaluate
from workbench.fusion.expr import Expr

__all__ = ["build"]


def build(exprs: Sequence[Expr], threads: int) -> Callable[[], list[Any]]:
    """Return a function that replays the captured calls.

    Parameters
    ----------
    exprs : sequence of Expr
    threads : int
        NumPy's elementwise work has one.
    """
    return lambda: evaluate(exprs)

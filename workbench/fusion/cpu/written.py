"""Functions that are written as LLVM's text by hand: what neither a loop program nor NumPy says well."""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import numpy as np

from workbench.fusion.cpu import machine, objects

__all__ = ["function"]


@functools.cache
def function(text: str, name: str, count: int) -> Any:
    """Return a function of a text as a callable of arrays and whole numbers that returns an int64.

    Parameters
    ----------
    text : str
        An LLVM module; its functions take pointers and i64.
    name : str
    count : int
        How many arguments it has.
    """
    host = machine.host()
    content, _ = objects.get(text, host, lambda: text)
    code = machine.load(content, host)
    made = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * count)(code.address(name))

    def call(*args: Any) -> int:
        found: int = made(*[each.ctypes.data if isinstance(each, np.ndarray) else each for each in args])
        return found

    call.keep = code  # type: ignore[attr-defined]  # the code must not go before the function
    return call

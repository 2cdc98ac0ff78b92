"""Where an array's memory begins, told in a tenth of the time that NumPy takes for it."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable

import numpy as np

__all__ = ["address"]

#: bytes of an object's head, after which NumPy's array type, whose layout is part of its ABI, keeps its pointer
_HEAD = object.__basicsize__


def _told(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


def _read(array: np.ndarray, at: Callable[[int], ctypes.c_void_p] = ctypes.c_void_p.from_address) -> int:
    return at(id(array) + _HEAD).value or 0


def _trusted() -> bool:
    """Return whether arrays of this Python and NumPy are laid out as is known."""
    if sys.implementation.name != "cpython":
        return False
    some: list[np.ndarray] = [np.zeros(3), np.zeros(3)[1:], np.zeros((2, 2), np.int8)[::-1], np.zeros(())]
    return all(_read(each) == _told(each) for each in some)


#: the address of an array's first element
address: Callable[[np.ndarray], int] = _read if _trusted() else _told

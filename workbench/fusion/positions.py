"""Source positions: taken for next to nothing when a call is captured, and spelled out when they are shown."""

from __future__ import annotations

import os
import sys
from types import CodeType, FrameType
from typing import Any

__all__ = ["caller", "here", "line_of", "place", "text"]

_PACKAGE = os.path.dirname(__file__) + os.sep
#: torch's functions in Python are no user's code either
_TORCH = f"{os.sep}site-packages{os.sep}torch{os.sep}"


#: whether files are of neither: each call that is captured asks
_foreign: dict[str, bool] = {}


def caller(depth: int = 2) -> FrameType:
    """Return the frame of the caller's caller, or the first one above it that is of neither this package nor torch."""
    frame = sys._getframe(depth)
    while frame.f_back is not None:
        name = frame.f_code.co_filename
        foreign = _foreign.get(name)
        if foreign is None:
            if len(_foreign) > 4096:  # each cell of a notebook is a file
                _foreign.clear()
            foreign = _foreign[name] = not name.startswith(_PACKAGE) and _TORCH not in name
        if foreign:
            break
        frame = frame.f_back
    return frame


def here(depth: int = 2) -> tuple[CodeType, int]:
    """Return the position of the caller's caller, or of the first frame above it that is not of this package."""
    frame = caller(depth + 1)
    return frame.f_code, frame.f_lasti


def line_of(where: Any) -> int | None:
    """Return the line number of a position."""
    if where is None:
        return None
    first, second = where
    if isinstance(first, str):
        return int(second)
    for start, stop, line in first.co_lines():
        if start <= second < stop:
            return line
    return first.co_firstlineno


def text(code: CodeType, instruction: int) -> str:
    """Return `<cell>:3` for a notebook's cell, else `file:line`."""
    return place(code.co_filename, line_of((code, instruction)))


def place(file: str, line: int | None) -> str:
    """Return `<cell>:3` for a notebook's cell, else `file:line`."""
    cell = file.startswith("<") or "ipykernel_" in file
    return f"{'<cell>' if cell else os.path.basename(file)}:{line}"

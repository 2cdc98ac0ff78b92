"""When the encoding kernels are used: at once if they are loaded, and loaded where tables are large enough to gain."""

from __future__ import annotations

import sys
import threading
from typing import Any

__all__ = ["coders"]

#: rows from which kernels are loaded; where numba is there already, it takes but little
LOADED_FROM, NEAR_FROM = 1_000_000, 200_000

#: seconds waited, once, for kernels to be loaded from disk; and rows for which compiling is waited out
PATIENCE, LARGE = 0.8, 10_000_000

_thread: threading.Thread | None = None
_lock = threading.Lock()
_loaded: Any = None
_failed = False


def coders(rows: int) -> Any:
    """Return the module of encoding kernels if it is to be used for so many rows; None where Arrow does the work.

    Parameters
    ----------
    rows : int
        0 asks for kernels that are loaded, and loads none.
    """
    global _thread
    if _loaded is not None or _failed or rows < (NEAR_FROM if "numba" in sys.modules else LOADED_FROM):
        return _loaded
    with _lock:
        begin = _thread is None
        if _thread is None:
            _thread = threading.Thread(target=_load, name="workbench-coders")
            _thread.start()
    if begin or rows >= LARGE:
        _thread.join(None if rows >= LARGE else PATIENCE)
    return _loaded


def _load() -> None:
    global _loaded, _failed
    try:
        from workbench.anomaly import encode_kernels

        encode_kernels.load()
        _loaded = encode_kernels
    except Exception:  # whoever counts says so; Arrow gives the same codes
        _failed = True

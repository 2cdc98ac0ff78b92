"""When kernels are compiled, where they are kept, and what answers until then."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["SMALL", "Kernel", "kernel", "kernels"]

#: tables of fewer rows are not worth a kernel that is not loaded
SMALL = 50_000
#: seconds to wait for kernels, as much as loading them from disk takes; and rows for which compiling is waited out
PATIENCE, LARGE = 0.8, 2_000_000

_lock = threading.Lock()
_thread: threading.Thread | None = None
_loaded: Any = None
_failed = False


class Kernel:
    """A function that numba compiles when it is first called, for one signature, and keeps on disk.

    The cache lies beside the module if that folder can be written, else in the folder of the workbench's store.
    """

    def __init__(self, function: Callable[..., Any], signature: str) -> None:
        self.function, self.signature = function, signature
        self._compiled: Any = None
        self._lock = threading.Lock()

    def load(self) -> Any:
        """Return the compiled function, loaded from disk or compiled now."""
        with self._lock:
            if self._compiled is None:
                self._compiled = _compile(self.function, self.signature)
        return self._compiled

    def __call__(self, *arguments: Any) -> Any:
        """Call the compiled function."""
        return (self._compiled or self.load())(*arguments)


def kernel(signature: str) -> Callable[[Callable[..., Any]], Kernel]:
    """Make a function of a module a kernel of this signature: a decorator."""
    return lambda function: Kernel(function, signature)


def _compile(function: Any, signature: str) -> Any:
    import numba

    with _lock:
        folder, before = _folder(function), numba.config.CACHE_DIR
        try:
            if folder is not None and not before:
                numba.config.CACHE_DIR = folder
            return numba.njit(signature, cache=True, nogil=True, boundscheck=False)(function)
        finally:
            numba.config.CACHE_DIR = before


def _folder(function: Any) -> str | None:
    """Return the store's folder if the one beside the module cannot be written."""
    import tempfile

    beside = Path(function.__code__.co_filename).parent / "__pycache__"
    try:
        beside.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=beside):
            return None
    except OSError:
        from workbench.engine.store import home

        return str(home() / "numba")


def kernels(rows: int) -> Any:
    """Return the module of kernels if it is to be used for a table of so many rows; None where the twins answer.

    Kernels that are not loaded are loaded, and compiled where they are not on disk, on a thread of their own: small
    tables do not wait for it at all, middling ones as long as loading takes, large ones until it is done.
    """
    global _thread
    if _loaded is not None or _failed:
        return _loaded
    if rows < SMALL:
        return None
    with _lock:
        if _thread is None:
            _thread = threading.Thread(target=_load, name="workbench-kernels")
            _thread.start()
    _thread.join(None if rows >= LARGE else PATIENCE)
    return _loaded


def _load() -> None:
    global _loaded, _failed
    try:
        from workbench.anomaly import kernels as module

        module.load()
        _loaded = module
    except Exception as error:  # a machine that numba does not know still has NumPy
        from workbench.engine.errors import one_line, warn

        _failed = True
        warn(f"The fast counting is not available ({one_line(error)}).", "Answers are the same, but take longer.")
